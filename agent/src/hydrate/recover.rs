//! Takes up what another process has left: after a crash, an upgrade, or a power cut.
//!
//! If the holder lives, its descriptors still have the leases, and whoever waited goes on waiting. Otherwise, at boot, this
//! runs before any container, opens what the journal calls cold, and leases it anew. A file that somebody has open by
//! then may have been read as zeros, and is named.

use super::{HydrateError, Journal, Unguarded};
use crate::apply::{Bases, Beneath, Kept, check_filled, lease_cold, leave_removed, open_directory};
use crate::cold::Cold;
use crate::http::{Client, Security};
use crate::pull::{PullError, Rest};
use crate::spool::{Contents, Entries};
use crate::state::StateError;
use skiff_protocol::request::Codecs;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Takes up the deployment in this directory; with what may have been read as zeros.
pub fn recover(
    directory: &Path,
    kept: &mut Kept,
    security: &Rc<Security>,
) -> Result<(Rest, Vec<Unguarded>), HydrateError> {
    let journal = Journal::read(directory)?;
    let contents = Contents::reopen(directory).map_err(PullError::from)?;
    let mut entries = Entries::reopen(directory).map_err(PullError::from)?;
    let mut layers = Vec::new();
    for candidates in &journal.layers {
        layers.push(open_layer(candidates, directory)?);
    }
    contents.forget_urgent().map_err(PullError::from)?;
    let whole = check_filled(&contents, &mut entries, &layers).map_err(PullError::from)?;
    let mut cold = Cold::default();
    let opened = lease_cold(&contents, &mut entries, &layers, Some(kept), &mut cold);
    let opened = opened.map_err(PullError::from)?;
    let left = leave_removed(&contents, &mut entries, &mut cold).map_err(PullError::from)?;
    cold.expect(left);
    cold.not_settled(whole);
    let client = Client::new(&journal.accelerator, security).map_err(PullError::from)?;
    let unguarded = opened.into_iter().map(|(inode, path)| Unguarded { path, inode }).collect();
    let directory = directory.to_owned();
    // What patches refer to may be gone.
    let (bases, patches, stream) = (Bases::default(), Codecs::default(), None);
    let rest = Rest {
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
    };
    Ok((rest, unguarded))
}

/// A layer's directory, wherever it is by now; if it is nowhere, its image was removed, and an empty one
/// stands for it.
fn open_layer(candidates: &[PathBuf], scratch: &Path) -> Result<Beneath, HydrateError> {
    for candidate in candidates.iter().rev() {
        if let Ok(directory) = open_directory(candidate) {
            return Ok(Beneath::new(directory));
        }
    }
    let empty = scratch.join("removed");
    let failed = |e| StateError::io(&empty, e);
    match fs::create_dir(&empty) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(e).into()),
        _ => {}
    }
    Ok(Beneath::new(open_directory(&empty).map_err(|e| failed(e.into()))?))
}
