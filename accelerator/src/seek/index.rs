//! The index: segments, where they lie, and its encoding.

use super::{MOST, SeekError};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Leads an encoded index; another number is another encoding.
const VERSION: u8 = 1;

/// Where the segments of a layer's uncompressed tar lie in its blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Uncompressed bytes.
    size: u64,
    /// Compressed bytes.
    blob: u64,
    /// In order, without gaps.
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Segment {
    /// Where it begins in the uncompressed tar.
    pub(super) offset: u64,
    /// The first byte of the blob that it needs.
    pub(super) from: u64,
    /// CRC-32 of its uncompressed bytes.
    pub(super) crc: u32,
    pub(super) start: Start,
}

impl Segment {
    pub(super) fn new(offset: u64, from: u64, start: Start) -> Self {
        Self { offset, from, crc: 0, start }
    }

    /// How many of the bytes at `from` belong to the segment before, as well.
    fn shared(&self) -> u64 {
        u64::from(matches!(self.start, Start::Deflate { bits: 1.., .. }))
    }
}

/// What a segment begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Start {
    /// The bytes themselves.
    Plain,
    /// A deflate block.
    Deflate {
        /// How many of the first byte's high bits belong to the block; 0: all of them.
        bits: u8,
        /// The bytes before it, trimmed and packed.
        window: Box<[u8]>,
    },
    /// A gzip header.
    Member,
    /// A zstd frame.
    Frame,
}

impl Index {
    /// None if it breaks what the methods rely on, or a segment is too long.
    pub(super) fn new(size: u64, blob: u64, segments: Vec<Segment>) -> Option<Self> {
        let index = Self { size, blob, segments };
        index.is_sound().then_some(index)
    }

    fn is_sound(&self) -> bool {
        let starts_at_0 = self.segments.first().map_or(self.size, |first| first.offset) == 0;
        starts_at_0
            && (0..self.segments.len()).all(|n| {
                let (bytes, span) = (self.bytes(n), self.span(n));
                let has = |range: &Range<u64>, most| {
                    range.start < range.end && range.end - range.start <= most
                };
                // Compressed bytes are hardly more, but for streams that are made to be.
                has(&bytes, MOST)
                    && has(&span, 2 * MOST)
                    && bytes.end <= self.size
                    && span.end <= self.blob
            })
            && self.segments.iter().all(|segment| match segment.start {
                Start::Deflate { bits, .. } => bits < 8,
                _ => true,
            })
    }

    /// Bytes of the uncompressed tar.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of the blob.
    pub fn blob(&self) -> u64 {
        self.blob
    }

    /// How many segments there are.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    pub(super) fn segment(&self, n: usize) -> Option<&Segment> {
        self.segments.get(n)
    }

    /// The segment that has the byte at `offset` of the uncompressed tar.
    pub fn segment_at(&self, offset: u64) -> Option<usize> {
        let after = self.segments.partition_point(|segment| segment.offset <= offset);
        if offset < self.size { after.checked_sub(1) } else { None }
    }

    /// Which bytes of the uncompressed tar segment `n` has; none for a segment that isn't there.
    pub fn bytes(&self, n: usize) -> Range<u64> {
        let Some(segment) = self.segments.get(n) else { return 0..0 };
        segment.offset..self.segments.get(n + 1).map_or(self.size, |next| next.offset)
    }

    /// Which bytes of the blob segment `n` needs; none for a segment that isn't there. Where
    /// a deflate block ends within a byte, the next segment needs that byte, too.
    pub fn span(&self, n: usize) -> Range<u64> {
        let Some(segment) = self.segments.get(n) else { return 0..0 };
        let end = self.segments.get(n + 1).map_or(self.blob, |next| next.from + next.shared());
        segment.from..end
    }

    /// The index as bytes.
    pub fn encode(&self) -> Vec<u8> {
        // Into a vector, nothing can fail.
        postcard::to_stdvec(&(VERSION, self)).unwrap_or_default()
    }

    /// From what [`encode`](Self::encode) gave.
    ///
    /// # Errors
    /// It is something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, SeekError> {
        let decoded: Result<((u8, Self), &[u8]), _> = postcard::take_from_bytes(bytes);
        match decoded {
            Ok(((VERSION, index), [])) if index.is_sound() => Ok(index),
            _ => Err(SeekError::Index),
        }
    }
}
