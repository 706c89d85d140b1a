//! Zstd (RFC 8878): a pack is one frame, whose window is all of it. It says its content's size, and has neither a
//! checksum nor a dictionary's number, since the protocol's frames and the contents have digests of their own.

use crate::mapped::Mapped;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, compress_bound};

/// The level that finds the shortest encoding without more memory than a pack is worth.
pub const BEST: i32 = 19;

/// The window's logarithm: a pack.
const WINDOW_LOG: u32 = skiff_protocol::limits::MAX_PACK.ilog2();

/// Compressors that nobody uses now: as many as encoded at once. Each has some ten megabytes of tables, which glibc's allocator would
/// keep for each thread if they came and went (see [`crate::mapped`]).
static IDLE: Mutex<Vec<Compressor<'static>>> = Mutex::new(Vec::new());

fn idle() -> MutexGuard<'static, Vec<Compressor<'static>>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Encodes `bytes` as one frame. Levels are zstd's, 1 to [`BEST`].
///
/// # Errors
/// The system has no memory.
pub fn encode(bytes: &[u8], level: i32) -> io::Result<Mapped> {
    let used = idle().pop();
    let mut compressor = used.unwrap_or_default();
    compressor.set_compression_level(level.clamp(1, BEST))?;
    for parameter in [
        CParameter::WindowLog(WINDOW_LOG),
        CParameter::ContentSizeFlag(true),
        CParameter::ChecksumFlag(false),
        CParameter::DictIdFlag(false),
    ] {
        compressor.set_parameter(parameter)?;
    }
    let mut encoded = Mapped::zeroed(compress_bound(bytes.len()))?;
    let len = compressor.compress_to_buffer(bytes, &mut encoded[..])?;
    idle().push(compressor);
    Ok(encoded.cut(0, len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_head_says_what_the_protocol_wants() {
        for len in [0, 1, 300, 70_000, 1 << 20] {
            let bytes: Vec<u8> = (0..len).map(|n: u32| (n / 3).to_le_bytes()[0]).collect();
            for level in [1, BEST] {
                let encoded = encode(&bytes, level).unwrap();
                let (magic, rest) = encoded.split_at(4);
                assert_eq!(magic, [0x28, 0xB5, 0x2F, 0xFD]);
                // Neither a checksum nor a dictionary.
                assert_eq!(rest[0] & 0b111, 0, "{len} bytes, level {level}");
                let is_single_segment = rest[0] & 0b10_0000 != 0;
                // Without it there is a window's descriptor: 2^(10 + exponent) and eighths of that.
                assert!(is_single_segment || rest[1] <= 10 << 3, "{len} bytes, level {level}");
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_decoded(bytes in prop::collection::vec(0..4u8, 0..5000), level in 1..20) {
            let decoded = zstd::bulk::decompress(&encode(&bytes, level).unwrap(), bytes.len()).unwrap();
            prop_assert_eq!(decoded, bytes);
        }
    }
}
