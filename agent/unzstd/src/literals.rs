//! A block's literals (RFC 8878, 3.1.1.3.1).

use crate::Corrupt;
use crate::huffman::Table;
use alloc::vec::Vec;

/// What decodes them, from one block of a frame to the next.
#[derive(Default)]
pub(crate) struct Literals {
    table: Table,
    bytes: Vec<u8>,
}

impl Literals {
    /// Starts over, for the next frame.
    pub(crate) fn reset(&mut self) {
        self.table.reset();
    }

    /// The literals that a block begins with, at most so many, and what stands behind them.
    pub(crate) fn decode<'b>(
        &'b mut self,
        block: &'b [u8],
        most: usize,
    ) -> Result<(&'b [u8], &'b [u8]), Corrupt> {
        let mut head = [0; 8];
        head.iter_mut().zip(block).for_each(|(to, byte)| *to = *byte);
        let head = u64::from_le_bytes(head);
        let (kind, format) = (head & 3, head >> 2 & 3);
        // Bytes of the head, bits before a length, bits of a length.
        let (head_len, from, bits) = match (kind < 2, format) {
            (true, 0 | 2) => (1, 3, 5),
            (true, 1) => (2, 4, 12),
            (true, _) => (3, 4, 20),
            (false, 0 | 1) => (3, 4, 10),
            (false, 2) => (4, 4, 14),
            (false, _) => (5, 4, 18),
        };
        let field = |from: u32| usize::try_from(head >> from & ((1 << bits) - 1));
        let len = field(from).map_err(|_| Corrupt)?;
        let rest = block.get(head_len..).ok_or(Corrupt)?;
        if len > most {
            return Err(Corrupt);
        }
        if kind == 0 {
            return rest.split_at_checked(len).ok_or(Corrupt);
        }
        if self.bytes.len() < len {
            self.bytes.reserve_exact(len - self.bytes.len());
            self.bytes.resize(len, 0);
        }
        let bytes = self.bytes.get_mut(..len).ok_or(Corrupt)?;
        if kind == 1 {
            let (&byte, rest) = rest.split_first().ok_or(Corrupt)?;
            bytes.fill(byte);
            return Ok((bytes, rest));
        }
        let coded = field(from + bits).map_err(|_| Corrupt)?;
        let (mut coded, rest) = rest.split_at_checked(coded).ok_or(Corrupt)?;
        if kind == 2 {
            coded = self.table.read(coded)?;
        }
        if format == 0 {
            self.table.one(coded, bytes)?;
        } else {
            self.table.four(streams(coded)?, bytes)?;
        }
        Ok((bytes, rest))
    }
}

/// Four streams, behind the lengths of the first three.
fn streams(bytes: &[u8]) -> Result<[&[u8]; 4], Corrupt> {
    let (&[a, b, c, d, e, f], rest) = bytes.split_first_chunk().ok_or(Corrupt)?;
    let (first, rest) = rest.split_at_checked(u16::from_le_bytes([a, b]).into()).ok_or(Corrupt)?;
    let (second, rest) = rest.split_at_checked(u16::from_le_bytes([c, d]).into()).ok_or(Corrupt)?;
    let (third, fourth) =
        rest.split_at_checked(u16::from_le_bytes([e, f]).into()).ok_or(Corrupt)?;
    Ok([first, second, third, fourth])
}
