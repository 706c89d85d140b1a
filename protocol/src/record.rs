//! Records: the units of the metadata stream.
//!
//! The payloads of an answer's Metadata frames, joined, are one raw deflate stream. Inflated, it
//! is a sequence of records, each a length (u16 LE) and a postcard message [`Record`]:
//!
//! ```text
//! ( Image ( Blob BlobData* )* )*      what the images are
//! Content*                            which file contents there are, numbered from 0
//! ( Base? Layer Entry* )*             the merged table of contents: a layer per image, and bases
//! End
//! ```
//!
//! An image's blobs come as the registry has them: the index (where the reference names one), the
//! manifest, the config.

use crate::limits::{MAX_RECORD, MAX_XATTRS};
use crate::{Digest, Error};
use serde::{Deserialize, Serialize};

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Record<'a> {
    /// The next image.
    #[serde(borrow)]
    Image(Image<'a>),
    /// The next blob of that image.
    Blob(Blob<'a>),
    /// The next bytes of that blob.
    BlobData(&'a [u8]),
    /// The next content.
    Content(Content<'a>),
    /// The next layer.
    Layer(Layer),
    /// The next entry of that layer.
    Entry(Entry<'a>),
    /// The last record.
    End,
    /// The next layer is no image's, but what images share. Since version 1.1.
    Base(Base),
}

/// An image of the deployment. Images are numbered from 0, in the order of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image<'a> {
    /// The reference as it was asked for.
    pub reference: &'a str,
    /// What the image record points to: the index or, where there is none, the manifest.
    pub target: Digest,
    /// The layer that is committed as this image's snapshot; `None` where the device holds the
    /// very same manifest.
    pub layer: Option<u16>,
}

/// A blob of an image, whose bytes follow in [`Record::BlobData`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob<'a> {
    /// What it is.
    pub role: Role,
    /// Its digest.
    pub digest: Digest,
    /// Bytes, at most [`crate::limits::MAX_BLOB`].
    pub size: u32,
    /// Its media type.
    pub media_type: &'a str,
}

/// What a blob is to its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Role {
    /// The image index (OCI) or manifest list (Docker).
    Index,
    /// The manifest.
    Manifest,
    /// The config.
    Config,
}

/// A file's bytes, once per distinct content. Contents are numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content<'a> {
    /// Bytes, at least 1.
    pub size: u64,
    /// SHA-256 of the bytes.
    pub sha256: Digest,
    /// Where the device gets them.
    #[serde(borrow)]
    pub source: Source<'a>,
}

/// Where the device gets a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Source<'a> {
    /// From packs: the content follows the previous content with this source.
    Pack,
    /// From a file of a held image.
    Held {
        /// Index of the image in the request's list.
        image: u16,
        /// The file's path there; empty if it is the path of the first entry that has this content.
        path: &'a [u8],
    },
}

/// A delta layer. Layers are numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// What lies below it.
    pub parent: Parent,
    /// How many entries follow.
    pub entries: u32,
}

/// Says of the next layer that it is a base: it is committed under a name of its own, which the device
/// reports as held from then on ([`crate::request::Held`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The digest of the tree that the layer shows: its name.
    pub tree: Digest,
}

/// What lies below a delta layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Parent {
    /// Nothing: the layer is the whole tree.
    None,
    /// A held image or base, by its index in the request's list.
    Held(u16),
    /// An earlier layer of this stream, which is a base. Since version 1.1.
    Layer(u16),
}

/// A name in a layer. Entries come in byte order of their whole paths, which puts a directory
/// before what is in it; every directory on the way to an entry is an entry itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<'a> {
    /// How many bytes of the previous entry's path to keep. 0 for the first entry of a layer.
    pub prefix: u16,
    /// The bytes to append to them.
    pub suffix: &'a [u8],
    /// What it is.
    #[serde(borrow)]
    pub kind: Kind<'a>,
    /// Owner, mode, times, attributes. Ignored for [`Kind::Whiteout`] and [`Kind::HardLink`].
    #[serde(borrow)]
    pub meta: Metadata<'a>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Kind<'a> {
    /// A directory. It is merged with the parent's directory of that name, unless it is opaque.
    Directory {
        /// Hides everything that the layers below have there.
        opaque: bool,
    },
    /// A regular file of no bytes.
    EmptyFile,
    /// A regular file with this content.
    File {
        /// The content's number.
        content: u32,
    },
    /// A symbolic link.
    Symlink {
        /// Its target, any bytes but NUL.
        target: &'a [u8],
    },
    /// Another name of an earlier entry's inode in the same layer.
    HardLink {
        /// The first name's path.
        first: &'a [u8],
    },
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A FIFO.
    Fifo,
    /// Hides the parent's entry of this name.
    Whiteout,
}

/// Owner, mode, time and attributes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata<'a> {
    /// Permission bits with setuid, setgid and sticky (12 bits).
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, whole seconds since 1970.
    pub mtime: i64,
    /// Modification time, nanoseconds.
    pub mtime_nanos: u32,
    /// Extended attributes.
    #[serde(borrow)]
    pub xattrs: Xattrs<'a>,
}

/// Extended attributes: for each, length of name and of value (u16 LE both), name, value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Xattrs<'a>(pub &'a [u8]);

impl<'a> Xattrs<'a> {
    /// The length prefix of one attribute, for whoever writes the list.
    pub fn head(name: &[u8], value: &[u8]) -> Result<[u8; 4], Error> {
        let name = u16::try_from(name.len()).map_err(|_| Error::BadXattrs)?;
        let value = u16::try_from(value.len()).map_err(|_| Error::BadXattrs)?;
        let ([a, b], [c, d]) = (name.to_le_bytes(), value.to_le_bytes());
        Ok([a, b, c, d])
    }

    /// The attributes, name and value. After an error nothing more comes.
    pub fn iter(&self) -> impl Iterator<Item = Result<(&'a [u8], &'a [u8]), Error>> + use<'a> {
        let mut rest = self.0;
        let mut failed = rest.len() > MAX_XATTRS;
        core::iter::from_fn(move || {
            if core::mem::take(&mut failed) {
                rest = &[];
                return Some(Err(Error::BadXattrs));
            }
            if rest.is_empty() {
                return None;
            }
            let taken = take_xattr(rest);
            rest = taken.map_or(&[][..], |(_, _, rest)| rest);
            Some(taken.map(|(name, value, _)| (name, value)).ok_or(Error::BadXattrs))
        })
    }
}

fn take_xattr(list: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (&[a, b, c, d], rest) = list.split_first_chunk::<4>()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([a, b])))?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([c, d])))?;
    (!name.is_empty() && !name.contains(&0)).then_some((name, value, rest))
}

/// Bytes of the length before a record.
pub(crate) const PREFIX_LEN: usize = 2;

/// Encodes a message behind its length into the buffer.
pub(crate) fn encode_prefixed<'b>(
    message: &impl Serialize,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], Error> {
    let (head, body) = buffer.split_at_mut_checked(PREFIX_LEN).ok_or(Error::BufferTooSmall)?;
    let len = postcard::to_slice(message, body).map_err(|_| Error::BufferTooSmall)?.len();
    if len > MAX_RECORD {
        return Err(Error::BadRecordLength);
    }
    let len16 = u16::try_from(len).map_err(|_| Error::BadRecordLength)?;
    head.copy_from_slice(&len16.to_le_bytes());
    Ok(&buffer[..PREFIX_LEN + len])
}

impl Record<'_> {
    /// Encodes the record, length prefix included, into the buffer.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], Error> {
        encode_prefixed(self, buffer)
    }
}

/// Cuts records out of the inflated metadata stream, however its bytes arrive.
#[derive(Debug, Clone, Default)]
pub struct Splitter {
    bytes: heapless::Vec<u8, { PREFIX_LEN + MAX_RECORD }>,
    complete: bool,
}

impl Splitter {
    /// Nothing read yet.
    pub const fn new() -> Self {
        Self { bytes: heapless::Vec::new(), complete: false }
    }

    /// Takes bytes off the front of `input` until a record is complete, and gives that record;
    /// `None` when `input` is used up first.
    pub fn next<'b>(&'b mut self, input: &mut &[u8]) -> Result<Option<Record<'b>>, Error> {
        if core::mem::take(&mut self.complete) {
            self.bytes.clear();
        }
        self.fill(PREFIX_LEN, input)?;
        let Some(&[a, b]) = self.bytes.first_chunk::<PREFIX_LEN>() else { return Ok(None) };
        let len = usize::from(u16::from_le_bytes([a, b]));
        if len == 0 || len > MAX_RECORD {
            return Err(Error::BadRecordLength);
        }
        self.fill(PREFIX_LEN + len, input)?;
        if self.bytes.len() < PREFIX_LEN + len {
            return Ok(None);
        }
        self.complete = true;
        match postcard::take_from_bytes(&self.bytes[PREFIX_LEN..]) {
            Ok((record, [])) => Ok(Some(record)),
            _ => Err(Error::Malformed),
        }
    }

    /// Whether the stream may end here: no record is begun.
    pub fn is_between_records(&self) -> bool {
        self.complete || self.bytes.is_empty()
    }

    fn fill(&mut self, upto: usize, input: &mut &[u8]) -> Result<(), Error> {
        let wanted = upto.saturating_sub(self.bytes.len()).min(input.len());
        let (taken, rest) = input.split_at(wanted);
        self.bytes.extend_from_slice(taken).map_err(|_| Error::BadRecordLength)?;
        *input = rest;
        Ok(())
    }
}
