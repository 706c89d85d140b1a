//! From a segment's bytes in the blob to its bytes in the tar.

use super::SeekError;
use super::header::{self, TRAILER};
use super::index::{Index, Segment, Start};
use super::window::{REACH, resume, unpack};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use std::io::Read as _;
use std::ops::Range;

impl Index {
    /// Bytes of the buffer that [`inflate`](Self::inflate) needs for segment `n`: the segment's, and
    /// a window before them.
    pub fn room(&self, n: usize) -> usize {
        let bytes = self.bytes(n);
        REACH + usize::try_from(bytes.end - bytes.start).unwrap_or(usize::MAX - REACH)
    }

    /// Inflates segment `n` from the blob's bytes [`span(n)`](Self::span). Gives the segment's place in the
    /// buffer, which must have [`room(n)`](Self::room).
    ///
    /// # Errors
    /// There is no such segment, the bytes are not the blob's, or the buffer is too short.
    pub fn inflate(
        &self,
        n: usize,
        compressed: &[u8],
        buffer: &mut [u8],
    ) -> Result<Range<usize>, SeekError> {
        let segment = self.segment(n).ok_or(SeekError::NoSegment)?;
        let (bytes, span) = (self.bytes(n), self.span(n));
        if compressed.len() as u64 != span.end - span.start {
            return Err(SeekError::Length);
        }
        let len = usize::try_from(bytes.end - bytes.start).map_err(|_| SeekError::Length)?;
        let place = REACH..REACH + len;
        let buffer = buffer.get_mut(..place.end).ok_or(SeekError::Length)?;
        segment.inflate(compressed, buffer)?;
        if crc32fast::hash(&buffer[place.clone()]) != segment.crc {
            return Err(SeekError::Damaged);
        }
        Ok(place)
    }
}

impl Segment {
    /// Fills the buffer from [`REACH`] on.
    fn inflate(&self, compressed: &[u8], buffer: &mut [u8]) -> Result<(), SeekError> {
        let out = &mut buffer[REACH..];
        match &self.start {
            Start::Plain if compressed.len() == out.len() => out.copy_from_slice(compressed),
            Start::Plain => return Err(SeekError::Damaged),
            Start::Frame => zstd::stream::read::Decoder::with_buffer(compressed)
                .and_then(|mut decoder| decoder.read_exact(out))
                .map_err(|_| SeekError::Damaged)?,
            Start::Member => members(compressed, out)?,
            Start::Deflate { bits, window } => {
                let window = unpack(window)?;
                let before = REACH.checked_sub(window.len()).ok_or(SeekError::Index)?;
                let out = &mut buffer[before..];
                let reach = window.len();
                out[..reach].copy_from_slice(&window);
                let mut compressed = compressed;
                let mut shared = [0];
                if *bits > 0 {
                    compressed.read_exact(&mut shared).map_err(|_| SeekError::Damaged)?;
                }
                let bit_buf = if *bits > 0 { shared[0] >> (8 - bits.min(&7)) } else { 0 };
                let decoder = resume(*bits, bit_buf);
                let (read, end) = member(decoder, compressed, out, reach)?;
                members(compressed.get(read..).unwrap_or_default(), &mut out[end..])?;
            }
        }
        Ok(())
    }
}

/// Gzip members until `out` is full. Their trailers were checked when the blob was indexed; the
/// segment's checksum stands for them.
fn members(mut compressed: &[u8], mut out: &mut [u8]) -> Result<(), SeekError> {
    while !out.is_empty() {
        header::skip(&mut compressed).map_err(|_| SeekError::Damaged)?;
        let (read, end) = member(Box::default(), compressed, out, 0)?;
        compressed = compressed.get(read..).unwrap_or_default();
        out = &mut out[end..];
    }
    Ok(())
}

/// Decompresses into `out`, from `position`, until the member ends or `out` is full. Gives the
/// bytes that the member took with its trailer, and the position.
fn member(
    mut decoder: Box<DecompressorOxide>,
    compressed: &[u8],
    out: &mut [u8],
    position: usize,
) -> Result<(usize, usize), SeekError> {
    let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, read, written) = decompress(&mut decoder, compressed, out, position, flags);
    let end = position + written;
    // When all is there, it doesn't matter what the decoder makes of the bytes behind.
    if status == TINFLStatus::Done || end == out.len() {
        Ok((read + TRAILER, end))
    } else {
        Err(SeekError::Damaged)
    }
}
