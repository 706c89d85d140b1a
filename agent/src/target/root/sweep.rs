//! Garbage collection of a plain directory: what no image record leads to.

use super::records::io;
use super::{RootTarget, Snapshot, names};
use crate::sync::UNFINISHED;
use crate::target::{SnapshotName, TargetError};
use skiff_protocol::Digest;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// What can go, and how it is called.
struct Garbage {
    path: PathBuf,
    name: String,
    kind: Kind,
}

#[derive(PartialEq, Eq)]
enum Kind {
    /// A snapshot that was never committed.
    Unfinished,
    /// A committed snapshot.
    Snapshot,
    /// A blob, or a file that was not finished.
    File,
}

impl RootTarget {
    /// Names of what unfinished pulls left.
    pub(crate) fn leftovers(&self) -> Result<Vec<String>, TargetError> {
        Ok(self.garbage()?.into_iter().map(|garbage| garbage.name).collect())
    }

    /// Removes all garbage; gives how many things that were.
    pub(crate) fn collect(&self) -> Result<usize, TargetError> {
        let garbage = self.garbage()?;
        let count = garbage.len();
        garbage.iter().try_for_each(remove)?;
        Ok(count)
    }

    /// Removes garbage, except for snapshots that are being written.
    pub(crate) fn sweep(&self) -> Result<usize, TargetError> {
        let mut garbage = self.garbage()?;
        garbage.retain(|garbage| garbage.kind != Kind::Unfinished);
        garbage.iter().try_for_each(remove)?;
        Ok(garbage.len())
    }

    fn garbage(&self) -> Result<Vec<Garbage>, TargetError> {
        let snapshots = self.all_snapshots()?;
        let (mut chains, mut blobs) = (BTreeSet::new(), BTreeSet::new());
        for record in self.records()? {
            mark_stack(&snapshots, record.snapshot(), &mut chains);
            blobs.extend([record.target, record.manifest]);
            blobs.extend(self.config_of(&record.manifest)?);
        }
        let mut garbage = Vec::new();
        for snapshot in &snapshots {
            // What is being written needs its parents.
            if snapshot.about.key.is_some()
                && let Some(parent) = snapshot.about.parent
            {
                mark_stack(&snapshots, parent, &mut chains);
            }
        }
        for Snapshot { number, about } in &snapshots {
            let path = self.snapshots.join(number.to_string());
            match (&about.chain, &about.key) {
                (Some(chain), _) if chains.contains(chain) => {}
                (Some(chain), _) => {
                    garbage.push(Garbage { path, name: chain.to_string(), kind: Kind::Snapshot });
                }
                (None, Some(key)) => {
                    garbage.push(Garbage { path, name: key.clone(), kind: Kind::Unfinished });
                }
                // Whoever made it died before it was a pull's. All others wait for the lock.
                (None, None) => {
                    let name = format!("snapshots/{number}");
                    garbage.push(Garbage { path, name, kind: Kind::Snapshot });
                }
            }
        }
        for name in names(&self.blobs)? {
            if !Digest::parse(&format!("sha256:{name}")).is_some_and(|it| blobs.contains(&it)) {
                let path = self.blobs.join(&name);
                let name = format!("content/blobs/sha256/{name}");
                garbage.push(Garbage { path, name, kind: Kind::File });
            }
        }
        let path = self.images.join(UNFINISHED);
        if path.exists() {
            garbage.push(Garbage { path, name: format!("images/{UNFINISHED}"), kind: Kind::File });
        }
        Ok(garbage)
    }
}

/// Marks a snapshot and its parents, as far as they are there.
fn mark_stack(snapshots: &[Snapshot], name: SnapshotName, marked: &mut BTreeSet<SnapshotName>) {
    let mut next = Some(name);
    while let Some(name) = next {
        if !marked.insert(name) {
            return;
        }
        let found = snapshots.iter().find(|snapshot| snapshot.about.chain == Some(name));
        next = found.and_then(|snapshot| snapshot.about.parent);
    }
}

fn remove(garbage: &Garbage) -> Result<(), TargetError> {
    let removed = match garbage.kind {
        Kind::File => fs::remove_file(&garbage.path),
        Kind::Snapshot | Kind::Unfinished => fs::remove_dir_all(&garbage.path),
    };
    removed.map_err(|source| io(&garbage.path, source))
}
