//! From a segment's bytes in the blob to its bytes in the tar.

use super::SeekError;
use super::header::{self, TRAILER};
use super::index::{Index, Segment, Start};
use super::window::{resume, unpack};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use std::io::Read as _;

impl Index {
    /// The uncompressed bytes of segment `n`, from the blob's bytes [`span(n)`](Self::span). Takes
    /// the memory of both.
    ///
    /// # Errors
    /// There is no such segment, or the bytes are not the blob's.
    pub fn inflate(&self, n: usize, compressed: &[u8]) -> Result<Vec<u8>, SeekError> {
        let segment = self.segment(n).ok_or(SeekError::NoSegment)?;
        let (bytes, span) = (self.bytes(n), self.span(n));
        if compressed.len() as u64 != span.end - span.start {
            return Err(SeekError::Length);
        }
        let len = usize::try_from(bytes.end - bytes.start).map_err(|_| SeekError::Length)?;
        let inflated = segment.inflate(compressed, len)?;
        if inflated.len() != len || crc32fast::hash(&inflated) != segment.crc {
            return Err(SeekError::Damaged);
        }
        Ok(inflated)
    }
}

impl Segment {
    fn inflate(&self, compressed: &[u8], len: usize) -> Result<Vec<u8>, SeekError> {
        match &self.start {
            Start::Plain => Ok(compressed.to_vec()),
            Start::Frame => {
                let mut out = vec![0; len];
                zstd::stream::read::Decoder::with_buffer(compressed)
                    .and_then(|mut decoder| decoder.read_exact(&mut out))
                    .map_err(|_| SeekError::Damaged)?;
                Ok(out)
            }
            Start::Member => {
                let mut out = vec![0; len];
                members(compressed, &mut out)?;
                Ok(out)
            }
            Start::Deflate { bits, window } => {
                let mut out = unpack(window)?;
                let reach = out.len();
                out.resize(reach + len, 0);
                let mut compressed = compressed;
                let mut shared = [0];
                if *bits > 0 {
                    compressed.read_exact(&mut shared).map_err(|_| SeekError::Damaged)?;
                }
                let bit_buf = if *bits > 0 { shared[0] >> (8 - bits.min(&7)) } else { 0 };
                let decoder = resume(*bits, bit_buf);
                let (read, end) = member(decoder, compressed, &mut out, reach)?;
                members(compressed.get(read..).unwrap_or_default(), &mut out[end..])?;
                out.drain(..reach);
                Ok(out)
            }
        }
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
