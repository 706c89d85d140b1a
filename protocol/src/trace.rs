//! Trace reports: which files the containers of an application, or of an image, opened while they started.
//!
//! ```text
//! report = Head Entry* End        in order of first use
//! record = length (u16 LE), then a postcard message [`TraceRecord`]
//! ```
//!
//! The accelerator merges reports into hot sets. What happens between two peers of different minor versions is as
//! with requests: bytes that a later version puts behind a record's fields are ignored.

use crate::limits::{MAX_RECORD, MAX_WANTED};
use crate::path::{PathBuffer, check, shared_prefix};
use crate::record::{PREFIX_LEN, encode_prefixed};
use crate::request::Platform;
use crate::{Digest, Error, Version};
use serde::{Deserialize, Serialize};

/// One record of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "one at a time, and there is no allocator")]
#[non_exhaustive]
pub enum TraceRecord<'a> {
    /// The first record.
    #[serde(borrow)]
    Head(TraceHead<'a>),
    /// The next file.
    #[serde(borrow)]
    Entry(TraceEntry<'a>),
    /// The last record.
    End,
}

/// What was traced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceHead<'a> {
    /// What the agent speaks.
    pub version: Version,
    /// Name and version of the agent, for logs.
    pub agent: &'a str,
    /// What the images ran on.
    #[serde(borrow)]
    pub platform: Platform<'a>,
    /// The application that the images were started as; empty if as none.
    pub application: &'a str,
    /// The device's class ([`crate::request::is_class`]); may be empty.
    pub class: &'a str,
    /// The images, at least one. Entries name them by their place here.
    #[serde(borrow)]
    pub images: heapless::Vec<TracedImage<'a>, MAX_WANTED>,
}

/// An image whose containers were traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedImage<'a> {
    /// The reference under which the device knows it.
    pub reference: &'a str,
    /// Digest of its manifest (not of an index).
    pub manifest: Digest,
}

/// A file, at its first use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceEntry<'a> {
    /// Index of the image.
    pub image: u16,
    /// When, in milliseconds since the start.
    pub millis: u32,
    /// How many bytes of the previous entry's path to keep, whatever image that was of; 0 in the first entry.
    pub prefix: u16,
    /// The bytes to append to them.
    pub suffix: &'a [u8],
}

impl<'a> TraceRecord<'a> {
    /// Encodes the record, length prefix included, into the buffer.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], Error> {
        encode_prefixed(self, buffer)
    }

    /// Takes a record off the front of the report's bytes.
    pub fn take(bytes: &mut &'a [u8]) -> Result<Self, Error> {
        let (&prefix, rest) = bytes.split_first_chunk::<PREFIX_LEN>().ok_or(Error::Truncated)?;
        let len = usize::from(u16::from_le_bytes(prefix));
        if len == 0 || len > MAX_RECORD {
            return Err(Error::BadRecordLength);
        }
        let (record, rest) = rest.split_at_checked(len).ok_or(Error::Truncated)?;
        *bytes = rest;
        postcard::take_from_bytes(record).map(|(record, _)| record).map_err(|_| Error::Malformed)
    }
}

/// Encodes a report's entries, each against the one before.
#[derive(Debug, Clone, Default)]
pub struct TraceEntries(PathBuffer);

impl TraceEntries {
    /// No entry yet.
    pub const fn new() -> Self {
        Self(PathBuffer::new())
    }

    /// Encodes the next entry, length prefix included, into the buffer.
    pub fn encode<'b>(
        &mut self,
        image: u16,
        millis: u32,
        path: &[u8],
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], Error> {
        check(path)?;
        let shared = shared_prefix(self.0.as_bytes(), path);
        let prefix = u16::try_from(shared).map_err(|_| Error::BadPath)?;
        let suffix = &path[shared..];
        let written =
            TraceRecord::Entry(TraceEntry { image, millis, prefix, suffix }).encode(buffer)?;
        self.0.advance(prefix, suffix)?;
        Ok(written)
    }

    /// The path of an entry that was taken from a report.
    pub fn path(&mut self, entry: &TraceEntry<'_>) -> Result<&[u8], Error> {
        self.0.advance(entry.prefix, entry.suffix)
    }
}
