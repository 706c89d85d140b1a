//! What can go wrong with a target.

use crate::containerd::GrpcError;
use crate::containerd::metadata::MetadataError;
use skiff_protocol::Digest;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A target that can't do what it should. It is one word, since almost every call may fail, and does not.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct TargetError(Box<TargetTrouble>);

impl<T> From<T> for TargetError
where
    TargetTrouble: From<T>,
{
    fn from(trouble: T) -> Self {
        Self(Box::new(trouble.into()))
    }
}

/// Why it can't.
#[derive(Debug, Error)]
pub enum TargetTrouble {
    /// containerd.
    #[error(transparent)]
    Containerd(#[from] GrpcError),
    /// The snapshotter doesn't make overlayfs layers.
    #[error(
        "the snapshotter {snapshotter} does not make overlayfs layers; use --snapshotter overlayfs"
    )]
    Snapshotter {
        /// Its name.
        snapshotter: String,
    },
    /// No such image.
    #[error("there is no image {name} here; `skiff ls` lists what there is")]
    UnknownImage {
        /// Its name.
        name: String,
    },
    /// An image that is there in part only.
    #[error("{name} is not complete on this device; pull it first")]
    Incomplete {
        /// Its name.
        name: String,
    },
    /// An image whose name pointed to nothing else before.
    #[error("{name} was never updated here, so there is nothing to go back to")]
    NothingBefore {
        /// Its name.
        name: String,
    },
    /// A snapshot that is not there.
    #[error("there is no snapshot {name}; run the pull again")]
    NoSnapshot {
        /// Its key or chain ID.
        name: String,
    },
    /// A file operation in a plain directory.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of a plain directory that skiff did not write so.
    #[error("{} is damaged; remove the image with `skiff rm` or restore the file", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A manifest in a plain directory that can't be understood.
    #[error("the manifest {digest} can't be understood; pull its image again")]
    Manifest {
        /// Its digest.
        digest: Digest,
        /// Why.
        source: MetadataError,
    },
    /// An image that can't be mounted.
    #[error("cannot mount the image on {}", path.display())]
    Mount {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A stack whose layers lie in places that can't be named to the kernel.
    #[error("the layers of this image lie in different directories, {} for one; they can't be mounted together", path.display())]
    Scattered {
        /// One of them.
        path: PathBuf,
    },
}

impl TargetError {
    /// Why.
    pub fn trouble(&self) -> &TargetTrouble {
        &self.0
    }

    /// There is no image of this name.
    pub fn unknown(name: &str) -> Self {
        TargetTrouble::UnknownImage { name: name.to_owned() }.into()
    }

    /// The image of this name is there in part only.
    pub fn incomplete(name: &str) -> Self {
        TargetTrouble::Incomplete { name: name.to_owned() }.into()
    }

    /// The image of this name pointed to nothing else before.
    pub fn nothing_before(name: &str) -> Self {
        TargetTrouble::NothingBefore { name: name.to_owned() }.into()
    }

    /// There is no snapshot of this key or chain ID.
    pub fn no_snapshot(name: &str) -> Self {
        TargetTrouble::NoSnapshot { name: name.to_owned() }.into()
    }

    pub(super) fn damaged(path: &Path) -> Self {
        TargetTrouble::Damaged { path: path.to_owned() }.into()
    }

    pub(super) fn scattered(path: &Path) -> Self {
        TargetTrouble::Scattered { path: path.to_owned() }.into()
    }

    /// Whether an image was named that is not there, or not complete, or has nothing before it.
    pub fn is_unknown_image(&self) -> bool {
        matches!(
            self.trouble(),
            TargetTrouble::UnknownImage { .. }
                | TargetTrouble::Incomplete { .. }
                | TargetTrouble::NothingBefore { .. }
        )
    }
}
