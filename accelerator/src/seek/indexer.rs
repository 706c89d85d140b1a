//! Decompresses a blob as it is read, and makes its index.

use super::format::{Format, MAGIC};
use super::frames::Frames;
use super::gzip::Gzip;
use super::index::{Index, Start};
use super::input::Input;
use super::marks::{Lengths, Marks};
use super::{FREE_SPACING, MOST, MOST_FRAME, SPACING};
use std::io::{self, ErrorKind, Read};

/// Most bytes that a blob may inflate to: each is hashed.
const LONGEST: u64 = 64 << 30;
/// How many times as long as the blob that may be, once it is over [`FREE`]. Deflate comes to 1,032, zstd to tens of
/// thousands.
const RATIO: u64 = 1_100;
/// Bytes that are free of that: a layer may well hold a file of zeros.
const FREE: u64 = 1 << 30;

/// Decompresses a blob (gzip, zstd or plain, told apart by its first bytes) as it is read, and
/// makes its index.
///
/// What is cut short or damaged is an error, and so is anything that follows a gzip member or zstd
/// frame but another one; checksums of members and frames are checked.
pub struct Indexer<R> {
    input: Input<R>,
    marks: Marks,
    decoder: Decoder,
    state: State,
    /// Bytes that came out.
    made: u64,
}

enum Decoder {
    Plain,
    Gzip(Box<Gzip>),
    Zstd(Frames),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Going,
    Ended,
    Failed,
}

impl<R: Read> Indexer<R> {
    /// Looks at the first bytes of `blob`. It need not be buffered.
    ///
    /// # Errors
    /// The blob can't be read.
    pub fn open(blob: R) -> io::Result<Self> {
        Self::with_spacing(blob, SPACING, FREE_SPACING)
    }

    /// The same with segments of other lengths than an accelerator makes: so many uncompressed bytes where a start
    /// costs a window, and where it costs nothing. Small blobs have many segments then.
    ///
    /// # Errors
    /// The blob can't be read.
    pub fn with_spacing(blob: R, costly: u64, free: u64) -> io::Result<Self> {
        let mut input = Input::new(blob);
        let (decoder, most) = match Format::of(input.peek(MAGIC)?) {
            Format::Plain => (Decoder::Plain, MOST),
            Format::Gzip => (Decoder::Gzip(Box::new(Gzip::new())), MOST),
            Format::Zstd => (Decoder::Zstd(Frames::new()?), MOST_FRAME),
        };
        let marks = Marks::new(Lengths { costly, free, most });
        Ok(Self { input, marks, decoder, state: State::Going, made: 0 })
    }

    /// The index, if the blob was read to its end (a read gave no bytes) and can be indexed: a zstd
    /// frame or a deflate block that is too long can't.
    pub fn finish(self) -> Option<Index> {
        let blob = self.input.offset();
        (self.state == State::Ended).then(|| self.marks.finish(blob)).flatten()
    }

    /// Bounds what a hostile blob costs.
    fn bounded(&mut self, read: io::Result<usize>) -> io::Result<usize> {
        let len = read?;
        self.made += len as u64;
        let most = self.input.offset().saturating_mul(RATIO).clamp(FREE, LONGEST);
        if self.made > most {
            let what =
                "the blob inflates to over 64 GiB, or to over 1 GiB and 1,100 times its length";
            return Err(io::Error::new(ErrorKind::InvalidData, what));
        }
        Ok(len)
    }

    fn plain(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.input.peek(1)?.is_empty() {
            return Ok(0);
        }
        if self.input.offset() == 0 || self.marks.until_costly() == 0 {
            self.marks.begin(self.input.offset(), Start::Plain);
        }
        let most = usize::try_from(self.marks.until_costly()).unwrap_or(usize::MAX).min(to.len());
        let len = self.input.read(&mut to[..most])?;
        self.marks.bytes(&to[..len]);
        Ok(len)
    }
}

impl<R: Read> Read for Indexer<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if to.is_empty() || self.state == State::Ended {
            return Ok(0);
        }
        if self.state == State::Failed {
            return Err(io::Error::new(ErrorKind::InvalidData, "the blob was damaged before"));
        }
        let read = match &mut self.decoder {
            Decoder::Plain => self.plain(to),
            Decoder::Gzip(gzip) => gzip.read(&mut self.input, &mut self.marks, to),
            Decoder::Zstd(frames) => frames.read(&mut self.input, &mut self.marks, to),
        };
        let read = self.bounded(read);
        match &read {
            Ok(0) => self.state = State::Ended,
            Ok(_) => {}
            Err(_) => self.state = State::Failed,
        }
        read
    }
}

impl<R> std::fmt::Debug for Indexer<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Indexer").field("state", &self.state).finish_non_exhaustive()
    }
}
