//! The layers of a deployment, and how each gets its parent and its name.
//!
//! containerd prepares a snapshot on a committed parent only. A base of the same stream can't be
//! committed before its last file is there, and its files come among those of the layers on it. So a
//! layer on such a base is written into a snapshot without parent, and is put on the base at the
//! end, when the base is committed: another snapshot is prepared on the base, and the directory of
//! the layer is renamed over its empty one. One `rename(2)` is atomic, costs the same for any
//! layer, and changes nothing in it: whiteouts, attributes, hard links, times. (To commit the base
//! first and fill it afterwards would be simpler, but a power cut would leave it half-filled under a
//! name that the next pull trusts; and containerd can't rename snapshots.)
//!
//! A parent that has [`MAX_STACK`] layers already gets none on top: the layer is written without
//! parent, too, and at the end both are laid into one (`apply/reroot`). Where that is not possible, the stack
//! gets deeper after all, and the next update tries again. For a base that is so one layer earlier: the layers on it
//! need room, and to lay each of them into one with the base would leave them without it.
//!
//! The keys of all snapshots that are not committed begin with the pull's, so whatever a dead pull
//! leaves is found. A base that was committed and that no image lies on yet is garbage as soon as
//! the pull's lease ends.

use super::commit::Moving;
use super::{PullError, PullTrouble};
use crate::apply::{ApplyTrouble, Beneath, open_directory, reroot};
use crate::sync;
use crate::target::{HeldImage, SnapshotName, Target, TargetError};
use rustix::fs::{AtFlags, CWD, chownat, renameat, statat};
use skiff_protocol::Digest;
use skiff_protocol::limits::MAX_WANTED;
use skiff_protocol::record::Parent;
use std::path::{Path, PathBuf};

/// Most layers of an image that a pull makes. overlayfs asks one layer after the other for a name
/// that isn't there, and containerd's mount options must fit into a page; a delta layer for each of
/// the last weeks' updates is well within both.
pub const MAX_STACK: u16 = 16;

/// A stack of so many layers gets no layer on top: an image's, or a base, on which others come.
fn most_below(is_base: bool) -> u16 {
    MAX_STACK - u16::from(is_base)
}

/// A layer that is being received.
#[derive(Debug)]
pub struct NewLayer {
    /// Key of the snapshot that it is written into.
    key: String,
    /// The directory of that.
    directory: PathBuf,
    /// The parent that it gets at the end; if none, it has the right one already.
    parent: Option<SnapshotName>,
    /// Whether that is a stack as deep as may be.
    makes_root: bool,
    /// Its name, if it is a base.
    base: Option<Digest>,
}

/// All of them, in the order of the stream.
#[derive(Debug, Default)]
pub struct NewLayers {
    list: Vec<NewLayer>,
    /// One of them has a parent that is held.
    builds_on_held: bool,
    /// A Base record has come, and its layer has not.
    announced: Option<Digest>,
}

impl NewLayers {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The next layer is a base.
    pub fn announce_base(&mut self, tree: Digest) -> Result<(), PullError> {
        match self.announced.replace(tree) {
            None => Ok(()),
            Some(_) => Err(PullError::unexpected("a base without a layer")),
        }
    }

    /// Whether a base was announced whose layer has not come.
    pub fn awaits_layer(&self) -> bool {
        self.announced.is_some()
    }

    /// Where they are.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        self.list.iter().map(|layer| &*layer.directory)
    }

    /// Whether one of them is to be laid into one with the stack that it lies on, whose files have to be
    /// there for that.
    pub fn makes_root(&self) -> bool {
        self.list.iter().any(|layer| layer.makes_root)
    }

    /// Whether one of them lies on what is held.
    pub fn builds_on_held(&self) -> bool {
        self.builds_on_held
    }

    /// Makes the snapshot of the next layer; gives its directory.
    pub async fn begin(
        &mut self,
        parent: Parent,
        pull_id: &str,
        target: &Target,
        held: &[HeldImage],
    ) -> Result<Beneath, PullError> {
        let base = self.announced.take();
        let of_its_kind = self.list.iter().filter(|layer| layer.base.is_some() == base.is_some());
        if of_its_kind.count() >= MAX_WANTED {
            return Err(PullError::unexpected("a layer too many"));
        }
        let (now, at_the_end) = self.parent(parent, base.is_some(), held)?;
        self.builds_on_held |= matches!(parent, Parent::Held(_));
        // Nothing is prepared on it yet that would keep it.
        if let (Parent::Held(_), Some(name)) = (parent, at_the_end)
            && !target.snapshot_exists(name).await?
        {
            return Err(TargetError::no_snapshot(&name.to_string()).into());
        }
        let key = format!("skiff-{pull_id}-{}", self.list.len());
        // Known before it is there, so that it is removed if anything fails.
        self.list.push(NewLayer {
            key,
            directory: PathBuf::new(),
            parent: at_the_end,
            makes_root: at_the_end.is_some() && matches!(parent, Parent::Held(_)),
            base,
        });
        let Some(layer) = self.list.last_mut() else {
            return Err(PullError::unexpected("an entry of no layer"));
        };
        layer.directory = target.prepare(&layer.key, now).await?;
        open(&layer.directory)
    }

    /// The parent to prepare the snapshot on, and the parent that it gets later instead.
    fn parent(
        &self,
        parent: Parent,
        is_base: bool,
        held: &[HeldImage],
    ) -> Result<(Option<SnapshotName>, Option<SnapshotName>), PullError> {
        match parent {
            Parent::None => Ok((None, None)),
            Parent::Held(image) => {
                let image = held
                    .get(usize::from(image))
                    .ok_or_else(|| PullError::unexpected("a parent that is not held"))?;
                let snapshot = Some(image.snapshot);
                Ok(match image.depth < most_below(is_base) {
                    true => (snapshot, None),
                    false => (None, snapshot),
                })
            }
            Parent::Layer(number) => {
                let tree = self.list.get(usize::from(number)).and_then(|layer| layer.base);
                let tree = tree.ok_or_else(|| PullError::unexpected("a parent that is no base"))?;
                Ok((None, Some(SnapshotName::Base(tree))))
            }
            _ => Err(PullError::unexpected("a parent of an unknown kind")),
        }
    }

    /// The names of all layers, given which layer is which image's: each must be either a base or
    /// one image's.
    pub fn names(
        &self,
        images: impl Iterator<Item = (u16, Digest)>,
    ) -> Result<Vec<SnapshotName>, PullError> {
        let wrong = || PullError::unexpected("layers that are not one image's each, or a base");
        let base = |layer: &NewLayer| layer.base.map(SnapshotName::Base);
        let mut names: Vec<_> = self.list.iter().map(base).collect();
        for (number, chain_id) in images {
            let name = names.get_mut(usize::from(number)).ok_or_else(wrong)?;
            if name.replace(SnapshotName::Chain(chain_id)).is_some() {
                return Err(wrong());
            }
        }
        names.into_iter().collect::<Option<_>>().ok_or_else(wrong)
    }

    /// Commits a layer whose files are all there and synced. Those before it are committed already.
    /// `scratch` is a directory for a temporary file.
    pub async fn commit(
        &self,
        number: usize,
        name: SnapshotName,
        scratch: &Path,
        target: &Target,
        moving: Moving<'_>,
    ) -> Result<(), PullError> {
        let Some(layer) = self.list.get(number) else {
            return Err(PullError::unexpected("an image with a layer that is not there"));
        };
        let Some(parent) = layer.parent else {
            return Ok(target.commit(&layer.key, name).await?);
        };
        if !target.snapshot_exists(name).await? {
            let key = layer.final_key();
            let Some(depth) = target.depth(parent).await? else {
                return Err(TargetError::no_snapshot(&parent.to_string()).into());
            };
            let mut root = None;
            if depth >= most_below(layer.base.is_some()) {
                root = layer.root(parent, scratch, target).await?;
            }
            let directory = match root {
                Some(directory) => directory,
                None => {
                    let directory = target.prepare(&key, Some(parent)).await?;
                    moving(number, &directory)?;
                    move_to(&layer.directory, &directory)?;
                    directory
                }
            };
            let root = open(&directory)?;
            sync::file_system(root.root()).map_err(|e| unusable(&directory, e))?;
            target.commit(&key, name).await?;
        }
        target.abort(&layer.key).await;
        Ok(())
    }

    /// Gives up: removes the prepared snapshots as far as that is possible.
    pub async fn abandon(&mut self, target: &Target) {
        for layer in self.list.drain(..) {
            target.abort(&layer.key).await;
            if layer.parent.is_some() {
                target.abort(&layer.final_key()).await;
            }
        }
    }
}

impl NewLayer {
    /// Key of the snapshot that it is committed from, if that is not the one that it is written into.
    fn final_key(&self) -> String {
        format!("{}-whole", self.key)
    }

    /// Makes a snapshot without parent of the layer and what should lie below it; gives its directory.
    /// Nothing, and no snapshot, if that is not possible.
    async fn root(
        &self,
        below: SnapshotName,
        scratch: &Path,
        target: &Target,
    ) -> Result<Option<PathBuf>, PullError> {
        let mut stack = vec![open(&self.directory)?];
        for directory in target.layer_dirs(below).await? {
            stack.push(open(&directory)?);
        }
        let key = self.final_key();
        let directory = target.prepare(&key, None).await?;
        match reroot(&stack, &mut open(&directory)?, scratch) {
            Ok(()) => Ok(Some(directory)),
            Err(error) if matches!(error.trouble(), ApplyTrouble::Unlinkable { .. }) => {
                target.abort(&key).await;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Puts a directory in the place of an empty one, which containerd has given an owner.
fn move_to(from: &Path, to: &Path) -> Result<(), PullError> {
    let moved = || {
        let is = statat(CWD, from, AtFlags::empty())?;
        let should = statat(CWD, to, AtFlags::empty())?;
        if (is.st_uid, is.st_gid) != (should.st_uid, should.st_gid) {
            let owner = rustix::fs::Uid::from_raw(should.st_uid);
            let group = rustix::fs::Gid::from_raw(should.st_gid);
            chownat(CWD, from, Some(owner), Some(group), AtFlags::empty())?;
        }
        renameat(CWD, from, CWD, to)
    };
    moved().map_err(|source| unusable(to, source))
}

fn open(directory: &Path) -> Result<Beneath, PullError> {
    open_directory(directory).map(Beneath::new).map_err(|source| unusable(directory, source))
}

fn unusable(directory: &Path, source: rustix::io::Errno) -> PullError {
    PullTrouble::Directory { path: directory.to_owned(), source }.into()
}

#[cfg(test)]
mod tests;
