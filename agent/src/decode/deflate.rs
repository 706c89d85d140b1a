//! Raw deflate in a fixed window: 32 KiB, whatever comes.

use super::Corrupt;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

/// Deflate's longest distance (RFC 1951); also the ring's length, a power of two.
const WINDOW: usize = 32 * 1024;

/// A decoder that is used again and again.
pub(super) struct Inflater {
    state: Box<DecompressorOxide>,
    window: Box<[u8]>,
    at: usize,
    done: bool,
}

impl Default for Inflater {
    fn default() -> Self {
        Self {
            state: Box::default(),
            window: vec![0; WINDOW].into_boxed_slice(),
            at: 0,
            done: false,
        }
    }
}

impl Inflater {
    /// Starts over, for the next stream.
    pub(super) fn reset(&mut self) {
        self.state.init();
        self.at = 0;
        self.done = false;
    }

    /// Whether the stream has come to its end.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Takes bytes off the front of `input`, gives what they inflate to: at most a window.
    /// `None` when `input` is used up. Bytes behind the stream's end are an error.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<Option<&[u8]>, Corrupt> {
        loop {
            if self.done {
                return if input.is_empty() { Ok(None) } else { Err(Corrupt) };
            }
            let flags = inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
            let (status, used, made) =
                decompress(&mut self.state, input, &mut self.window, self.at, flags);
            *input = input.get(used..).unwrap_or_default();
            let from = self.at;
            self.at = (self.at + made) & (WINDOW - 1);
            match status {
                TINFLStatus::Done => self.done = true,
                TINFLStatus::HasMoreOutput | TINFLStatus::NeedsMoreInput => {}
                _ => return Err(Corrupt),
            }
            if made > 0 {
                return Ok(Some(&self.window[from..from + made]));
            }
            if status == TINFLStatus::NeedsMoreInput {
                return Ok(None);
            }
        }
    }
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").field("at", &self.at).field("done", &self.done).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniz_oxide::deflate::compress_to_vec;

    fn inflate(compressed: &[u8], cut: usize) -> Result<(Vec<u8>, bool), Corrupt> {
        let mut inflater = Inflater::default();
        let mut made = Vec::new();
        for mut piece in compressed.chunks(cut) {
            while let Some(bytes) = inflater.next(&mut piece)? {
                made.extend_from_slice(bytes);
            }
        }
        Ok((made, inflater.is_done()))
    }

    #[test]
    fn any_cutting_gives_the_same_bytes() {
        let plain: Vec<u8> =
            (0..200_000_u32).map(|n| (n.wrapping_mul(n) >> 7).to_le_bytes()[0]).collect();
        let compressed = compress_to_vec(&plain, 6);
        for cut in [1, 7, 4096, compressed.len()] {
            let (made, done) = inflate(&compressed, cut).unwrap();
            assert!(made == plain && done, "cut {cut}");
        }
        assert!(!inflate(&compressed[..compressed.len() - 1], 100).unwrap().1);
        let mut longer = compressed.clone();
        longer.push(0);
        assert!(inflate(&longer, 100).is_err());
        assert!(inflate(&[0xFF; 10], 10).is_err());
        assert_eq!(inflate(&compress_to_vec(b"", 6), 1).unwrap(), (Vec::new(), true));
    }
}
