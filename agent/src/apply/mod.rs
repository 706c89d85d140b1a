//! Applies delta layers: writes entries and contents into the directories of snapshots.
//!
//! ```text
//! entry   ──▶ entry     makes directories, links, devices, whiteouts at once; files later
//! content ──▶ content   writes a file as its bytes arrive, checks SHA-256
//!             files     new files and those that stand; a complete one is copied to its twins
//!             local     the same from a file of a held image
//!             patch     what a patched pack makes a content out of
//!             take_over the same from a file of an earlier pull that did not end
//! end     ──▶ finish    hard links, then the times of directories
//!             placeholder  files that stand before their bytes are there
//!             reroot    a stack that is too deep becomes one layer
//!             compare   a tree that stands, with its table of contents
//!             mend      makes anew what is wrong of it
//!             hash      a file's digest, read back
//!             copy      from file to file, within the kernel
//!             beneath   no path from the network leads out of the layer's directory
//!             writeback keeps small what is not on the disk yet
//!             metadata  owner, attributes, mode, times, in the order that loses none of them
//! ```
//!
//! A layer's directory is what overlayfs takes as a layer: a whiteout is a character device 0:0,
//! an opaque directory has `trusted.overlay.opaque` (Documentation/filesystems/overlayfs.rst).

mod beneath;
mod compare;
mod content;
mod copy;
mod entry;
mod files;
mod finish;
mod hash;
mod local;
mod mend;
mod metadata;
mod patch;
mod placeholder;
mod reroot;
mod take_over;
mod writeback;

pub use beneath::{Beneath, open_directory};
pub use compare::{Compared, Listing, compare};
pub use content::ContentWriter;
pub use entry::make_entry;
pub use files::{Files, Tables};
pub use finish::finish;
pub use local::copy_held;
pub use mend::{mend, prepare};
pub use patch::Bases;
pub use placeholder::{Kept, check_filled, lease_cold, leave_removed, make_placeholders};
pub use reroot::reroot;
pub use take_over::{Unfinished, take_over};
pub use writeback::Writeback;

use crate::spool::SpoolError;
use rustix::io::Errno;
use skiff_protocol::Digest;
use thiserror::Error;

/// A delta can't be applied. It is one word: almost every function here may fail, and does not.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct ApplyError(Box<ApplyTrouble>);

/// Why it can't.
#[derive(Debug, Error)]
pub enum ApplyTrouble {
    /// A system call on a path of the layer failed.
    #[error("cannot {verb} '{path}' in the new snapshot")]
    Path {
        /// What was tried.
        verb: &'static str,
        /// The path in the image.
        path: String,
        /// Why.
        source: Errno,
    },
    /// A file or directory of an image that is here can't be used.
    #[error("cannot use '{path}' of an image on this device")]
    Held {
        /// The path in the image.
        path: String,
        /// Why.
        source: Errno,
    },
    /// A file or directory of an image that is here can't get a second place.
    #[error("'{path}' of an image on this device can't be linked: {reason}")]
    Unlinkable {
        /// The path in the image.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// A file that stands without its bytes is open elsewhere.
    #[error("'{path}' of the new snapshot is open in another process; run the pull again")]
    Opened {
        /// The path in the image.
        path: String,
    },
    /// What was written can't reach the disk.
    #[error("cannot write the new snapshot's files to the disk")]
    Writeback(#[source] Errno),
    /// The accelerator sent a path or an attribute that could do harm.
    #[error("the accelerator sent an entry that is refused: '{path}' ({reason})")]
    Refused {
        /// The path in the image.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// A content is not what its digest says.
    #[error(
        "the bytes of '{path}' are not those of {digest}; the stream or the registry is damaged"
    )]
    WrongContent {
        /// The path in the image.
        path: String,
        /// What the bytes should hash to.
        digest: Digest,
    },
    /// Packs and table of contents do not fit together.
    #[error("the accelerator's stream contradicts itself: {0}")]
    Contradiction(&'static str),
    /// The table of contents on disk can't be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

impl<T> From<T> for ApplyError
where
    ApplyTrouble: From<T>,
{
    fn from(trouble: T) -> Self {
        Self(Box::new(trouble.into()))
    }
}

impl ApplyError {
    /// Why.
    pub fn trouble(&self) -> &ApplyTrouble {
        &self.0
    }

    /// What was written can't reach the disk.
    pub fn writeback(source: Errno) -> Self {
        ApplyTrouble::Writeback(source).into()
    }

    fn contradiction(reason: &'static str) -> Self {
        ApplyTrouble::Contradiction(reason).into()
    }

    fn path(verb: &'static str, path: &[u8], source: Errno) -> Self {
        ApplyTrouble::Path { verb, path: printable(path), source }.into()
    }

    /// A file under a lease is cold.
    fn held(path: &[u8], source: Errno) -> Self {
        match source {
            Errno::AGAIN => Self::unlinkable(path, "it is not hydrated yet"),
            _ => ApplyTrouble::Held { path: printable(path), source }.into(),
        }
    }

    fn unlinkable(path: &[u8], reason: &'static str) -> Self {
        ApplyTrouble::Unlinkable { path: printable(path), reason }.into()
    }

    fn refused(path: &[u8], reason: &'static str) -> Self {
        ApplyTrouble::Refused { path: printable(path), reason }.into()
    }
}

/// A layer's directory, by its number.
fn layer_of(layers: &mut [Beneath], number: u16) -> Result<&mut Beneath, ApplyError> {
    layers
        .get_mut(usize::from(number))
        .ok_or_else(|| ApplyError::contradiction("an entry belongs to no layer"))
}

/// A path as people can read it.
pub fn printable(path: &[u8]) -> String {
    path.escape_ascii().to_string()
}
