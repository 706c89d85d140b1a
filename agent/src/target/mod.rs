//! Where images are deployed to: containerd, or a plain directory.
//!
//! A pull needs the same few things of either: what is held, a directory for each new layer, a
//! commit under the chain ID, blobs, image records. [`Target`] is an enum, since there are two and
//! will be no more that are chosen at run time.
//!
//! | module | what it does |
//! |---|---|
//! | `containerd` | containerd's snapshotter, content store and image records |
//! | `root` | the same in a directory (`root/mod.rs` describes its layout) |
//! | `name` | what snapshots are called |
//! | `record` | image records |
//! | `mounting` | the tree of an image, read-only, on a directory |
//! | `error` | errors of both |

mod containerd;
mod error;
mod mounting;
mod name;
mod record;
mod root;
#[cfg(test)]
pub mod samples;

pub use error::{TargetError, TargetTrouble};
pub use name::SnapshotName;
pub use record::{ImageRecord, is_previous, previous, reference};

use containerd::ContainerdTarget;
use root::RootTarget;
use rustix::fd::OwnedFd;
use serde::Serialize;
use skiff_protocol::Digest;
use skiff_protocol::limits::MAX_HELD;
use std::path::{Path, PathBuf};

/// Snapshots and leases of the agent begin with this.
pub const PREFIX: &str = "skiff-";

/// An image that the target holds completely, or a base below one: its snapshot is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldImage {
    /// Its name; empty for a base.
    pub name: String,
    /// What its record points to: an index or a manifest. Of a base its tree.
    pub target_digest: [u8; 32],
    /// Its manifest for this device. Of a base its tree.
    pub manifest_digest: [u8; 32],
    /// Its snapshot.
    pub snapshot: SnapshotName,
    /// Layers of its overlay stack.
    pub depth: u16,
}

impl HeldImage {
    fn base(tree: Digest, depth: u16) -> Self {
        let snapshot = SnapshotName::Base(tree);
        Self {
            name: String::new(),
            target_digest: tree.0,
            manifest_digest: tree.0,
            snapshot,
            depth,
        }
    }

    /// The record of this name for it. Bases have none.
    fn record(&self, name: &str, size: u64, media_type: String) -> Option<ImageRecord> {
        let SnapshotName::Chain(chain_id) = self.snapshot else { return None };
        let (target, manifest) = (Digest(self.target_digest), Digest(self.manifest_digest));
        let name = name.to_owned();
        Some(ImageRecord { name, target, size, media_type, manifest, chain_id })
    }
}

/// Adds the bases to the images, each once, as far as there is room.
fn add_bases(held: &mut Vec<HeldImage>, bases: Vec<HeldImage>, limit: usize) {
    for base in bases {
        if held.len() < limit && !held.contains(&base) {
            held.push(base);
        }
    }
}

/// An image record, as it is shown.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ListedImage {
    /// Its name.
    pub name: String,
    /// What it points to.
    pub digest: String,
}

/// What a blob refers to, so that garbage collection keeps it.
#[derive(Debug, Clone, Copy)]
pub enum BlobLabels {
    /// An index, and the manifest for this device.
    Index {
        /// The manifest's digest.
        manifest: [u8; 32],
    },
    /// A manifest. (The layer blobs that it lists are not on the device.)
    Manifest {
        /// The config's digest.
        config: [u8; 32],
    },
    /// A config.
    Config {
        /// The name of the image's snapshot.
        chain_id: [u8; 32],
    },
}

/// A place that images are deployed to.
#[derive(Debug)]
pub enum Target {
    /// containerd.
    Containerd(ContainerdTarget),
    /// A directory.
    Root(RootTarget),
}

impl Target {
    /// containerd behind this socket.
    pub async fn containerd(
        socket: &Path,
        namespace: &str,
        snapshotter: &str,
    ) -> Result<Self, TargetError> {
        let target = ContainerdTarget::connect(socket, namespace, snapshotter).await?;
        Ok(Self::Containerd(target))
    }

    /// A plain directory, which is made if it is not there.
    pub fn root(directory: &Path) -> Result<Self, TargetError> {
        RootTarget::open(directory).map(Self::Root)
    }

    /// Tells this target from others, for the record of a pull.
    pub fn name(&self) -> String {
        match self {
            Self::Containerd(target) => target.name().to_owned(),
            Self::Root(target) => target.name(),
        }
    }

    /// The images that are held completely, and behind them the bases that they lie on; at most
    /// [`MAX_HELD`] together.
    pub async fn held(&self) -> Result<Vec<HeldImage>, TargetError> {
        match self {
            Self::Containerd(target) => target.held(MAX_HELD).await,
            Self::Root(target) => target.held(MAX_HELD),
        }
    }

    /// An image that is held completely, by the name of its record.
    pub async fn image(&self, name: &str) -> Result<HeldImage, TargetError> {
        match self {
            Self::Containerd(target) => target.image(name).await,
            Self::Root(target) => target.image(name),
        }
    }

    /// An image record, if all is there that it leads to.
    pub async fn record(&self, name: &str) -> Result<Option<ImageRecord>, TargetError> {
        match self {
            Self::Containerd(target) => target.record(name).await,
            Self::Root(target) => target.record(name),
        }
    }

    /// The overlay layers of a committed snapshot, top first.
    pub async fn layer_dirs(&self, snapshot: SnapshotName) -> Result<Vec<PathBuf>, TargetError> {
        match self {
            Self::Containerd(target) => target.layer_dirs(snapshot).await,
            Self::Root(target) => target.layer_dirs(snapshot),
        }
    }

    /// Begins a pull. What it makes is kept until [`Target::end`].
    pub async fn begin(&mut self, pull: &str) -> Result<(), TargetError> {
        match self {
            Self::Containerd(target) => target.begin(pull).await,
            Self::Root(_) => Ok(()),
        }
    }

    /// Removes what a dead pull of this ID left here.
    pub async fn discard(&mut self, pull: &str) -> Result<(), TargetError> {
        match self {
            Self::Containerd(target) => target.discard(pull).await,
            Self::Root(target) => target.discard(pull),
        }
    }

    /// Ends a pull: what no image record needs by now may be collected.
    pub async fn end(&mut self) -> Result<(), TargetError> {
        match self {
            Self::Containerd(target) => target.end().await,
            Self::Root(target) => target.sweep().map(drop),
        }
    }

    /// Whether the snapshot of this name is committed. Within a pull it stays until its end.
    pub async fn snapshot_exists(&self, name: SnapshotName) -> Result<bool, TargetError> {
        match self {
            Self::Containerd(target) => target.snapshot_exists(name).await,
            Self::Root(target) => target.snapshot_exists(name),
        }
    }

    /// Layers of a committed snapshot's stack; nothing if one is missing.
    pub async fn depth(&self, name: SnapshotName) -> Result<Option<u16>, TargetError> {
        match self {
            Self::Containerd(target) => target.depth(name).await,
            Self::Root(target) => target.depth(name),
        }
    }

    /// Makes a snapshot on this parent; gives the directory of its layer.
    pub async fn prepare(
        &self,
        key: &str,
        parent: Option<SnapshotName>,
    ) -> Result<PathBuf, TargetError> {
        match self {
            Self::Containerd(target) => target.prepare(key, parent).await,
            Self::Root(target) => target.prepare(key, parent),
        }
    }

    /// The directory of a snapshot that was prepared, by this process or a dead one.
    pub async fn prepared(&self, key: &str) -> Result<Option<PathBuf>, TargetError> {
        match self {
            Self::Containerd(target) => target.prepared(key).await,
            Self::Root(target) => target.prepared(key),
        }
    }

    /// Commits a snapshot under its name. If that exists already, ours is removed: it is the same
    /// tree.
    pub async fn commit(&self, key: &str, name: SnapshotName) -> Result<(), TargetError> {
        match self {
            Self::Containerd(target) => target.commit(key, name).await,
            Self::Root(target) => target.commit(key, name),
        }
    }

    /// Removes a prepared snapshot as far as that is possible; what stays is listed by
    /// [`Target::leftovers`].
    pub async fn abort(&self, key: &str) {
        // The pull fails anyway, for a reason that matters more.
        let _ = match self {
            Self::Containerd(target) => target.abort(key).await,
            Self::Root(target) => target.abort(key),
        };
    }

    /// Stores an index, manifest or config from a file.
    pub async fn put_blob(
        &self,
        digest: [u8; 32],
        size: u64,
        path: &Path,
        labels: BlobLabels,
    ) -> Result<(), TargetError> {
        match self {
            Self::Containerd(target) => target.put_blob(Digest(digest), size, path, labels).await,
            // Its garbage collection reads manifests.
            Self::Root(target) => target.put_blob(Digest(digest), path),
        }
    }

    /// Makes an image record, or changes what an existing one points to.
    pub async fn put_image(&self, record: &ImageRecord) -> Result<(), TargetError> {
        match self {
            Self::Containerd(target) => target.put_image(record).await,
            Self::Root(target) => target.put_image(record),
        }
    }

    /// Keeps what this record leads to until the end of the pull, as far as it is there.
    pub async fn keep_image(&self, record: &ImageRecord) -> Result<(), TargetError> {
        match self {
            Self::Containerd(target) => target.keep_image(record).await,
            // Only the end of a pull collects anything.
            Self::Root(_) => Ok(()),
        }
    }

    /// Whether what this record leads to is complete, whether or not there is such a record.
    pub async fn holds(&self, record: &ImageRecord) -> Result<bool, TargetError> {
        match self {
            Self::Containerd(target) => target.holds(record).await,
            Self::Root(target) => target.holds(record),
        }
    }

    /// All image records, complete or not.
    pub async fn list(&self) -> Result<Vec<ListedImage>, TargetError> {
        match self {
            Self::Containerd(target) => target.list().await,
            Self::Root(target) => target.list(),
        }
    }

    /// Removes an image record, and what only that image needed.
    pub async fn remove(&mut self, name: &str) -> Result<(), TargetError> {
        match self {
            Self::Containerd(target) => target.remove(name).await,
            Self::Root(target) => target.remove(name),
        }
    }

    /// Mounts the tree of an image on a directory, read-only. `empty` is a directory of ours that is empty, or is
    /// made.
    pub async fn mount(
        &self,
        name: &str,
        empty: &Path,
        directory: &Path,
    ) -> Result<(), TargetError> {
        let layers = self.layer_dirs(self.image(name).await?.snapshot).await?;
        mounting::mount(&layers, empty, directory)
    }

    /// The tree of these layers, top first, mounted nowhere but for a moment on `directory`, which is ours.
    pub fn open_tree(
        layers: &[PathBuf],
        empty: &Path,
        directory: &Path,
    ) -> Result<OwnedFd, TargetError> {
        mounting::open(layers, empty, directory)
    }

    /// What unfinished pulls left in the target: keys of snapshots, and in a plain directory also
    /// snapshots and blobs that no image needs.
    pub async fn leftovers(&self) -> Result<Vec<String>, TargetError> {
        match self {
            Self::Containerd(target) => target.leftovers().await,
            Self::Root(target) => target.leftovers(),
        }
    }

    /// Removes what unfinished pulls left; gives how many things that were. No pull may be under
    /// way.
    pub async fn collect(&mut self) -> Result<usize, TargetError> {
        match self {
            Self::Containerd(target) => target.collect().await,
            Self::Root(target) => target.collect(),
        }
    }
}
