//! The messages in an answer's frames (see [`crate::frame::Kind`]).
//!
//! Order: `Progress` and `Notice` anywhere before the first `Metadata`; `Plan`; `Metadata`…; `Signature`…;
//! packs of the hot set, `HotComplete`; the other packs; `Complete`. `Failure` may stand
//! anywhere instead of what would come, and ends the answer.

use crate::limits::MAX_WANTED;
use crate::signed::KeyId;
use crate::{Digest, Error, Version};
use serde::{Deserialize, Serialize};

/// What will be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The version that the accelerator answers in.
    pub version: Version,
    /// The plan's ID: a digest of all its inputs.
    pub id: Digest,
    /// Images.
    pub images: u16,
    /// Delta layers.
    pub layers: u16,
    /// Entries in all of them.
    pub entries: u32,
    /// Contents, from packs and from held images.
    pub contents: u32,
    /// Packs in the plan.
    pub packs: u32,
    /// Content bytes of every pack but the last, at most [`crate::limits::MAX_PACK`].
    pub pack_len: u32,
    /// Content bytes in all packs.
    pub content_bytes: u64,
    /// Bytes of the answer's frames from this one on, and with it; without HTTP's own bytes.
    pub wire_bytes: u64,
    /// Whether `wire_bytes` is exact rather than an estimate. A pack that the accelerator makes shorter meanwhile is less.
    pub exact: bool,
}

/// The accelerator works on something before it can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What it does.
    pub phase: Phase,
    /// Bytes done.
    pub done: u64,
    /// Bytes to do, 0 if not known.
    pub total: u64,
}

/// What the accelerator does before it can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Phase {
    /// Reads image layers from the registry for the first time.
    Ingest,
    /// Compares trees and packs contents.
    Plan,
}

/// Something that an operator may want to know; the deployment goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Notice {
    /// The held image with this index in the request is unknown to the accelerator and gone from
    /// the registry; it counts as not held.
    HeldUnknown(u16),
    /// Packs may refer to files of the held image with this index, since version 1.5, for a peer that offers
    /// [`Codecs::PATCHES`](crate::request::Codecs::PATCHES).
    PatchBase(u16),
}

/// A pack's head. Its encoded bytes follow at once in [`crate::frame::Kind::PackData`] frames.
///
/// Pack `number` holds the content bytes `number × pack_len ..` of the plan's content space: all
/// contents with [`crate::record::Source::Pack`], in ascending number, one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pack {
    /// Which pack it is, whatever its place in the stream.
    pub number: u32,
    /// How it is encoded.
    pub codec: Codec,
    /// Content bytes.
    pub len: u32,
    /// Encoded bytes.
    pub encoded_len: u32,
}

/// How a pack is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Codec {
    /// Raw deflate (RFC 1951).
    Deflate,
    /// One zstd frame (RFC 8878), for a peer that offers [`Codecs::ZSTD`](crate::request::Codecs::ZSTD). Since version 1.5.
    Zstd,
    /// Raw deflate of a script ([`crate::script`]), for a peer that offers
    /// [`Codecs::PATCHES`](crate::request::Codecs::PATCHES). Since version 1.5.
    DeflateScript,
    /// One zstd frame of a script, for a peer that offers both. Since version 1.5.
    ZstdScript,
}

impl Codec {
    /// The codec of a script that is encoded like this.
    #[must_use]
    pub const fn of_script(self) -> Self {
        match self {
            Self::Deflate | Self::DeflateScript => Self::DeflateScript,
            Self::Zstd | Self::ZstdScript => Self::ZstdScript,
        }
    }

    /// Whether a script is encoded.
    pub const fn is_script(self) -> bool {
        matches!(self, Self::DeflateScript | Self::ZstdScript)
    }
}

/// A signature of the table of contents, behind the metadata and before the packs: one for each key, at most
/// [`MAX_SIGNATURES`](crate::limits::MAX_SIGNATURES). What is signed is [`crate::signed::message`]. Since version 1.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Which key made it.
    pub key: KeyId,
    /// R and S of an Ed25519 signature (RFC 8032, section 5.1.6).
    pub signature: [[u8; 32]; 2],
}

/// The last frame: everything has been sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complete {
    /// The plan's ID again.
    pub plan: Digest,
    /// Digest of each image's whole tree, in the order of the images.
    pub trees: heapless::Vec<Digest, MAX_WANTED>,
}

/// Why the accelerator can't do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure<'a> {
    /// For programs.
    pub code: FailureCode,
    /// For people: one sentence.
    pub message: &'a str,
}

/// Why the accelerator can't do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FailureCode {
    /// No common major version.
    Version,
    /// The request does not decode or contradicts itself.
    BadRequest,
    /// An image or application is unknown.
    NotFound,
    /// The image has nothing for this platform.
    NoPlatform,
    /// The registry does not answer.
    RegistryUnavailable,
    /// The registry refuses the accelerator's credentials.
    RegistryDenied,
    /// The image contradicts its own digests or can't be unpacked.
    BadImage,
    /// The response would be longer than the request's `max_bytes`.
    OverBudget,
    /// The plan that the request names is not what the accelerator would do now.
    PlanChanged,
    /// Something is wrong in the accelerator.
    Internal,
    /// This device may not read what it asks for, or that is not there (since version 1.3; to a peer of an earlier
    /// version it is [`NotFound`](Self::NotFound)).
    Denied,
}

/// Decodes a frame's payload into its message; nothing may be left over.
pub fn decode<'a, M: Deserialize<'a>>(payload: &'a [u8]) -> Result<M, Error> {
    match postcard::take_from_bytes(payload) {
        Ok((message, [])) => Ok(message),
        _ => Err(Error::Malformed),
    }
}

/// Encodes a message into the buffer, to be a frame's payload.
pub fn encode<'b, M: Serialize>(message: &M, buffer: &'b mut [u8]) -> Result<&'b [u8], Error> {
    postcard::to_slice(message, buffer).map(|bytes| &*bytes).map_err(|_| Error::BufferTooSmall)
}
