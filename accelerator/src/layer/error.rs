//! What can be wrong with a layer.

use std::io;

/// Why a layer could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// Reading or decompressing the blob failed.
    #[error(
        "the layer blob can't be read or decompressed; fetch it again, or push the image again"
    )]
    Blob(#[source] io::Error),
    /// The sink for the uncompressed bytes failed.
    #[error("the layer's uncompressed bytes can't be written away; check the free space")]
    Sink(#[source] io::Error),
    /// The tar ends inside an entry.
    #[error(
        "the layer's tar ends too early, at byte {offset}; fetch it again, or push the image again"
    )]
    Truncated {
        /// Offset in the uncompressed tar.
        offset: u64,
    },
    /// A tar header that breaks the format.
    #[error("the layer's tar is damaged before byte {offset}: {what}; build the image again")]
    Header {
        /// Offset in the uncompressed tar of the first byte not yet read.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// An entry over one of the limits ([`super::limits`]).
    #[error("`{path}` in the layer is over a limit: {what}; leave it out of the image")]
    Limit {
        /// The entry's name, lossily as text.
        path: String,
        /// Which limit.
        what: &'static str,
    },
    /// An entry that can't be unpacked; containerd refuses it too.
    #[error("`{path}` in the layer can't be unpacked: {what}; build the image again")]
    Unpack {
        /// The entry's name, lossily as text.
        path: String,
        /// Why not.
        what: &'static str,
    },
}

impl LayerError {
    pub(super) fn unpack(path: &[u8], what: &'static str) -> Self {
        Self::Unpack { path: String::from_utf8_lossy(path).into_owned(), what }
    }

    pub(super) fn limit(path: &[u8], what: &'static str) -> Self {
        Self::Limit { path: String::from_utf8_lossy(path).into_owned(), what }
    }
}
