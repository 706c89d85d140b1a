//! Raw deflate (RFC 1951) by libdeflate, which takes whole buffers: packs are bounded, and the
//! metadata stream is in memory anyway.

use crate::mapped::Mapped;
use libdeflater::{CompressionLvl, Compressor};
use std::io;

/// The level that finds the shortest encoding.
pub const BEST: i32 = 12;

/// Encodes `bytes` as one raw deflate stream. Levels are libdeflate's, 1 to 12; others count as
/// [`BEST`].
///
/// # Errors
/// The system has no memory.
pub fn encode(bytes: &[u8], level: i32) -> io::Result<Mapped> {
    let level = CompressionLvl::new(level).unwrap_or_else(|_| CompressionLvl::best());
    let mut compressor = Compressor::new(level);
    let mut encoded = Mapped::zeroed(compressor.deflate_compress_bound(bytes.len()))?;
    // It can't fail: the bound is room enough for every input.
    let len = compressor.deflate_compress(bytes, &mut encoded).unwrap_or_default();
    Ok(encoded.cut(0, len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn miniz_decodes_it(bytes in prop::collection::vec(0..4u8, 0..5000), level in 1..13) {
            let decoded = miniz_oxide::inflate::decompress_to_vec(&encode(&bytes, level).unwrap()).unwrap();
            prop_assert_eq!(decoded, bytes);
        }
    }
}
