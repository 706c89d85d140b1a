//! `skiff pull` and `skiff deploy`: one request, one stream, one or more images.
//!
//! ```text
//! request     what is wanted and what is held                     request, wanted
//!   ▼
//! frames ─▶ records ─▶ blobs, contents, entries on disk           deployment
//!        └▶ packs   ─▶ files in the new snapshots                 packs
//!   ▼
//! local copies; one more request for those whose source was damaged
//!   ▼
//! checks, sync, commit of snapshots, blobs                        commit, layers
//!   ▼
//! image records: one by one, or an application's together         (`applications`)
//! ```
//!
//! Until the commit nothing that containerd would show has changed. Whatever fails before it, the
//! prepared snapshots, the lease and the scratch directory are removed.

mod commit;
mod deployment;
mod error;
mod images;
mod layers;
mod packs;
mod request;
mod wanted;

pub use error::PullError;
pub use wanted::Wanted;

use crate::applications;
use crate::apply::{Beneath, copy_held, open_directory};
use crate::http::Client;
use crate::inflate::Inflater;
use crate::report::{Report, Summary};
use crate::state::{Lock, Scratch, StateDir};
use crate::target::{HeldImage, Target};
use deployment::Deployment;
use request::Ask;
use skiff_protocol::frame::{self, FrameError, Kind};
use skiff_protocol::request::{Part, Purpose};
use skiff_protocol::response::{self, Failure, Notice, Plan, Progress};
use skiff_protocol::{DEPLOY_PATH, MEDIA_TYPE, Version};
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
}

/// Pulls images into the target.
pub async fn pull(
    options: &PullOptions,
    target: &mut Target,
    state: &StateDir,
    _lock: &Lock,
    report: &mut Report,
) -> Result<Summary, PullError> {
    let started = Instant::now();
    if let Wanted::Application(name) = &options.wanted {
        applications::check_place(name, state, &target.name())?;
    }
    let mut client = Client::new(&options.accelerator)?;
    let held = target.held().await?;
    let mut summary = if options.dry_run {
        measure(options, &mut client, &held, report).await?
    } else {
        let target_name = target.name();
        for dead in state.leftovers()? {
            // Without a target's name nothing was made there yet.
            if dead.target.is_empty() || dead.target == target_name {
                target.discard(&dead.id).await?;
                state.remove(&dead)?;
            }
        }
        let scratch = state.new_pull(&options.wanted.lines(), &target_name)?;
        if let Err(error) = target.begin(scratch.id()).await {
            scratch.keep();
            return Err(error.into());
        }
        let done = deploy(options, target, state, &scratch, &mut client, &held, report).await;
        if let (Err(_), Wanted::Application(name)) = (&done, &options.wanted)
            && applications::is_switching(name, state)?
        {
            // What the next skiff needs to finish it must stay.
            scratch.keep();
            return done;
        }
        // The lease goes last: without it containerd may collect what was just committed.
        if let Err(error) = target.end().await {
            scratch.keep();
            done?;
            return Err(error.into());
        }
        done?
    };
    summary.bytes_received = client.counters().received();
    summary.bytes_sent = client.counters().sent();
    summary.requests = client.requests();
    summary.seconds = started.elapsed().as_secs_f64();
    Ok(summary)
}

async fn measure(
    options: &PullOptions,
    client: &mut Client,
    held: &[HeldImage],
    report: &mut Report,
) -> Result<Summary, PullError> {
    let mut answer = Answer::ask(options, client, held, Purpose::Measure, Part::Whole).await?;
    let plan = answer.plan(held, report).await?;
    let frame = answer.frame().await?;
    if frame.kind != Kind::Complete {
        return Err(PullError::Unexpected("a frame after a plan that was only to be measured"));
    }
    Ok(Summary { would_receive: Some(plan.wire_bytes), ..Summary::default() })
}

async fn deploy(
    options: &PullOptions,
    target: &mut Target,
    state: &StateDir,
    scratch: &Scratch,
    client: &mut Client,
    held: &[HeldImage],
    report: &mut Report,
) -> Result<Summary, PullError> {
    let mut deployment = Deployment::new(scratch, &options.wanted)?;
    let done =
        fetch_and_commit(options, target, state, client, held, report, &mut deployment).await;
    if done.is_err() {
        deployment.abandon(target).await;
    }
    done
}

#[allow(clippy::too_many_arguments, reason = "all that a deployment needs")]
async fn fetch_and_commit(
    options: &PullOptions,
    target: &mut Target,
    state: &StateDir,
    client: &mut Client,
    held: &[HeldImage],
    report: &mut Report,
    deployment: &mut Deployment,
) -> Result<Summary, PullError> {
    let mut summary = Summary::default();
    let mut inflater = Inflater::new();
    let mut answer = Answer::ask(options, client, held, Purpose::Deliver, Part::Whole).await?;
    let plan = answer.plan(held, report).await?;
    report.plan(&plan);
    deployment.take_metadata(&mut answer, &mut inflater, target, held).await?;
    deployment.agrees_with(&plan)?;
    let bytes = &mut summary.pack_bytes;
    let complete =
        packs::take_packs(&mut answer, &mut inflater, deployment, &plan, bytes, report).await?;
    if complete.plan != plan.id {
        return Err(PullError::Unexpected("the end of another plan"));
    }
    drop(answer);

    let sources = held_layers(deployment, target, held).await?;
    let damaged = copy_held(&mut deployment.tables(), &sources)?;
    if damaged > 0 {
        report.damaged(damaged);
        let contents = deployment.contents.damaged()?;
        deployment.contents.lay_out(&contents)?;
        let part = Part::Repair { plan: plan.id, contents };
        let mut answer = Answer::ask(options, client, held, Purpose::Deliver, part).await?;
        let plan = answer.plan(held, report).await?;
        packs::take_packs(&mut answer, &mut inflater, deployment, &plan, bytes, report).await?;
    }
    if !deployment.contents.all_done()? {
        return Err(PullError::Unexpected("an end of the stream before all contents were sent"));
    }
    summary.overhead_bytes =
        client.counters().received().saturating_sub(summary.pack_bytes) + client.counters().sent();
    let records = commit::commit(deployment, target, report).await?;
    match &options.wanted {
        Wanted::Images(_) => {
            for record in &records {
                target.put_image(record).await?;
            }
        }
        Wanted::Application(name) => {
            applications::switch(name, records, state, target).await?;
        }
    }
    summary.images = deployment.images.summaries();
    Ok(summary)
}

/// The overlay layers of every held image that a content is copied from; of the others nothing is
/// asked.
async fn held_layers(
    deployment: &mut Deployment,
    target: &mut Target,
    held: &[HeldImage],
) -> Result<Vec<Vec<Beneath>>, PullError> {
    let mut layers = Vec::new();
    for (image, used) in held.iter().zip(deployment.sources_used) {
        let mut opened = Vec::new();
        if used {
            for directory in target.layer_dirs(image.snapshot).await? {
                let fd = open_directory(&directory)
                    .map_err(|source| PullError::Directory { path: directory, source })?;
                opened.push(Beneath::new(fd));
            }
        }
        layers.push(opened);
    }
    Ok(layers)
}

/// An answer that is being read: its body and the buffer of its current frame.
#[derive(Debug)]
pub struct Answer {
    body: crate::http::Body,
    buffer: Box<frame::Buffer>,
}

impl Answer {
    async fn ask(
        options: &PullOptions,
        client: &mut Client,
        held: &[HeldImage],
        purpose: Purpose,
        part: Part,
    ) -> Result<Self, PullError> {
        let ask = Ask { wanted: &options.wanted, held, max_bytes: options.max_bytes };
        let body = ask.encode(purpose, part)?;
        let body = client.post(DEPLOY_PATH, MEDIA_TYPE, &body).await?;
        Ok(Self { body, buffer: Box::default() })
    }

    /// The next frame. A failure that the accelerator reports is an error.
    pub async fn frame(&mut self) -> Result<frame::Frame<'_>, PullError> {
        let frame = match frame::read(&mut self.body, &mut self.buffer).await {
            Ok(frame) => frame,
            Err(FrameError::Io(source)) => {
                return Err(PullError::Link { url: self.body.url().to_owned(), source: source.0 });
            }
            Err(FrameError::Protocol(source)) => {
                return Err(PullError::Stream { url: self.body.url().to_owned(), source });
            }
        };
        if frame.kind == Kind::Failure {
            let Failure { code, message } = decode(frame.payload)?;
            return Err(PullError::Refused { code, message: message.escape_debug().to_string() });
        }
        Ok(frame)
    }

    /// Waits for the plan, and checks what buffers rely on.
    async fn plan(&mut self, held: &[HeldImage], report: &mut Report) -> Result<Plan, PullError> {
        loop {
            let frame = self.frame().await?;
            let (kind, payload) = (frame.kind, frame.payload);
            match kind {
                Kind::Progress => {
                    let progress: Progress = decode(payload)?;
                    report.accelerator_busy(&progress);
                }
                Kind::Notice => {
                    if let Notice::HeldUnknown(image) = decode(payload)?
                        && let Some(image) = held.get(usize::from(image))
                    {
                        report.held_unknown(image);
                    }
                }
                Kind::Plan => {
                    let plan: Plan = decode(payload)?;
                    if plan.version.major != Version::CURRENT.major {
                        return Err(PullError::Unexpected("an answer in another version"));
                    }
                    if plan.pack_len == 0 || plan.pack_len > skiff_protocol::limits::MAX_PACK {
                        return Err(PullError::Unexpected("a plan with packs of a wrong length"));
                    }
                    return Ok(plan);
                }
                _ => return Err(PullError::Unexpected("a frame before the plan")),
            }
        }
    }
}

/// Decodes a message that the accelerator sent.
fn decode<'a, M: serde::Deserialize<'a>>(payload: &'a [u8]) -> Result<M, PullError> {
    response::decode(payload).map_err(|_| PullError::Unexpected("a message that does not decode"))
}
