//! What comes encoded: packs, each by the codec that it names, and the metadata stream, which is raw deflate.
//!
//! | codec | memory | |
//! |---|---|---|
//! | deflate | 43 KiB: a window of 32 KiB, and tables | `miniz_oxide`; every agent has it |
//! | zstd | from the first such pack on 1.3 MiB at most: the pack, two blocks, tables | `skiff-unzstd`; feature `zstd` |
//!
//! [`CODECS`] is what requests offer. A pack of any other codec was not asked for, and is refused.

mod deflate;
#[cfg(feature = "zstd")]
mod zstd;

use deflate::Inflater;
#[cfg(feature = "zstd")]
use skiff_protocol::limits::MAX_SCRIPT;
use skiff_protocol::request::Codecs;
use skiff_protocol::response::Codec;
use thiserror::Error;
#[cfg(feature = "zstd")]
use zstd::Zstd;

/// What this agent decodes.
#[cfg(feature = "zstd")]
pub const CODECS: Codecs = Codecs::DEFLATE.and(Codecs::ZSTD);
/// What this agent decodes.
#[cfg(not(feature = "zstd"))]
pub const CODECS: Codecs = Codecs::DEFLATE;

/// The bytes are not what they are said to be.
#[derive(Debug, Error)]
#[error("compressed data from the accelerator is damaged")]
pub struct Corrupt;

/// A decoder that is used again and again.
#[derive(Debug, Default)]
pub struct Decoder {
    inflater: Inflater,
    #[cfg(feature = "zstd")]
    zstd: Zstd,
    /// Whose turn it is.
    by: By,
}

#[derive(Debug, Clone, Copy, Default)]
enum By {
    #[default]
    Inflater,
    #[cfg(feature = "zstd")]
    Zstd,
}

impl Decoder {
    /// A decoder at the start of a metadata stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts over, for a metadata stream.
    pub fn start_metadata(&mut self) {
        self.inflater.reset();
        self.by = By::Inflater;
    }

    /// Starts over, for a pack with so many content bytes. False if this agent can't decode that.
    pub fn start_pack(&mut self, codec: Codec, len: usize) -> bool {
        match codec {
            Codec::Deflate => {
                self.start_metadata();
                true
            }
            #[cfg(feature = "zstd")]
            Codec::Zstd => {
                self.by = By::Zstd;
                self.zstd.start(len)
            }
            // How long a script is, is not said; a longer one is not worth it.
            Codec::DeflateScript => {
                self.start_metadata();
                true
            }
            #[cfg(feature = "zstd")]
            Codec::ZstdScript => {
                self.by = By::Zstd;
                self.zstd.start_at_most(MAX_SCRIPT as usize)
            }
            _ => {
                let _ = len;
                false
            }
        }
    }

    /// Whether the stream or pack has come to its end.
    pub fn is_done(&self) -> bool {
        match self.by {
            By::Inflater => self.inflater.is_done(),
            #[cfg(feature = "zstd")]
            By::Zstd => self.zstd.is_done(),
        }
    }

    /// Takes bytes off the front of `input`, gives what they decode to, a stretch at a time and never nothing. `None` when
    /// `input` is used up. Bytes behind the end are an error.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<&[u8]>, Corrupt> {
        match self.by {
            By::Inflater => self.inflater.next(input),
            #[cfg(feature = "zstd")]
            By::Zstd => self.zstd.next(input),
        }
    }
}

#[cfg(test)]
#[cfg(feature = "zstd")]
mod tests {
    use super::*;
    use miniz_oxide::deflate::compress_to_vec;

    /// A frame of one raw block.
    fn frame(content: &[u8]) -> Vec<u8> {
        let len = u8::try_from(content.len()).unwrap();
        [&[0x28, 0xB5, 0x2F, 0xFD, 0x20, len, 1 | len << 3, len >> 5, 0], content].concat()
    }

    fn all(decoder: &mut Decoder, mut input: &[u8]) -> Result<(Vec<u8>, bool), Corrupt> {
        let mut made = Vec::new();
        while let Some(bytes) = decoder.next(&mut input)? {
            made.extend_from_slice(bytes);
        }
        Ok((made, decoder.is_done()))
    }

    #[test]
    fn packs_of_either_codec_and_metadata_take_turns() {
        let mut decoder = Decoder::new();
        let (deflated, framed) = (compress_to_vec(b"deflated", 6), frame(b"framed"));
        for _ in 0..2 {
            decoder.start_metadata();
            assert_eq!(all(&mut decoder, &deflated).unwrap(), (b"deflated".to_vec(), true));
            assert!(decoder.start_pack(Codec::Zstd, 6));
            assert_eq!(all(&mut decoder, &framed).unwrap(), (b"framed".to_vec(), true));
            assert!(decoder.start_pack(Codec::Deflate, 8));
            assert_eq!(all(&mut decoder, &deflated).unwrap(), (b"deflated".to_vec(), true));
            // What was cut leaves nothing behind.
            assert!(decoder.start_pack(Codec::Zstd, 6));
            assert_eq!(all(&mut decoder, &framed[..9]).unwrap(), (Vec::new(), false));
        }
        assert!(decoder.start_pack(Codec::Zstd, 6));
        assert!(all(&mut decoder, &deflated).is_err());
        assert!(!decoder.start_pack(Codec::Zstd, 2 << 20), "more than a pack");
    }
}
