//! Bits, from the front (tables) and from the back (everything that tables decode).

use crate::Corrupt;

/// Reads from the front, lowest bit first.
pub(crate) struct Forward<'b> {
    bytes: &'b [u8],
    /// Bits read.
    at: usize,
}

impl<'b> Forward<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next bits, at most 16 of them. Behind the end there are zeros; [`Self::bytes`] says whether they were needed.
    pub(crate) fn peek(&self, count: u32) -> u32 {
        let byte = |offset| self.bytes.get(self.at / 8 + offset).copied().unwrap_or(0);
        let word = u32::from_le_bytes([byte(0), byte(1), byte(2), 0]);
        (word >> (self.at % 8)) & ((1 << count) - 1)
    }

    pub(crate) fn skip(&mut self, count: u32) {
        self.at += count as usize;
    }

    pub(crate) fn take(&mut self, count: u32) -> u32 {
        let bits = self.peek(count);
        self.skip(count);
        bits
    }

    /// Whole bytes that were read.
    pub(crate) fn bytes(&self) -> Result<usize, Corrupt> {
        let bytes = self.at.div_ceil(8);
        if bytes > self.bytes.len() { Err(Corrupt) } else { Ok(bytes) }
    }
}

/// Reads from the back: the last bit that is set marks the end, the bits before it follow, highest first.
///
/// Eight bytes are at hand. Bits that are not there read as zeros, or as whatever was before; [`is_over`](Self::is_over) says that it
/// happened.
#[derive(Clone, Copy)]
pub(crate) struct Backward<'b> {
    bytes: &'b [u8],
    /// Where the bytes at hand stand.
    at: usize,
    word: u64,
    /// Bits of the word that were read, from the top.
    used: u32,
    /// Bits of the word that there are, from the top: all, unless the bytes are fewer than eight.
    there: u32,
}

impl<'b> Backward<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Result<Self, Corrupt> {
        if bytes.last().is_none_or(|last| *last == 0) {
            return Err(Corrupt);
        }
        let (at, word, there) = match bytes.last_chunk::<8>() {
            Some(last) => (bytes.len() - 8, u64::from_le_bytes(*last), 64),
            None => {
                let fold = |word: u64, byte: &u8| word << 8 | u64::from(*byte);
                let there = u32::try_from(bytes.len() * 8).unwrap_or(0);
                (0, bytes.iter().rev().fold(0, fold) << (64 - there), there)
            }
        };
        Ok(Self { bytes, at, word, used: word.leading_zeros() + 1, there })
    }

    /// Gets 57 bits at hand, if there are so many.
    #[inline(always)]
    pub(crate) fn refill(&mut self) {
        let bytes = ((self.used / 8) as usize).min(self.at);
        self.at -= bytes;
        self.used -= u32::try_from(bytes).unwrap_or(0) * 8;
        // As long as there is anything before the word, it is of eight bytes.
        if let Some(word) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk()) {
            self.word = u64::from_le_bytes(*word);
        }
    }

    /// The next bits, 1 to 32 of those at hand.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "at most 32 bits are left")]
    pub(crate) fn peek(&self, count: u32) -> usize {
        ((self.word << (self.used % 64)) >> ((64 - count) % 64)) as u32 as usize
    }

    #[inline(always)]
    pub(crate) fn skip(&mut self, count: u32) {
        self.used += count;
    }

    /// The next bits, 0 to 32 of those at hand.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "at most 32 bits are left")]
    pub(crate) fn take(&mut self, count: u32) -> usize {
        // Two shifts, since one by 64 is none.
        let bits = (self.word << (self.used % 64)) >> 1 >> ((63 - count) % 64);
        self.skip(count);
        bits as u32 as usize
    }

    /// Whether more bits were read than there are. To be asked before the next eight bytes are read beyond the end.
    #[inline(always)]
    pub(crate) fn is_over(&self) -> bool {
        self.used > self.there
    }

    /// Whether all bits were read, and no more.
    pub(crate) fn is_at_end(&self) -> bool {
        self.at == 0 && self.used == self.there
    }
}
