//! What can go wrong with a target.

use crate::containerd::GrpcError;
use crate::containerd::metadata::MetadataError;
use skiff_protocol::Digest;
use std::path::PathBuf;
use thiserror::Error;

/// A target that can't do what it should.
#[derive(Debug, Error)]
pub enum TargetError {
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
    /// Whether an image was named that is not there, or not complete, or has nothing before it.
    pub fn is_unknown_image(&self) -> bool {
        matches!(
            self,
            Self::UnknownImage { .. } | Self::Incomplete { .. } | Self::NothingBefore { .. }
        )
    }
}
