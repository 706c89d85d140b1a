//! Where segments begin: collected while the bytes go by.

use super::index::{Index, Segment, Start};
use crc32fast::Hasher;

/// How long segments are to be, in uncompressed bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lengths {
    /// Where a start costs a window.
    pub(super) costly: u64,
    /// Where a start costs nothing, at a member or a frame.
    pub(super) free: u64,
    /// Longer ones make the whole index useless.
    pub(super) most: u64,
}

pub(super) struct Marks {
    lengths: Lengths,
    segments: Vec<Segment>,
    /// Uncompressed bytes so far, and where the segment and the gzip member began.
    offset: u64,
    segment: u64,
    member: u64,
    /// CRC-32 of the last bytes, of the segment and the member before them. Each byte is summed
    /// once, though it belongs to a segment and to a member.
    last_crc: Hasher,
    segment_crc: Hasher,
    member_crc: Hasher,
    /// A segment got too long.
    lost: bool,
}

impl Marks {
    pub(super) fn new(lengths: Lengths) -> Self {
        Self {
            lengths,
            segments: Vec::new(),
            offset: 0,
            segment: 0,
            member: 0,
            last_crc: Hasher::new(),
            segment_crc: Hasher::new(),
            member_crc: Hasher::new(),
            lost: false,
        }
    }

    /// Uncompressed bytes go by.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.last_crc.update(bytes);
        self.offset += bytes.len() as u64;
        if self.offset - self.segment > self.lengths.most {
            self.lost = true;
            self.segments = Vec::new();
        }
    }

    fn sum(&mut self) {
        self.segment_crc.combine(&self.last_crc);
        self.member_crc.combine(&self.last_crc);
        self.last_crc = Hasher::new();
    }

    /// Uncompressed bytes until a new start is worth a window.
    pub(super) fn until_costly(&self) -> u64 {
        match self.lost {
            true => u64::MAX,
            false => self.lengths.costly.saturating_sub(self.offset - self.segment),
        }
    }

    /// A segment begins here; at most `most_later` bytes before its window is known.
    pub(super) fn begin(&mut self, from: u64, start: Start) {
        if self.lost {
            return;
        }
        self.sum();
        let crc = std::mem::take(&mut self.segment_crc).finalize();
        match self.segments.last_mut() {
            // Nothing came since: the new start serves the same bytes.
            Some(empty) if self.offset == self.segment => {
                *empty = Segment::new(self.offset, from, start)
            }
            last => {
                if let Some(last) = last {
                    last.crc = crc;
                }
                self.segments.push(Segment::new(self.offset, from, start));
            }
        }
        self.segment = self.offset;
    }

    /// A gzip member or zstd frame begins here: a segment, too, if the last one is long enough.
    pub(super) fn begin_free(&mut self, from: u64, start: Start) {
        let len = self.offset - self.segment;
        if len == 0 || len >= self.lengths.free {
            self.begin(from, start);
        }
        self.sum();
        self.member_crc = Hasher::new();
        self.member = self.offset;
    }

    /// CRC-32 and length of the member that ends here.
    pub(super) fn member(&mut self) -> (u32, u64) {
        self.sum();
        (self.member_crc.clone().finalize(), self.offset - self.member)
    }

    /// The window of the last segment.
    pub(super) fn window(&mut self, found: Box<[u8]>) {
        if let Some(Segment { start: Start::Deflate { window, .. }, .. }) = self.segments.last_mut()
        {
            *window = found;
        }
    }

    /// The index of a blob of `blob` bytes that was read to its end.
    pub(super) fn finish(mut self, blob: u64) -> Option<Index> {
        self.sum();
        match self.segments.last_mut() {
            Some(_) if self.offset == self.segment => drop(self.segments.pop()),
            Some(last) => last.crc = self.segment_crc.finalize(),
            None => {}
        }
        if self.lost { None } else { Index::new(self.offset, blob, self.segments) }
    }
}
