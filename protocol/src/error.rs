//! What can be wrong with bytes from the wire.

use core::fmt;

/// A violation of the wire format. Flat and without payload, so that it costs a byte; whoever
/// reads the stream adds where it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The stream ended inside a frame, or before its last one.
    Truncated,
    /// A frame does not begin with the magic byte.
    BadMagic,
    /// A frame is of a kind that this version does not know.
    UnknownKind,
    /// A frame's payload is longer than [`crate::limits::MAX_PAYLOAD`].
    FrameTooLong,
    /// A frame's CRC-32 does not match its bytes.
    BadCrc,
    /// A message or record does not decode, or has bytes left over.
    Malformed,
    /// A record is longer than [`crate::limits::MAX_RECORD`], or empty.
    BadRecordLength,
    /// A path is absolute, empty, too long, or has an empty, `.` or `..` component or a NUL byte.
    BadPath,
    /// A list of extended attributes does not decode.
    BadXattrs,
    /// A script breaks the rules of [`crate::script`].
    BadScript,
    /// A message does not fit the buffer that it is written to.
    BufferTooSmall,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the stream ended too early",
            Self::BadMagic => "a frame does not begin with Skiff's magic byte",
            Self::UnknownKind => "a frame is of an unknown kind",
            Self::FrameTooLong => "a frame is longer than the protocol allows",
            Self::BadCrc => "a frame's checksum does not match its bytes",
            Self::Malformed => "a message does not decode",
            Self::BadRecordLength => "a record's length is not allowed",
            Self::BadPath => "a path is not allowed",
            Self::BadXattrs => "a list of extended attributes does not decode",
            Self::BadScript => "a patched pack's script is not allowed",
            Self::BufferTooSmall => "a message is too long for its buffer",
        })
    }
}

impl core::error::Error for Error {}
