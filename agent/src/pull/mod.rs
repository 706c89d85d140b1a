//! `skiff pull` and `skiff deploy` (and `skiff verify`, in `verify`): one request, one stream, one or more images.
//!
//! ```text
//! request     what is wanted and what is held                     request, wanted
//!   ▼
//! frames ─▶ records ─▶ blobs, contents, entries on disk           answer, deployment
//!        ├▶ who vouches for them                                  signed
//!        └▶ packs   ─▶ files in the new snapshots                 packs
//!   ▼
//! what an earlier pull has brought is taken over                  unfinished
//!   ▼
//! eager: all packs; local copies; one more request for those      eager, source
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
//! prepared snapshots, the lease and the scratch directory are removed, unless something came that the next pull can
//! use.
//!
//! A stream that is cut is asked for again, for as long as the user allows (`budget`), by packs (`source`). If the accelerator
//! does not know the plan any more, the pull begins anew and takes over what it has brought, as does a pull after
//! a crash or a power cut.

mod answer;
mod budget;
mod commit;
mod context;
mod deployment;
mod eager;
mod error;
mod give_up;
mod images;
mod layers;
mod lazy;
mod packs;
mod request;
mod signed;
mod source;
mod unfinished;
mod verify;
mod wanted;

pub use answer::Answer;
pub use budget::Budget;
pub use error::{PullError, PullTrouble};
pub use give_up::GiveUp;
pub use lazy::{Laziness, Rest};
pub use packs::{PackSink, Packs};
pub use request::{Ask, Holding};
pub use source::{Missing, Stream};
pub use verify::{Outcome, verify};
pub use wanted::Wanted;

use crate::applications;
use crate::apply::{Bases, Beneath, open_directory};
use crate::decode::Decoder;
use crate::http::Security;
use crate::hydrate::Guard;
use crate::report::{Report, Summary};
use crate::state::{Lock, Scratch, StateDir};
use crate::target::{ImageRecord, Target};
use crate::updates;
use answer::decode;
use context::Context;
use deployment::Deployment;
use skiff_protocol::frame::Kind;
use skiff_protocol::limits::MAX_HELD;
use skiff_protocol::request::{Part, Purpose};
use skiff_protocol::response::Plan;
use std::rc::Rc;
use std::time::Instant;
use unfinished::Earlier;

/// What to pull, and from where.
#[derive(Debug, Clone)]
pub struct PullOptions {
    /// What to bring.
    pub wanted: Wanted,
    /// Base address of the accelerator.
    pub accelerator: String,
    /// How to connect to it.
    pub security: Rc<Security>,
    /// Only say how many bytes it would take.
    pub dry_run: bool,
    /// What it may cost.
    pub budget: Budget,
    /// Whether to start before it is all there.
    pub lazy: Laziness,
    /// Refuse images that have devices.
    pub no_devices: bool,
    /// Whether to end before it is done.
    pub give_up: GiveUp,
}

/// A pull that ended.
#[derive(Debug)]
pub struct Pulled {
    /// How.
    pub result: Result<Summary, PullError>,
    /// What has to be hydrated now. Also after an error, if some of it may be visible already.
    pub rest: Option<Rest>,
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
        let mut context = Context::new(options, target, state, report, guard)?;
        context.held = context.target.held().await?;
        context.holdings = Holding::of(&context.held);
        let mut summary = match options.dry_run {
            true => options.give_up.or(measure(&mut context)).await?,
            false => until_done(&mut context, &mut rest).await?,
        };
        summary.bytes_received = context.client.counters().received();
        summary.bytes_sent = context.client.counters().sent();
        summary.requests = context.client.requests();
        summary.seconds = started.elapsed();
        Ok(summary)
    };
    let result = result.await;
    Pulled { result, rest }
}

/// Pulls, and begins anew if the answer breaks before its packs or the plan is known no more.
async fn until_done(
    context: &mut Context<'_>,
    rest: &mut Option<Rest>,
) -> Result<Summary, PullError> {
    loop {
        match in_scratch(context, rest).await {
            Err(error) if context.begun && rest.is_none() => {
                let give_up = context.options.give_up.clone();
                give_up.or(context.tries.after(error, context.report)).await?;
            }
            done => return done,
        }
    }
}

async fn measure(context: &mut Context<'_>) -> Result<Summary, PullError> {
    let (mut answer, plan) = context.begin(Purpose::Measure, Part::Whole).await?;
    let frame = answer.frame().await?;
    if frame.kind != Kind::Complete {
        return Err(PullError::unexpected("a frame after a plan that was only to be measured"));
    }
    Ok(Summary { would_receive: Some(plan.wire_bytes), ..Summary::default() })
}

async fn in_scratch(
    context: &mut Context<'_>,
    rest: &mut Option<Rest>,
) -> Result<Summary, PullError> {
    let target_name = context.target.name();
    let mut earlier = Vec::new();
    for dead in context.state.leftovers()? {
        // Without a target's name nothing was made there yet.
        if dead.target.is_empty() || dead.target == target_name {
            match unfinished::open(context, &dead).await {
                Some(found) => earlier.push(found),
                None => discard(context, &dead.id).await?,
            }
        }
    }
    let mut scratch = context.state.new_pull(&context.options.wanted.lines(), &target_name)?;
    if let Err(error) = context.target.begin(scratch.id()).await {
        scratch.keep();
        return Err(error.into());
    }
    let (done, is_of_use) = deploy(context, &mut scratch, earlier, rest).await;
    if is_of_use {
        // The next pull takes it over, whenever that is.
        scratch.keep();
        return done;
    }
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

/// Also says whether what came before an error is of use for the next pull. If not, it is removed.
async fn deploy(
    context: &mut Context<'_>,
    scratch: &mut Scratch,
    earlier: Vec<Earlier>,
    rest: &mut Option<Rest>,
) -> (Result<Summary, PullError>, bool) {
    let mut deployment = match Deployment::new(scratch, context.options) {
        Ok(deployment) => deployment,
        Err(error) => return (Err(error), false),
    };
    let give_up = context.options.give_up.clone();
    let done = give_up.or(fetch_and_commit(context, &mut deployment, scratch, earlier, rest)).await;
    let Err(error) = &done else { return (done, false) };
    let is_of_use = error.leaves_what_came() && rest.is_none();
    if is_of_use && deployment.contents.has_some().unwrap_or(false) {
        return (done, true);
    }
    deployment.abandon(context.target).await;
    (done, false)
}

/// Removes what a dead pull has left.
async fn discard(context: &mut Context<'_>, id: &str) -> Result<(), PullError> {
    context.target.discard(id).await?;
    Ok(context.state.remove(id)?)
}

async fn fetch_and_commit(
    context: &mut Context<'_>,
    deployment: &mut Deployment,
    scratch: &mut Scratch,
    earlier: Vec<Earlier>,
    rest: &mut Option<Rest>,
) -> Result<Summary, PullError> {
    let mut summary = Summary::default();
    let mut decoder = Decoder::new();
    let only_delta = context.options.budget.only_delta;
    let metadata_first = only_delta || !earlier.is_empty();
    let part = if metadata_first { Part::Metadata } else { Part::Whole };
    context.take_patches();
    let (mut answer, plan) = context.begin(Purpose::Deliver, part).await?;
    context.report.plan(&plan);
    unfinished::note_plan(deployment.scratch(), plan.id)?;
    deployment.expect(&plan);
    signed::take_metadata(context, deployment, &mut answer, &mut decoder).await?;
    deployment.agrees_with(&plan)?;
    if only_delta && plan.packs > 0 && !deployment.builds_on_held() {
        return Err(PullTrouble::NoDelta { bytes: plan.content_bytes }.into());
    }
    deployment.bases = Bases::new(context.held_layers(&answer.patch_bases).await?);
    let lazy = lazy::is_possible(context, deployment, &plan)?;
    for mut earlier in earlier {
        earlier.take_over(context, deployment, plan.id, !lazy)?;
        discard(context, earlier.id()).await?;
    }
    let answer = match metadata_first {
        true => answer.without_packs(&mut context.client).await?,
        false => Some(answer),
    };
    let received = Received { answer, decoder, plan };
    if lazy {
        lazy::fetch(context, deployment, received, scratch, rest, &mut summary).await?;
    } else {
        eager::fetch(context, deployment, received, &mut summary).await?;
        context.options.give_up.is_too_late();
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
    /// Nothing if it has no packs.
    answer: Option<Answer>,
    decoder: Decoder,
    plan: Plan,
}

impl Context<'_> {
    /// Makes the images visible.
    async fn put_records(&mut self, records: Vec<ImageRecord>) -> Result<(), PullError> {
        match &self.options.wanted {
            Wanted::Images(_) => {
                for record in &records {
                    updates::put(record, self.target).await?;
                }
            }
            Wanted::Application(name) => {
                applications::switch(name, records, self.state, self.target).await?;
            }
        }
        Ok(())
    }

    /// The overlay layers of every held image that is used; of the others nothing is asked.
    async fn held_layers(&self, used: &[bool; MAX_HELD]) -> Result<Vec<Vec<Beneath>>, PullError> {
        let mut layers = Vec::new();
        for (image, used) in self.held.iter().zip(used) {
            let mut opened = Vec::new();
            if *used {
                for directory in self.target.layer_dirs(image.snapshot).await? {
                    let fd = open_directory(&directory)
                        .map_err(|source| PullTrouble::Directory { path: directory, source })?;
                    opened.push(Beneath::new(fd));
                }
            }
            layers.push(opened);
        }
        Ok(layers)
    }
}
