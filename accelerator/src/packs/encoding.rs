//! How packs are encoded: a codec that the device decodes, and how hard.
//!
//! A plan says nothing of that. So devices that decode different codecs share it, while their packs have keys of
//! their own ([`Cutter::key`](super::cut::Cutter::key)).

use super::{deflate, zstd};
use crate::mapped::Mapped;
use skiff_protocol::request::Codecs;
use skiff_protocol::response::Codec;
use std::io;

/// How hard packs are compressed, for each codec; see [`crate::packs`] for how the defaults were chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// libdeflate's level, 1 to 12.
    pub deflate: i32,
    /// zstd's level, 1 to 19.
    pub zstd: i32,
    /// zstd's level of packs that are compressed again when nothing else is to be done, 1 to 19; 0 if none are.
    pub idle: i32,
}

impl Default for Levels {
    fn default() -> Self {
        Self { deflate: 6, zstd: 7, idle: zstd::BEST }
    }
}

impl Levels {
    /// What is shortest of what a device decodes.
    pub fn for_device(self, decodes: Codecs) -> Encoding {
        match decodes.contains(Codecs::ZSTD) {
            true => Encoding { codec: Codec::Zstd, level: self.zstd },
            false => Encoding { codec: Codec::Deflate, level: self.deflate },
        }
    }

    /// zstd's level of packs that are compressed again, if that may make them shorter.
    pub fn again(self) -> Option<i32> {
        (self.idle > self.zstd).then_some(self.idle)
    }
}

/// A codec and its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding {
    /// The codec.
    pub codec: Codec,
    /// Its level.
    pub level: i32,
}

impl Encoding {
    /// What a device decodes that gets such packs. What they take is measured apart from what others take.
    pub fn codecs(self) -> Codecs {
        match self.codec {
            Codec::Zstd => Codecs::ZSTD,
            _ => Codecs::DEFLATE,
        }
    }

    /// What the keys of such packs begin with.
    pub(super) fn name(self) -> &'static [u8] {
        match self.codec {
            Codec::Zstd => b"skiff pack zstd in frames",
            _ => b"skiff pack deflate in frames",
        }
    }

    /// Encodes a pack. Blocks, for some 100 ms.
    ///
    /// # Errors
    /// The system has no memory.
    pub fn encode(self, bytes: &[u8]) -> io::Result<Mapped> {
        match self.codec {
            Codec::Zstd => zstd::encode(bytes, self.level),
            _ => deflate::encode(bytes, self.level),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skiff_protocol::limits::{MAX_ENCODED_PACK, MAX_SCRIPT};

    #[test]
    fn what_does_not_compress_keeps_a_packs_limit() {
        let mut state = 1u64;
        let noise: Vec<u8> = (0..MAX_SCRIPT)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state.to_be_bytes()[0]
            })
            .collect();
        for (codec, levels) in [
            (Codec::Deflate, &[1, 6, 9, deflate::BEST][..]),
            (Codec::Zstd, &[1, 3, 9, 15, zstd::BEST]),
        ] {
            for &level in levels {
                let encoded = Encoding { codec, level }.encode(&noise).unwrap();
                let most = usize::try_from(MAX_ENCODED_PACK).unwrap();
                assert!(encoded.len() <= most, "{codec:?} {level}: {}", encoded.len());
            }
        }
    }

    #[test]
    fn a_device_gets_what_it_decodes() {
        let levels = Levels { deflate: 5, zstd: 7, idle: 19 };
        let (deflate, zstd) = (Codecs::DEFLATE, Codecs::ZSTD);
        let later = Codecs(1 << 20);
        for (decodes, codec, level) in [
            (deflate, Codec::Deflate, 5),
            (deflate.and(zstd), Codec::Zstd, 7),
            (deflate.and(later), Codec::Deflate, 5),
            (deflate.and(zstd).and(later), Codec::Zstd, 7),
        ] {
            let encoding = levels.for_device(decodes);
            assert_eq!((encoding.codec, encoding.level), (codec, level), "{decodes:?}");
            assert!(decodes.contains(encoding.codecs()), "{decodes:?}");
        }
    }
}
