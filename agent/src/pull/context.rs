//! What a pull or a verification works with, from its first request to its end.

use super::answer::Answer;
use super::budget::Tries;
use super::{Ask, Holding, Laziness, PullError, PullOptions};
use crate::http::{Client, PublicKey, Rate};
use crate::hydrate::Guard;
use crate::report::Report;
use crate::state::StateDir;
use crate::target::{HeldImage, Target};
use skiff_protocol::request::{Codecs, Hydration, Part, Purpose};
use skiff_protocol::response::Plan;
use std::rc::Rc;

/// What a pull works with.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub options: &'a PullOptions,
    pub target: &'a mut Target,
    pub state: &'a StateDir,
    pub client: Client,
    /// Of which one has to have signed the table of contents, if there are any.
    pub keys: Vec<PublicKey>,
    pub held: Vec<HeldImage>,
    pub holdings: Vec<Holding>,
    /// Names the deployment to the accelerator.
    pub deployment: [u8; 16],
    pub report: &'a mut Report,
    pub guard: Option<&'a Guard>,
    pub tries: Tries,
    /// An accelerator has answered.
    pub begun: bool,
    /// Whether packs may be patches, and of what.
    pub patches: Codecs,
}

/// A random name.
fn deployment_name() -> [u8; 16] {
    let mut name = [0; 16];
    // Without randomness it is zeros, which is no name.
    let _ = rustix::rand::getrandom(&mut name, rustix::rand::GetRandomFlags::empty());
    name
}

impl<'a> Context<'a> {
    /// One that holds nothing.
    pub fn new(
        options: &'a PullOptions,
        target: &'a mut Target,
        state: &'a StateDir,
        report: &'a mut Report,
        guard: Option<&'a Guard>,
    ) -> Result<Self, PullError> {
        let mut client = Client::new(&options.accelerator, &options.security)?;
        if let Some(patience) = options.budget.patience() {
            client.set_patience(patience);
        }
        let own = options.budget.rate.map(|rate| Rc::new(Rate::new(rate)));
        client.set_rate(own.or_else(|| guard.and_then(Guard::rate)));
        Ok(Self {
            options,
            target,
            state,
            client,
            keys: options.security.tree_keys()?,
            held: Vec::new(),
            holdings: Vec::new(),
            deployment: deployment_name(),
            report,
            guard: guard.filter(|_| options.lazy != Laziness::Never),
            tries: Tries::new(&options.budget),
            begun: false,
            patches: Codecs::default(),
        })
    }

    fn ask(&self) -> Ask<'_> {
        Ask {
            wanted: &self.options.wanted,
            held: &self.holdings,
            max_bytes: self.bytes_left(),
            hydration: Hydration {
                deployment: self.deployment,
                cold_files: self.guard.map_or(0, Guard::free),
                urgent: false,
                class: self.guard.map_or("", Guard::class),
            },
            digests: &[],
            patches: self.patches,
        }
    }

    /// Packs may be patches; of held files only if none is cold.
    pub fn take_patches(&mut self) {
        let is_cold = self.guard.is_some_and(|guard| guard.free() < guard.most());
        let of = if is_cold { Codecs::NO_HELD_BASES } else { Codecs::default() };
        self.patches = Codecs::PATCHES.and(of);
    }

    /// What was made out of a base is asked for without one.
    pub fn take_no_patches(&mut self) {
        self.patches = Codecs::default();
    }

    /// How much of the budget is left: what came already is of it, too.
    pub fn bytes_left(&self) -> Option<u64> {
        let max = self.options.budget.max_bytes?;
        Some(max.saturating_sub(self.client.counters().received()))
    }

    pub async fn begin(
        &mut self,
        purpose: Purpose,
        part: Part,
    ) -> Result<(Answer, Plan), PullError> {
        let most = self.bytes_left();
        let body = self.ask().encode(purpose, part)?;
        let mut answer = Answer::post(&mut self.client, &body).await?;
        let plan = answer.plan(&self.held, self.report).await?;
        self.begun = true;
        if let Some(most) = most {
            answer.limit(most);
        }
        Ok((answer, plan))
    }
}
