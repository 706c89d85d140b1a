//! `skiff verify`: whether what is on the device is what it should be, and mending it.
//!
//! The device keeps no table of contents. So the accelerator is asked for that of the image's digest, as if
//! nothing were held: it is the whole tree. What is different is mended by the same steps as a pull: local copies, contents that
//! are fetched by their numbers in the plan, hard links (`apply/mend`).
//!
//! ```text
//! metadata ─▶ spool ─▶ compare ─▶ make anew ─▶ rename into place ─┐
//!                         ▲                                       │   at most three times: what is under something
//!                         └───────────────────────────────────────┘   that was removed shows only then
//! ```

use super::context::Context;
use super::deployment::Deployment;
use super::source::{Source, Wants};
use super::{PullError, PullOptions, PullTrouble, Received, Wanted, signed};
use crate::apply::{
    ApplyError, Beneath, Compared, Listing, Tables, compare, copy_held, finish, mend,
    open_directory, prepare, printable,
};
use crate::decode::Decoder;
use crate::exit::sentence;
use crate::hydrate::JournalImage;
use crate::report::{Report, Summary, Verified};
use crate::spool::{Entries, Index, PathQueue};
use crate::state::{Lock, StateDir};
use crate::sync;
use crate::target::{HeldImage, Target};
use skiff_protocol::Digest;
use skiff_protocol::request::{Part, Purpose};
use skiff_protocol::response::Plan;
use std::path::{Path, PathBuf};

/// How often something is mended and looked at again.
const ROUNDS: u32 = 3;

/// What a verification has found in all images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is as it should be.
    Right,
    /// Something was not, and is mended.
    Mended,
    /// Something is not.
    Wrong,
}

/// Verifies these images, or all. `options` say where from, and bound what it costs. With `repair` they are mended.
pub async fn verify(
    images: &[String],
    options: &PullOptions,
    repair: bool,
    target: &mut Target,
    state: &StateDir,
    _lock: &Lock,
    report: &mut Report,
) -> Result<Outcome, PullError> {
    let mut list = Vec::new();
    for name in images {
        list.push((name.clone(), target.image(name).await?));
    }
    if images.is_empty() {
        let held = target.held().await?.into_iter();
        let named = held.filter(|image| !image.name.is_empty());
        list.extend(named.map(|image| (image.name.clone(), image)));
    }
    let (mut outcome, mut refused) = (Outcome::Right, None);
    for (name, image) in list {
        match one(&name, &image, options, repair, target, state, report).await {
            Ok(verified) => {
                report.verified(&verified);
                outcome = match verified {
                    Verified { different: 0, .. } => outcome,
                    Verified { different, mended, .. } if different > mended => Outcome::Wrong,
                    _ if outcome == Outcome::Right => Outcome::Mended,
                    _ => outcome,
                };
            }
            Err(error) if matches!(error.trouble(), PullTrouble::Refused { .. }) => {
                report.unverified(&name, &sentence(&error));
                refused = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    match refused {
        Some(error) if outcome != Outcome::Wrong => Err(error),
        _ => Ok(outcome),
    }
}

async fn one(
    name: &str,
    image: &HeldImage,
    options: &PullOptions,
    repair: bool,
    target: &mut Target,
    state: &StateDir,
    report: &mut Report,
) -> Result<Verified, PullError> {
    let pinned = JournalImage { reference: image.name.clone(), target: image.target_digest };
    let options = PullOptions { wanted: Wanted::Images(vec![pinned.pinned()]), ..options.clone() };
    let scratch = state.new_pull(&[format!("{name} (verify)")], &target.name())?;
    let mut context = Context::new(&options, target, state, report, None)?;
    if let Err(error) = context.target.begin(scratch.id()).await {
        scratch.keep();
        return Err(error.into());
    }
    let mut deployment = Deployment::listing(&scratch, &options)?;
    let done = look(name, image, repair, &mut context, &mut deployment, scratch.path()).await;
    deployment.abandon(context.target).await;
    if let Err(error) = context.target.end().await {
        scratch.keep();
        done?;
        return Err(error.into());
    }
    done
}

/// Compares, and mends, until nothing is different or nothing more helps.
async fn look(
    name: &str,
    image: &HeldImage,
    repair: bool,
    context: &mut Context<'_>,
    deployment: &mut Deployment,
    scratch: &Path,
) -> Result<Verified, PullError> {
    let (mut answer, plan) = context.begin(Purpose::Deliver, Part::Metadata).await?;
    deployment.expect(&plan);
    signed::take_metadata(context, deployment, &mut answer, &mut Decoder::new()).await?;
    deployment.agrees_with(&plan)?;
    answer.without_packs(&mut context.client).await?;
    let mut entries = deployment.take_entries(scratch, 0)?;
    let index = Index::of(&mut entries, scratch)?
        .ok_or_else(|| PullError::unexpected("entries in a wrong order"))?;
    let directories = context.target.layer_dirs(image.snapshot).await?;
    let mut verified = Verified {
        image: name.to_owned(),
        digest: Digest(image.target_digest).to_string(),
        ..Verified::default()
    };
    for round in 0..=ROUNDS {
        let (state, report) = (context.state, &*context.report);
        let tree = Target::open_tree(&directories, &state.empty(), &state.tree())?;
        let mut tree = Beneath::new(tree);
        let mut listing =
            Listing { contents: &deployment.contents, entries: &mut entries, index: &index };
        let mut say = |path: &[u8], words: &[&str]| report.different(name, &printable(path), words);
        let (found, extra) = compare(&mut listing, &mut tree, scratch, &mut say)?;
        if round == 0 {
            let Compared { paths, bytes, cold, different } = found;
            verified = Verified { paths, bytes, cold_files: cold, different, ..verified };
        }
        verified.mended = verified.different.saturating_sub(found.different);
        if !repair || found.different == 0 || round == ROUNDS {
            break;
        }
        // What is too much shows, or shows again, beside what was wrong.
        verified.different = verified.different.max(found.different);
        let made = Made { entries: &mut entries, index: &index, extra, tree };
        made.mend(context, deployment, &plan, &directories, round, scratch).await?;
    }
    verified.bytes_received = context.client.counters().received();
    Ok(verified)
}

/// What is to be made anew.
struct Made<'a> {
    entries: &'a mut Entries,
    index: &'a Index,
    extra: PathQueue,
    tree: Beneath,
}

impl Made<'_> {
    async fn mend(
        mut self,
        context: &mut Context<'_>,
        deployment: &mut Deployment,
        plan: &Plan,
        directories: &[PathBuf],
        round: u32,
        scratch: &Path,
    ) -> Result<(), PullError> {
        deployment.take_entries(scratch, round + 1)?;
        deployment.begin_layer_alone(context.target).await?;
        let (entries, index) = (self.entries, self.index);
        let mut tables = deployment.tables();
        let mut listing = Listing { contents: tables.contents, entries: &mut *entries, index };
        prepare(&mut listing, &mut self.extra, &mut tables)?;
        // Afterwards nothing of the mount is open any more: what lies below it changes.
        let missing = copy_held(&mut tables, &[vec![self.tree]])?;
        if missing > 0 {
            let received = Received { answer: None, decoder: Decoder::new(), plan: *plan };
            let mut source = Source::new(received, &deployment.contents)?;
            let mut summary = Summary::default();
            source.take(context, deployment, None, &mut summary, Wants::All).await?;
        }
        let mut stack = Vec::new();
        for directory in directories {
            let opened = open_directory(directory);
            let failed = |source| PullTrouble::Directory { path: directory.clone(), source };
            stack.push(Beneath::new(opened.map_err(failed)?));
        }
        let Tables { contents, entries: made, layers, .. } = deployment.tables();
        finish(made, layers)?;
        let Some(from) = layers.first_mut() else {
            return Err(PullError::unexpected("an entry of no layer"));
        };
        sync::file_system(from.root()).map_err(ApplyError::writeback)?;
        let mut listing = Listing { contents, entries, index };
        mend(&mut listing, made, from, &mut stack, round > 0)?;
        sync::file_system(from.root()).map_err(ApplyError::writeback)?;
        deployment.abandon(context.target).await;
        Ok(())
    }
}
