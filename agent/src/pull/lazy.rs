//! Makes images startable before they are all there: what is not there yet stands as cold files, which
//! the daemon hydrates.
//!
//! ```text
//! placeholders ─▶ local copies, and packs meanwhile
//!              ─▶ packs, while there are more cold files than may be
//!              ─▶ leases, and copies of them with the holder
//!              ─▶ journal, scratch directory becomes one that is hydrated   (`hydrate/journal`)
//!              ─▶ commit, image records
//! ```
//!
//! Local copies are made by another thread, and what the stream brings meanwhile is taken: an update may copy hundreds of
//! megabytes, and the link would stand still for as long, and then begin slowly again (TCP).
//!
//! The leases are taken before the commit, so nobody can ever open a placeholder; the journal is on the disk before
//! the commit, so that after a power cut it is known what is cold. From then on nothing is taken back: what may be
//! visible is hydrated, whatever fails.

use super::commit::commit;
use super::deployment::Deployment;
use super::images::StoredImage;
use super::source::{Source, Stream, Wants};
use super::{Context, PullError, PullTrouble, Received};
use crate::apply::{
    ApplyError, ApplyTrouble, Bases, Beneath, Tables, lease_cold, make_placeholders,
};
use crate::cold::Cold;
use crate::http::Client;
use crate::hydrate::{Journal, JournalImage};
use crate::report::Summary;
use crate::spool::{ContentRow, Contents, Entries};
use crate::state::Scratch;
use skiff_protocol::request::Codecs;
use skiff_protocol::response::Plan;
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
    /// What patches refer to of held images.
    pub bases: Bases,
    /// Whether packs may be patches, and of what.
    pub patches: Codecs,
    /// The stream that brings the rest.
    pub stream: Option<Stream>,
    /// A client of the accelerator.
    pub client: Client,
}

/// Decides whether this deployment is made lazily. Where it can't be but must, that is an error.
pub(super) fn is_possible(
    context: &mut Context<'_>,
    deployment: &Deployment,
    plan: &Plan,
) -> Result<bool, PullError> {
    let Some(guard) = context.guard else {
        return match context.options.lazy {
            Laziness::Require => {
                Err(PullTrouble::NotLazy("no daemon is running".to_owned()).into())
            }
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
            Err(PullTrouble::NotLazy(reason).into())
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
        return Err(PullTrouble::NotLazy("no daemon is running".to_owned()).into());
    };
    let sources = context.held_layers(&deployment.sources_used).await?;
    let mut cold = Cold::default();
    let Tables { contents, entries, layers, .. } = deployment.tables();
    let packed = make_placeholders(contents, entries, layers, ContentRow::is_packed)?;
    cold.expect(packed as usize);

    let plan = received.plan;
    let most = guard.free() as usize;
    let mut source = Source::new(received, &deployment.contents)?;
    if deployment.sources_used.contains(&true) {
        let copying = deployment.copying(sources)?;
        let copied = source.take_beside(context, deployment, &mut cold, summary, copying).await?;
        let damaged = copied?;
        if damaged > 0 {
            context.report.damaged(damaged);
            let Tables { contents, entries, layers, .. } = deployment.tables();
            let held = make_placeholders(contents, entries, layers, |row| !row.is_packed())?;
            cold.expect(cold.left() + held as usize);
        }
    }
    if cold.left() > most {
        let standing = Some((&mut cold, most));
        source.take(context, deployment, standing, summary, Wants::Packs).await?;
        if cold.left() > most {
            return Err(PullTrouble::NotLazy("too many local files are damaged".to_owned()).into());
        }
    }
    // Its file is closed before its lease is taken, and goes on through that.
    let stream = source.stream(&deployment.contents)?;
    context.options.give_up.is_too_late();
    guard.never_break()?;
    let Tables { contents, entries, layers, .. } = deployment.tables();
    let opened = lease_cold(contents, entries, layers, None, &mut cold)?;
    if let Some((_, path)) = opened.into_iter().next() {
        return Err(ApplyError::from(ApplyTrouble::Opened { path }).into());
    }
    guard.hold(&cold)?;
    summary.cold_files = Some(cold.left() as u64);
    let mut journal = Journal {
        id: scratch.id().to_owned(),
        accelerator: context.options.accelerator.clone(),
        pack_len: plan.version.has_rest().then_some(plan.pack_len),
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
    let bases = std::mem::take(&mut deployment.bases);
    let (patches, client) = (context.patches, context.client.another());
    *rest = Some(Rest {
        journal,
        directory,
        contents,
        entries,
        layers,
        cold,
        bases,
        patches,
        stream,
        client,
    });
    result
}

fn journal_image(image: &StoredImage) -> JournalImage {
    JournalImage { reference: image.reference.clone(), target: image.target.0 }
}
