//! What an earlier pull to the same target has brought before it ended: what is of use is taken over, by digest, then all
//! of it is removed.
//!
//! A pull leaves it when its link, its accelerator or its own process fails, and at a power cut:
//!
//! ```text
//! STATE/pulls/ID/contents, entries    which contents it had, and in which files
//! STATE/pulls/ID/plan                 the ID of its plan
//! snapshots skiff-ID-N                those files
//! ```

use super::{Context, PullError};
use crate::apply::{ApplyTrouble, Beneath, Unfinished, open_directory, take_over};
use crate::spool::{Contents, Entries};
use crate::state::Leftover;
use skiff_protocol::Digest;
use skiff_protocol::limits::MAX_WANTED;
use std::fs;
use std::path::Path;

const PLAN: &str = "plan";

/// Writes down which plan a pull follows.
pub(super) fn note_plan(scratch: &Path, plan: Digest) -> Result<(), PullError> {
    let path = scratch.join(PLAN);
    let failed = |e| crate::state::StateError::io(&path, e);
    Ok(fs::write(&path, plan.0).map_err(failed)?)
}

/// Opens what a dead pull has left. Nothing if no byte of a content is of use.
pub(super) async fn open(context: &Context<'_>, dead: &Leftover) -> Option<Earlier> {
    let directory = context.state.scratch_of(dead);
    let contents = Contents::reopen(&directory).ok()?;
    if !contents.has_some().ok()? {
        return None;
    }
    let entries = Entries::reopen(&directory).ok()?;
    let mut layers = Vec::new();
    // A base for every image, and a layer on it.
    for number in 0..2 * MAX_WANTED {
        let key = format!("skiff-{}-{number}", dead.id);
        let Ok(Some(path)) = context.target.prepared(&key).await else { break };
        layers.push(open_directory(&path).ok().map(Beneath::new));
    }
    let plan = fs::read(directory.join(PLAN)).ok();
    let plan = plan.and_then(|bytes| bytes.try_into().ok()).map(Digest);
    let files = Unfinished { contents, entries, layers };
    Some(Earlier { id: dead.id.clone(), plan, files })
}

/// An earlier pull.
#[derive(Debug)]
pub(super) struct Earlier {
    id: String,
    plan: Option<Digest>,
    files: Unfinished,
}

impl Earlier {
    /// The pull's ID.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Takes over what is of use for this plan; contents that are there in part only with `parts`.
    pub fn take_over(
        &mut self,
        context: &mut Context<'_>,
        deployment: &mut super::deployment::Deployment,
        plan: Digest,
        parts: bool,
    ) -> Result<(), PullError> {
        let parts = parts && self.plan == Some(plan);
        match take_over(&mut deployment.tables(), &mut self.files, parts) {
            Ok((contents, bytes)) => context.report.resumed(contents, bytes),
            // Its scratch files are damaged, as they may be after a power cut: what was found before counts.
            Err(error) if matches!(error.trouble(), ApplyTrouble::Spool(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
