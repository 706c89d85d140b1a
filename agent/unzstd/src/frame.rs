//! Heads: of the frame, and of each block.

use crate::{Corrupt, MAX_BLOCK, MAX_WINDOW};

const MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
/// Bytes of the magic number and the descriptor.
pub(crate) const MAGIC_LEN: usize = 5;
/// Bytes of a block's head.
pub(crate) const BLOCK_HEAD_LEN: usize = 3;

/// What a frame's head consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptor(u8);

impl Descriptor {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Corrupt> {
        let (magic, [descriptor]) = bytes.split_first_chunk::<4>().ok_or(Corrupt)? else {
            return Err(Corrupt);
        };
        // A dictionary (bits 0 and 1), a checksum (2), what is kept for later (3).
        if *magic != MAGIC || descriptor & 0b1111 != 0 {
            return Err(Corrupt);
        }
        Ok(Self(*descriptor))
    }

    /// Whether the window is the content.
    fn is_single(self) -> bool {
        self.0 & 0b10_0000 != 0
    }

    /// Bytes that say how long the content is.
    fn size_len(self) -> usize {
        match self.0 >> 6 {
            0 => usize::from(self.is_single()),
            1 => 2,
            2 => 4,
            _ => 8,
        }
    }

    /// Bytes of the head behind the descriptor. May be none: a frame without a window's length has a content's.
    pub(crate) fn rest_len(self) -> usize {
        usize::from(!self.is_single()) + self.size_len()
    }

    /// The frame's window, by the bytes behind the descriptor, if its content is of this length, or may be less.
    pub(crate) fn window(
        self,
        bytes: &[u8],
        len: usize,
        may_be_less: bool,
    ) -> Result<Window, Corrupt> {
        let mut size = [0; 8];
        let from = bytes.len().checked_sub(self.size_len()).ok_or(Corrupt)?;
        size.iter_mut().zip(&bytes[from..]).for_each(|(to, byte)| *to = *byte);
        let size = u64::from_le_bytes(size);
        let size = if self.size_len() == 2 { size + 256 } else { size };
        let announced = u64::try_from(len).map_err(|_| Corrupt)?;
        if self.size_len() > 0 && (size > announced || (size < announced && !may_be_less)) {
            return Err(Corrupt);
        }
        if self.is_single() {
            return Ok(Window(usize::try_from(size).map_err(|_| Corrupt)?));
        }
        let &head = bytes.first().ok_or(Corrupt)?;
        let (exponent, eighths) = (head >> 3, usize::from(head & 0b111));
        let window = match exponent {
            // Much more would be too much for an usize, too.
            0..=10 => (1 << (10 + exponent)) / 8 * (8 + eighths),
            _ => usize::MAX,
        };
        if window > MAX_WINDOW {
            return Err(Corrupt);
        }
        Ok(Window(window))
    }
}

/// Bytes of a frame's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window(usize);

impl Window {
    /// Most bytes of a block, encoded or decoded.
    pub(crate) fn most_of_block(self) -> usize {
        self.0.min(MAX_BLOCK)
    }
}

/// A block's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) is_last: bool,
    pub(crate) kind: Kind,
    /// Of a compressed block encoded bytes, of others those of the content.
    pub(crate) len: usize,
}

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Content.
    Raw,
    /// A byte that is repeated.
    Same,
    /// Literals and sequences.
    Compressed,
}

impl Block {
    pub(crate) fn parse(bytes: &[u8], window: Window) -> Result<Self, Corrupt> {
        let &[a, b, c] = bytes else { return Err(Corrupt) };
        let head = u32::from_le_bytes([a, b, c, 0]);
        let kind = match head >> 1 & 0b11 {
            0 => Kind::Raw,
            1 => Kind::Same,
            2 => Kind::Compressed,
            _ => return Err(Corrupt),
        };
        let len = usize::try_from(head >> 3).map_err(|_| Corrupt)?;
        if len > window.most_of_block() {
            return Err(Corrupt);
        }
        Ok(Self { is_last: head & 1 == 1, kind, len })
    }

    /// Bytes that follow the head.
    pub(crate) fn encoded_len(self) -> usize {
        match self.kind {
            Kind::Same => 1,
            _ => self.len,
        }
    }
}
