//! The bytes before a deflate block that the block needs, and no others.
//!
//! A match reaches at most 32 KiB back (RFC 1951, section 2), so only the first 32 KiB behind
//! a start can reach the window before it. They are decompressed again, from windows in which each
//! byte tells its own index: one has the index's low byte, one its high byte. What comes out of
//! a literal is the literal, and what was copied from the window, however often on the way, is the
//! index it came from. A literal can look like an index (low and high byte the same): then the
//! window's byte there is kept for nothing. The bytes that nothing came from are zeroed, which zstd
//! makes short work of. That the rest suffices is not only argued: the 32 KiB are decompressed from
//! it, and if they differ, the window stays whole.

use super::SeekError;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{BlockBoundaryState, DecompressorOxide, decompress};
use std::io;

/// How far a match reaches.
pub(super) const REACH: usize = 32 << 10;
/// Compressed bytes that are kept to find what is needed. What 32 KiB come from is hardly ever
/// more, but a stream of empty blocks is.
const MOST_COMPRESSED: usize = 64 << 10;
const ZSTD_LEVEL: i32 = 9;

/// Where a deflate stream goes on: `bits` of the last byte belong to the next block.
pub(super) fn resume(bits: u8, bit_buf: u8) -> Box<DecompressorOxide> {
    let state = BlockBoundaryState { num_bits: bits, bit_buf, ..BlockBoundaryState::default() };
    Box::new(DecompressorOxide::from_block_boundary_state(&state))
}

/// A start whose window is being looked into.
pub(super) struct Trim {
    bits: u8,
    bit_buf: u8,
    window: Vec<u8>,
    compressed: Vec<u8>,
    output: Vec<u8>,
}

impl Trim {
    /// At the boundary `state`, after `output`.
    pub(super) fn new(state: &BlockBoundaryState, output: &[u8]) -> Self {
        let window = output[output.len().saturating_sub(REACH)..].to_vec();
        let (bits, bit_buf) = (state.num_bits, state.bit_buf);
        Self { bits, bit_buf, window, compressed: Vec::new(), output: Vec::new() }
    }

    /// Bytes of output that are to come; at 0 it is time to [`finish`](Self::finish).
    pub(super) fn missing(&self) -> usize {
        if self.compressed.len() > MOST_COMPRESSED {
            0
        } else {
            REACH.saturating_sub(self.output.len())
        }
    }

    /// What came, and from what.
    pub(super) fn add(&mut self, compressed: &[u8], output: &[u8]) {
        self.compressed.extend_from_slice(compressed);
        self.output.extend_from_slice(output);
    }

    /// The packed window.
    pub(super) fn finish(mut self) -> io::Result<Box<[u8]>> {
        // Later output could reach it, too.
        let complete = self.compressed.len() <= MOST_COMPRESSED;
        if let Some(trimmed) = complete.then(|| self.trim()).flatten() {
            self.window = trimmed;
        }
        Ok(zstd::bulk::compress(&self.window, ZSTD_LEVEL)?.into_boxed_slice())
    }

    fn trim(&self) -> Option<Vec<u8>> {
        let index = 0..self.window.len();
        let low = self.decompress(index.clone().map(|i| i.to_le_bytes()[0]).collect())?;
        let high = self.decompress(index.map(|i| i.to_le_bytes()[1]).collect())?;
        let mut trimmed = vec![0; self.window.len()];
        let mut first = self.window.len();
        for ((&low, &high), &byte) in low.iter().zip(&high).zip(&self.output) {
            let index = usize::from(u16::from_le_bytes([low, high]));
            // Always so for a byte that was copied from there.
            if self.window.get(index) == Some(&byte) {
                trimmed[index] = byte;
                first = first.min(index);
            }
        }
        trimmed.drain(..first);
        (self.decompress(trimmed.clone())? == self.output).then_some(trimmed)
    }

    /// The output if the window were this one.
    fn decompress(&self, mut window: Vec<u8>) -> Option<Vec<u8>> {
        let len = window.len();
        window.resize(len + self.output.len(), 0);
        let mut decoder = resume(self.bits, self.bit_buf);
        let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (_, _, done) = decompress(&mut decoder, &self.compressed, &mut window, len, flags);
        (done == self.output.len()).then(|| window.split_off(len))
    }
}

/// Unpacks a window.
pub(super) fn unpack(packed: &[u8]) -> Result<Vec<u8>, SeekError> {
    zstd::bulk::decompress(packed, REACH).map_err(|_| SeekError::Index)
}
