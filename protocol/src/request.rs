//! What the agent asks: one message, in one HTTP request.

use crate::limits::{MAX_CLASS, MAX_DIGESTS, MAX_HELD, MAX_WANTED};
use crate::{Digest, Error, Ranges, Version};
use serde::{Deserialize, Serialize};

/// The body of `POST /v1/deploy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployRequest<'a> {
    /// What the agent speaks. First, and readable alone by [`DeployRequest::version`].
    pub version: Version,
    /// Name and version of the agent, for logs.
    pub agent: &'a str,
    /// What images must run on.
    #[serde(borrow)]
    pub platform: Platform<'a>,
    /// Pack codecs that the agent can decode.
    pub codecs: Codecs,
    /// What is wanted.
    #[serde(borrow)]
    pub want: Want<'a>,
    /// Images, and bases of images, that the device holds whole.
    #[serde(borrow)]
    pub held: heapless::Vec<Held<'a>, MAX_HELD>,
    /// Whether to send, or only to say how much it would be.
    pub purpose: Purpose,
    /// Refuse if the whole response would be longer than this many bytes.
    pub max_bytes: Option<u64>,
    /// Which part of the plan is needed.
    pub part: Part,
    /// What the device does before all of it is there. A message of its own behind the others, since version 1.2;
    /// a request of an earlier version has none, which is the default.
    #[serde(skip)]
    pub hydration: Hydration<'a>,
    /// The contents that [`Part::Contents`] names: SHA-256 digests, 32 bytes each, at most [`MAX_DIGESTS`]. A message of
    /// its own behind the others, since version 1.3.
    #[serde(skip)]
    pub digests: &'a [u8],
}

/// How a device starts what it has not got whole, and what the accelerator can do for it. The default is a device
/// that fetches everything before it starts anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hydration<'a> {
    /// Names a deployment of a device: random, and the same in all requests for it. Zeros are no name.
    pub deployment: [u8; 16],
    /// How many files the device can keep cold, that is, start without. 0: it fetches everything first.
    pub cold_files: u32,
    /// Whether a program on the device waits for what is asked: such an answer has a head start of other answers
    /// to the same deployment.
    pub urgent: bool,
    /// The device's class, which chooses among hot sets ([`is_class`]); may be empty.
    pub class: &'a str,
}

/// Whether the bytes can be [`DeployRequest::digests`].
pub fn are_digests(bytes: &[u8]) -> bool {
    bytes.len().is_multiple_of(32) && bytes.len() / 32 <= MAX_DIGESTS
}

/// Whether the text can be a device's class: at most [`MAX_CLASS`] letters, digits, dots, hyphens and
/// underscores of ASCII, or none.
pub fn is_class(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.len() <= MAX_CLASS && text.bytes().all(allowed)
}

/// An operating system and a processor, in the words of the OCI image index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform<'a> {
    /// `linux`.
    pub os: &'a str,
    /// `arm64`, `arm`, `amd64`, …
    pub architecture: &'a str,
    /// `v8`, `v7`, `v6`, or empty.
    pub variant: &'a str,
}

/// A set of codecs, as bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Codecs(pub u32);

impl Codecs {
    /// Raw deflate (RFC 1951), which every agent decodes.
    pub const DEFLATE: Self = Self(1);
    /// A zstd frame (RFC 8878), since version 1.5.
    pub const ZSTD: Self = Self(2);
    /// Packs that are scripts ([`crate::script`]), encoded as any other, since version 1.5. The request names what they may
    /// refer to: the images that are held.
    pub const PATCHES: Self = Self(4);
    /// With [`PATCHES`](Self::PATCHES): scripts refer to no held image, since files of those are not there yet. To an accelerator that does not
    /// know it, it says nothing.
    pub const NO_HELD_BASES: Self = Self(8);

    /// These and those.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether the set has this codec.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "one per request, and there is no allocator")]
#[non_exhaustive]
pub enum Want<'a> {
    /// These images, by reference (`REPOSITORY:TAG` or `REPOSITORY@sha256:…`, with or without a
    /// registry's host).
    #[serde(borrow)]
    Images(heapless::Vec<&'a str, MAX_WANTED>),
    /// The images of an application that the accelerator knows by this name.
    Application(&'a str),
}

/// An image or a base that the device holds whole: its tree may be a delta's parent, and its files
/// sources of local copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held<'a> {
    /// The reference under which the device knows it; names the repository to look in. Empty for
    /// a base (since version 1.1).
    pub reference: &'a str,
    /// Digest of its manifest (not of an index); of a base, that of its tree ([`crate::record::Base`]).
    pub manifest: Digest,
    /// Layers in its overlay stack, at least 1.
    pub depth: u16,
}

/// What the response is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Purpose {
    /// Send what is wanted.
    Deliver,
    /// Send the plan, with exact sizes, and nothing else.
    Measure,
}

/// Which part of the plan is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Part {
    /// Metadata and all packs.
    Whole,
    /// Of that plan, metadata and every pack but these, which the device has.
    Resume {
        /// The plan's ID.
        plan: Digest,
        /// Packs that the device has.
        have: Ranges,
    },
    /// Of that plan, no metadata, and only the contents with these numbers, as packs of a content
    /// space of their own, in ascending number: their local sources were damaged, or a device that hydrates asks
    /// for them by number. The contents may be of either source.
    Repair {
        /// The plan's ID.
        plan: Digest,
        /// Contents that are needed.
        contents: Ranges,
    },
    /// Of that plan, no metadata, and every pack but these, which the device has: a stream was cut (since version 1.3).
    Rest {
        /// The plan's ID.
        plan: Digest,
        /// Packs that the device has.
        have: Ranges,
    },
    /// Metadata and no packs: the device may have contents of them, and asks for the others then (since version 1.3).
    Metadata,
    /// Of no plan: the contents of the wanted images that [`DeployRequest::digests`] names, as packs of a content space of
    /// their own, in that order. The plan by which the device knew them is known no more (since version 1.3).
    Contents,
}

impl<'a> DeployRequest<'a> {
    /// Encodes the request into the buffer.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], Error> {
        let mut len = postcard::to_slice(self, buffer).map_err(|_| Error::BufferTooSmall)?.len();
        if self.version.has_hydration() {
            let rest = &mut buffer[len..];
            len +=
                postcard::to_slice(&self.hydration, rest).map_err(|_| Error::BufferTooSmall)?.len();
        }
        if self.version.has_rest() {
            let rest = &mut buffer[len..];
            len += postcard::to_slice(self.digests, rest).map_err(|_| Error::BufferTooSmall)?.len();
        }
        Ok(&buffer[..len])
    }

    /// Decodes a request. Bytes that a later minor version put behind it are ignored.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        let (mut request, mut rest): (Self, _) =
            postcard::take_from_bytes(bytes).map_err(|_| Error::Malformed)?;
        if request.version.has_hydration() {
            (request.hydration, rest) =
                postcard::take_from_bytes(rest).map_err(|_| Error::Malformed)?;
        }
        if request.version.has_rest() {
            (request.digests, _) = postcard::take_from_bytes(rest).map_err(|_| Error::Malformed)?;
        }
        Ok(request)
    }

    /// Decodes the version alone: it can be read whatever follows it.
    pub fn version(bytes: &[u8]) -> Result<Version, Error> {
        postcard::take_from_bytes(bytes).map(|(version, _)| version).map_err(|_| Error::Malformed)
    }
}
