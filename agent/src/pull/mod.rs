//! `skiff pull` and `skiff deploy`: one request, one stream, one or more images.
//!
//! ```text
//! request     what is wanted and what is held                     request, wanted
//!   ▼
//! frames ─▶ records ─▶ blobs, contents, entries on disk           answer, deployment
//!        └▶ packs   ─▶ files in the new snapshots                 packs
//!   ▼
//! eager: all packs; local copies; one more request for those      eager
//!        whose source was damaged
//! lazy:  local copies; placeholders and leases for the rest       lazy
//!   ▼
//! checks, sync, commit of snapshots, blobs                        commit, layers
//!   ▼
//! image records: one by one, or an application's together         (`applications`)
//!   ▼
//! lazy:  the daemon hydrates                                      (`hydrate`)
//! ```
//!
//! Until the commit nothing that containerd would show has changed. Whatever fails before it, the
//! prepared snapshots, the lease and the scratch directory are removed.

mod answer;
mod commit;
mod deployment;
mod eager;
mod error;
mod images;
mod layers;
mod lazy;
mod packs;
mod request;
mod wanted;

pub use answer::Answer;
pub use error::PullError;
pub use lazy::{Laziness, Rest, Stream};
pub use packs::{PackSink, Packs};
pub use request::{Ask, Holding};
pub use wanted::Wanted;

use crate::applications;
use crate::apply::{Beneath, open_directory};
use crate::http::Client;
use crate::hydrate::Guard;
use crate::inflate::Inflater;
use crate::report::{Report, Summary};
use crate::state::{Lock, Scratch, StateDir};
use crate::target::{HeldImage, ImageRecord, Target};
use answer::decode;
use deployment::Deployment;
use skiff_protocol::frame::Kind;
use skiff_protocol::request::{Hydration, Part, Purpose};
use skiff_protocol::response::Plan;
use std::time::Instant;

/// What to pull, and from where.
#[derive(Debug)]
pub struct PullOptions {
    /// What to bring.
    pub wanted: Wanted,
    /// Base address of the accelerator.
    pub accelerator: String,
    /// Only say how many bytes it would take.
    pub dry_run: bool,
    /// Refuse to take more bytes than this.
    pub max_bytes: Option<u64>,
    /// Whether to start before it is all there.
    pub lazy: Laziness,
    /// Refuse images that have devices.
    pub no_devices: bool,
}

/// A pull that ended.
#[derive(Debug)]
pub struct Pulled {
    /// How.
    pub result: Result<Summary, PullError>,
    /// What has to be hydrated now. Also after an error, if some of it may be visible already.
    pub rest: Option<Rest>,
}

/// What a pull works with.
#[derive(Debug)]
struct Context<'a> {
    options: &'a PullOptions,
    target: &'a mut Target,
    state: &'a StateDir,
    client: Client,
    held: Vec<HeldImage>,
    holdings: Vec<Holding>,
    /// Names the deployment to the accelerator.
    deployment: [u8; 16],
    report: &'a mut Report,
    guard: Option<&'a Guard>,
}

/// Pulls images into the target. With a guard, files may be left cold.
pub async fn pull(
    options: &PullOptions,
    target: &mut Target,
    state: &StateDir,
    _lock: &Lock,
    report: &mut Report,
    guard: Option<&Guard>,
) -> Pulled {
    let started = Instant::now();
    let mut rest = None;
    let result = async {
        if let Wanted::Application(name) = &options.wanted {
            applications::check_place(name, state, &target.name())?;
        }
        let client = Client::new(&options.accelerator)?;
        let held = target.held().await?;
        let holdings = Holding::of(&held);
        let deployment = deployment_name();
        let guard = guard.filter(|_| options.lazy != Laziness::Never);
        let mut context =
            Context { options, target, state, client, held, holdings, deployment, report, guard };
        let mut summary = if options.dry_run {
            measure(&mut context).await?
        } else {
            in_scratch(&mut context, &mut rest).await?
        };
        summary.bytes_received = context.client.counters().received();
        summary.bytes_sent = context.client.counters().sent();
        summary.requests = context.client.requests();
        summary.seconds = started.elapsed().as_secs_f64();
        Ok(summary)
    };
    let result = result.await;
    Pulled { result, rest }
}

/// A random name.
fn deployment_name() -> [u8; 16] {
    let mut name = [0; 16];
    // Without randomness it is zeros, which is no name.
    let _ = rustix::rand::getrandom(&mut name, rustix::rand::GetRandomFlags::empty());
    name
}

impl Context<'_> {
    fn ask(&self) -> Ask<'_> {
        Ask {
            wanted: &self.options.wanted,
            held: &self.holdings,
            max_bytes: self.options.max_bytes,
            hydration: Hydration {
                deployment: self.deployment,
                cold_files: self.guard.map_or(0, Guard::free),
                urgent: false,
                class: self.guard.map_or("", Guard::class),
            },
        }
    }

    async fn begin(&mut self, purpose: Purpose, part: Part) -> Result<(Answer, Plan), PullError> {
        let body = self.ask().encode(purpose, part)?;
        let mut answer = Answer::post(&mut self.client, &body).await?;
        let plan = answer.plan(&self.held, self.report).await?;
        if let Some(most) = self.options.max_bytes {
            answer.limit(most);
        }
        Ok((answer, plan))
    }
}

async fn measure(context: &mut Context<'_>) -> Result<Summary, PullError> {
    let (mut answer, plan) = context.begin(Purpose::Measure, Part::Whole).await?;
    let frame = answer.frame().await?;
    if frame.kind != Kind::Complete {
        return Err(PullError::Unexpected("a frame after a plan that was only to be measured"));
    }
    Ok(Summary { would_receive: Some(plan.wire_bytes), ..Summary::default() })
}

async fn in_scratch(
    context: &mut Context<'_>,
    rest: &mut Option<Rest>,
) -> Result<Summary, PullError> {
    let target_name = context.target.name();
    for dead in context.state.leftovers()? {
        // Without a target's name nothing was made there yet.
        if dead.target.is_empty() || dead.target == target_name {
            context.target.discard(&dead.id).await?;
            context.state.remove(&dead)?;
        }
    }
    let mut scratch = context.state.new_pull(&context.options.wanted.lines(), &target_name)?;
    if let Err(error) = context.target.begin(scratch.id()).await {
        scratch.keep();
        return Err(error.into());
    }
    let done = deploy(context, &mut scratch, rest).await;
    if let (Err(_), Wanted::Application(name)) = (&done, &context.options.wanted)
        && applications::is_switching(name, context.state)?
    {
        // What the next skiff needs to finish it must stay.
        scratch.keep();
        return done;
    }
    // The lease goes last: without it containerd may collect what was just committed.
    if let Err(error) = context.target.end().await {
        scratch.keep();
        done?;
        return Err(error.into());
    }
    done
}

async fn deploy(
    context: &mut Context<'_>,
    scratch: &mut Scratch,
    rest: &mut Option<Rest>,
) -> Result<Summary, PullError> {
    let mut deployment = Deployment::new(scratch, context.options)?;
    let done = fetch_and_commit(context, &mut deployment, scratch, rest).await;
    if done.is_err() {
        deployment.abandon(context.target).await;
    }
    done
}

async fn fetch_and_commit(
    context: &mut Context<'_>,
    deployment: &mut Deployment,
    scratch: &mut Scratch,
    rest: &mut Option<Rest>,
) -> Result<Summary, PullError> {
    let mut summary = Summary::default();
    let mut inflater = Inflater::new();
    let (mut answer, plan) = context.begin(Purpose::Deliver, Part::Whole).await?;
    context.report.plan(&plan);
    deployment.expect(&plan);
    deployment.take_metadata(&mut answer, &mut inflater, context.target, &context.held).await?;
    deployment.agrees_with(&plan)?;
    let received = Received { answer, inflater, plan };
    if lazy::is_possible(context, deployment, &plan)? {
        lazy::fetch(context, deployment, received, scratch, rest, &mut summary).await?;
    } else {
        eager::fetch(context, deployment, received, &mut summary).await?;
        let records =
            commit::commit(deployment, context.target, context.report, &mut |_, _| Ok(())).await?;
        context.put_records(records).await?;
    }
    summary.images = deployment.images.summaries();
    Ok(summary)
}

/// An answer whose metadata was taken.
#[derive(Debug)]
struct Received {
    answer: Answer,
    inflater: Inflater,
    plan: Plan,
}

impl Context<'_> {
    /// Makes the images visible.
    async fn put_records(&mut self, records: Vec<ImageRecord>) -> Result<(), PullError> {
        match &self.options.wanted {
            Wanted::Images(_) => {
                for record in &records {
                    self.target.put_image(record).await?;
                }
            }
            Wanted::Application(name) => {
                applications::switch(name, records, self.state, self.target).await?;
            }
        }
        Ok(())
    }

    /// The overlay layers of every held image that a content is copied from; of the others nothing is
    /// asked.
    async fn held_layers(&self, deployment: &Deployment) -> Result<Vec<Vec<Beneath>>, PullError> {
        let mut layers = Vec::new();
        for (image, used) in self.held.iter().zip(deployment.sources_used) {
            let mut opened = Vec::new();
            if used {
                for directory in self.target.layer_dirs(image.snapshot).await? {
                    let fd = open_directory(&directory)
                        .map_err(|source| PullError::Directory { path: directory, source })?;
                    opened.push(Beneath::new(fd));
                }
            }
            layers.push(opened);
        }
        Ok(layers)
    }
}
