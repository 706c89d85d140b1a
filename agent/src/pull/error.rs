//! Everything that can stop a pull.

use crate::applications::ApplicationError;
use crate::apply::ApplyError;
use crate::decode::Corrupt;
use crate::http::HttpError;
use crate::spool::SpoolError;
use crate::state::StateError;
use crate::target::TargetError;
use rustix::io::Errno;
use skiff_protocol::response::FailureCode;
use skiff_protocol::{Digest, Error as WireError};
use std::path::PathBuf;
use thiserror::Error;

/// A pull that came to nothing. It is one word, as [`ApplyError`] is.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct PullError(Box<PullTrouble>);

impl<T> From<T> for PullError
where
    PullTrouble: From<T>,
{
    fn from(trouble: T) -> Self {
        Self(Box::new(trouble.into()))
    }
}

/// Why it did.
#[derive(Debug, Error)]
pub enum PullTrouble {
    /// It was to be started before it is all there, and can't be.
    #[error("this can't be started before it is all there: {0}")]
    NotLazy(String),
    /// The holder of cold files does not do its part.
    #[error(transparent)]
    Holder(#[from] crate::holder::HolderError),
    /// Everything would have to come.
    #[error(
        "nothing of this is on the device, and all of it is {}; leave out --no-full-download to bring it",
        crate::report::size(*bytes)
    )]
    NoDelta {
        /// Bytes of its files.
        bytes: u64,
    },
    /// The time that the user gave is over.
    #[error("the time is over (--max-seconds); what came is kept for the next pull")]
    OutOfTime,
    /// Nobody waits for it any more.
    #[error("who asked for this is gone; what came is kept for the next pull")]
    GivenUp,
    /// The request can't be made.
    #[error("the request does not fit the protocol: {0}")]
    Request(&'static str),
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The answer was cut off.
    #[error("the connection to the accelerator at {url} broke; run the pull again")]
    Link {
        /// The address.
        url: String,
        /// Why.
        source: std::io::Error,
    },
    /// The answer is not what the protocol says.
    #[error("the stream from {url} is damaged; run the pull again")]
    Stream {
        /// The address.
        url: String,
        /// What is wrong.
        source: WireError,
    },
    /// Compressed data are damaged although their checksums are right.
    #[error("the accelerator's stream can't be decoded")]
    Deflate(#[from] Corrupt),
    /// The answer has something that does not belong there.
    #[error("the accelerator sent {0}; are agent and accelerator of versions that fit?")]
    Unexpected(&'static str),
    /// It is longer than `--max-bytes`.
    #[error("the accelerator sends more than --max-bytes, although it was told; nothing is kept")]
    Budget,
    /// It has a device, and was to have none.
    #[error("{0} is a device, which --no-devices refuses; leave it out of the image")]
    Device(String),
    /// No key that is trusted vouches for it.
    #[error("the table of contents from {url} is refused (--tree-key): {reason}")]
    Unsigned {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },
    /// The accelerator says no.
    #[error("{message}")]
    Refused {
        /// Why, for programs.
        code: FailureCode,
        /// Why, for people.
        message: String,
    },
    /// An index, manifest or config is not what its digest says.
    #[error("the {role} of {image} does not match {digest}; the registry or the stream is damaged")]
    Blob {
        /// Which blob.
        role: &'static str,
        /// Of which image.
        image: String,
        /// What it should hash to.
        digest: Digest,
    },
    /// Index, manifest, config and reference do not hang together.
    #[error("{image} is refused: {reason}")]
    Mismatch {
        /// Which image.
        image: String,
        /// What does not fit.
        reason: &'static str,
    },
    /// An index, manifest or config that can't be understood.
    #[error("the {role} of {image} can't be understood")]
    Document {
        /// Which blob.
        role: &'static str,
        /// Of which image.
        image: String,
        /// Why.
        source: crate::containerd::metadata::MetadataError,
    },
    /// A snapshot's directory can't be opened or synced.
    #[error("cannot use the snapshot directory {}", path.display())]
    Directory {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: Errno,
    },
    /// Writing the delta failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The scratch files failed.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The state directory failed, or another pull has it.
    #[error(transparent)]
    State(#[from] StateError),
    /// The images are all there, but can't become the application's.
    #[error(transparent)]
    Application(#[from] ApplicationError),
    /// containerd or the root directory failed.
    #[error(transparent)]
    Target(#[from] TargetError),
}

impl PullError {
    /// Why.
    pub fn trouble(&self) -> &PullTrouble {
        &self.0
    }

    /// The answer has something that does not belong there.
    pub(super) fn unexpected(what: &'static str) -> Self {
        PullTrouble::Unexpected(what).into()
    }

    /// Whether the same may go well later.
    pub fn may_pass(&self) -> bool {
        match self.trouble() {
            PullTrouble::Http(
                HttpError::Connect { .. }
                | HttpError::Exchange { .. }
                | HttpError::Unavailable { .. },
            )
            | PullTrouble::Link { .. }
            | PullTrouble::Stream { .. } => true,
            PullTrouble::Refused { code, .. } => *code == FailureCode::RegistryUnavailable,
            _ => false,
        }
    }

    /// Whether the accelerator knows the plan no more.
    pub fn plan_is_unknown(&self) -> bool {
        matches!(self.trouble(), PullTrouble::Refused { code: FailureCode::PlanChanged, .. })
    }

    /// Whether what came before is as good as it was.
    pub fn leaves_what_came(&self) -> bool {
        matches!(
            self.trouble(),
            PullTrouble::Http(_)
                | PullTrouble::Link { .. }
                | PullTrouble::Stream { .. }
                | PullTrouble::Refused { .. }
                | PullTrouble::OutOfTime
                | PullTrouble::GivenUp
        )
    }
}
