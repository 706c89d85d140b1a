//! Makes images startable before they are all there: what is not there yet stands as cold files, which
//! the daemon hydrates.
//!
//! ```text
//! local copies ─▶ placeholders ─▶ packs, while there are more cold files than may be
//!              ─▶ leases, and copies of them with the holder
//!              ─▶ journal, scratch directory becomes one that is hydrated   (`hydrate/journal`)
//!              ─▶ commit, image records
//! ```
//!
//! The leases are taken before the commit, so nobody can ever open a placeholder; the journal is on the disk before
//! the commit, so that after a power cut it is known what is cold. From then on nothing is taken back: what may be
//! visible is hydrated, whatever fails.

use super::commit::commit;
use super::deployment::Deployment;
use super::images::StoredImage;
use super::{Answer, Context, PackSink, Packs, PullError, Received};
use crate::apply::{
    ApplyError, Beneath, ContentWriter, Files, Tables, copy_held, lease_cold, make_placeholders,
};
use crate::cold::Cold;
use crate::http::Client;
use crate::hydrate::{Journal, JournalImage};
use crate::inflate::Inflater;
use crate::report::{Report, Summary};
use crate::spool::{Contents, Entries, Space, State};
use crate::state::Scratch;
use skiff_protocol::response::{Pack, Plan};
use std::path::{Path, PathBuf};

/// Whether to start before it is all there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Laziness {
    /// Where it is possible.
    Auto,
    /// Or fail.
    Require,
    /// No.
    Never,
}

/// What is left to do for images that can be started.
#[derive(Debug)]
pub struct Rest {
    /// What a later process needs for it.
    pub journal: Journal,
    /// Where that is, with contents and entries.
    pub directory: PathBuf,
    /// The plan's contents.
    pub contents: Contents,
    /// The files that have them.
    pub entries: Entries,
    /// The layers' directories.
    pub layers: Vec<Beneath>,
    /// The cold files.
    pub cold: Cold,
    /// The stream that brings the rest.
    pub stream: Option<Stream>,
    /// A client of the accelerator.
    pub client: Client,
}

/// A stream of packs, and how far it has come.
#[derive(Debug)]
pub struct Stream {
    /// The answer.
    pub answer: Answer,
    /// Its decoder.
    pub inflater: Inflater,
    /// Its packs.
    pub packs: Packs,
    /// Where the next byte belongs.
    pub writer: ContentWriter,
}

/// Decides whether this deployment is made lazily. Where it can't be but must, that is an error.
pub(super) fn is_possible(
    context: &mut Context<'_>,
    deployment: &Deployment,
    plan: &Plan,
) -> Result<bool, PullError> {
    let Some(guard) = context.guard else {
        return match context.options.lazy {
            Laziness::Require => Err(PullError::NotLazy("no daemon is running".to_owned())),
            _ => Ok(false),
        };
    };
    if plan.packs == 0 {
        return Ok(false);
    }
    let reason = if deployment.snapshots.makes_root() {
        Some("this update makes one layer of the whole stack".to_owned())
    } else if guard.free() == 0 {
        Some("too many files are cold already".to_owned())
    } else {
        let mut directories = deployment.snapshots.directories();
        directories.find_map(|directory| guard.check(directory).err())
    };
    match reason {
        None => Ok(true),
        Some(reason) if context.options.lazy == Laziness::Require => {
            Err(PullError::NotLazy(reason))
        }
        Some(reason) => {
            context.report.eager(&reason);
            Ok(false)
        }
    }
}

/// Makes everything stand, commits it, and leaves in `rest` what is to be hydrated.
pub(super) async fn fetch(
    context: &mut Context<'_>,
    deployment: &mut Deployment,
    received: Received,
    scratch: &mut Scratch,
    rest: &mut Option<Rest>,
    summary: &mut Summary,
) -> Result<(), PullError> {
    let Some(guard) = context.guard else {
        return Err(PullError::NotLazy("no daemon is running".to_owned()));
    };
    let sources = context.held_layers(deployment).await?;
    let damaged = copy_held(&mut deployment.tables(), &sources)?;
    if damaged > 0 {
        context.report.damaged(damaged);
    }
    let mut cold = Cold::default();
    let Tables { contents, entries, layers, .. } = deployment.tables();
    cold.expect(make_placeholders(contents, entries, layers)? as usize);

    let Received { mut answer, mut inflater, plan } = received;
    let space = Space::Plan;
    let packs = Packs::of(&plan, &space, &deployment.contents)?;
    let mut writer = ContentWriter::new(space, State::Pending);
    let most = guard.free() as usize;
    let mut ended = false;
    if cold.left() > most {
        let report = &mut *context.report;
        let mut sink =
            Sink { deployment, writer: &mut writer, cold: &mut cold, most, summary, report };
        ended = packs.take(&mut answer, &mut inflater, &mut sink).await?.is_some();
        if cold.left() > most {
            return Err(PullError::NotLazy("too many local files are damaged".to_owned()));
        }
    }
    // Its file is closed before its lease is taken, and goes on through that.
    writer.suspend(&deployment.tables())?;
    guard.never_break()?;
    let Tables { contents, entries, layers, .. } = deployment.tables();
    let opened = lease_cold(contents, entries, layers, None, &mut cold)?;
    if let Some((_, path)) = opened.into_iter().next() {
        return Err(ApplyError::Opened { path }.into());
    }
    guard.hold(&cold)?;
    summary.cold_files = Some(cold.left() as u64);
    let mut journal = Journal {
        id: scratch.id().to_owned(),
        accelerator: context.options.accelerator.clone(),
        deployment: context.deployment,
        plan: plan.id.0,
        images: deployment.images.list.iter().map(journal_image).collect(),
        held: context.holdings.clone(),
        layers: deployment.snapshots.directories().map(|path| vec![path.to_owned()]).collect(),
        visible: false,
    };
    let mut prepare = || {
        journal.write(scratch.path())?;
        let contents = Contents::reopen(scratch.path())?;
        let entries = Entries::reopen(scratch.path())?;
        context.state.keep_for_hydration(scratch)?;
        Ok((contents, entries))
    };
    let (contents, entries) = prepare().inspect_err(|_: &PullError| guard.let_go(&cold))?;
    deployment.moved_to(scratch.path());

    let directory = scratch.path().to_owned();
    let mut moving = |layer: usize, to: &Path| {
        journal.moves(layer, to);
        Ok(journal.write(&directory)?)
    };
    let committed = commit(deployment, context.target, context.report, &mut moving).await;
    let mut result = match committed {
        Ok(records) => context.put_records(records).await,
        Err(error) => Err(error),
    };
    if result.is_ok() {
        journal.visible = true;
        result = journal.write(&directory).map_err(PullError::from);
    }
    let layers = deployment.take_layers();
    let stream = (!ended).then_some(Stream { answer, inflater, packs, writer });
    let client = context.client.another();
    *rest = Some(Rest { journal, directory, contents, entries, layers, cold, stream, client });
    result
}

fn journal_image(image: &StoredImage) -> JournalImage {
    JournalImage { reference: image.reference.clone(), target: image.target.0 }
}

/// Standing files get the bytes, before any of them is under a lease, until few enough are without.
struct Sink<'a> {
    deployment: &'a mut Deployment,
    writer: &'a mut ContentWriter,
    cold: &'a mut Cold,
    most: usize,
    summary: &'a mut Summary,
    report: &'a mut Report,
}

impl PackSink for Sink<'_> {
    fn seek(&mut self, offset: u64) -> Result<(), PullError> {
        let files = Files::Standing { cold: self.cold, relied: false };
        Ok(self.writer.seek(&mut self.deployment.tables_with(files), offset)?)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PullError> {
        let files = Files::Standing { cold: self.cold, relied: false };
        Ok(self.writer.write(&mut self.deployment.tables_with(files), bytes)?)
    }

    fn took(&mut self, pack: &Pack) -> Result<bool, PullError> {
        self.summary.pack_bytes += u64::from(pack.encoded_len);
        self.report.cold_files(self.cold.left());
        Ok(self.cold.left() > self.most)
    }
}
