//! A block's sequences (RFC 8878, 3.1.1.3.2): some literals each, and a copy of what was before. They are executed as they are read.

use crate::Corrupt;
use crate::bits::Backward;
use crate::copy::Out;
use crate::fse::Table;

/// The code of the longest distance, with its bits; it reaches beyond any window of ours. With the lengths' bits these have to be at
/// hand at once.
const MOST_OFFSET: u8 = 24;

/// Lengths of literals by code: the least, and how many bits are added.
const LITERALS: [(u32, u8); 36] = [
    (0, 0),
    (1, 0),
    (2, 0),
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 0),
    (12, 0),
    (13, 0),
    (14, 0),
    (15, 0),
    (16, 1),
    (18, 1),
    (20, 1),
    (22, 1),
    (24, 2),
    (28, 2),
    (32, 3),
    (40, 3),
    (48, 4),
    (64, 6),
    (128, 7),
    (256, 8),
    (512, 9),
    (1024, 10),
    (2048, 11),
    (4096, 12),
    (8192, 13),
    (16384, 14),
    (32768, 15),
    (65536, 16),
];

/// Lengths of copies by code.
const COPIES: [(u32, u8); 53] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 0),
    (12, 0),
    (13, 0),
    (14, 0),
    (15, 0),
    (16, 0),
    (17, 0),
    (18, 0),
    (19, 0),
    (20, 0),
    (21, 0),
    (22, 0),
    (23, 0),
    (24, 0),
    (25, 0),
    (26, 0),
    (27, 0),
    (28, 0),
    (29, 0),
    (30, 0),
    (31, 0),
    (32, 0),
    (33, 0),
    (34, 0),
    (35, 1),
    (37, 1),
    (39, 1),
    (41, 1),
    (43, 2),
    (47, 2),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 5),
    (131, 7),
    (259, 8),
    (515, 9),
    (1027, 10),
    (2051, 11),
    (4099, 12),
    (8195, 13),
    (16387, 14),
    (32771, 15),
    (65539, 16),
];

/// How likely codes are where a block does not say it (RFC 8878, 3.1.1.3.2.2).
const LIKELY_LITERALS: [i16; 36] = [
    4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1,
    -1, -1, -1, -1,
];
const LIKELY_COPIES: [i16; 53] = [
    1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
];
const LIKELY_OFFSETS: [i16; 29] =
    [1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1];

/// What reads them, from one block of a frame to the next.
#[derive(Default)]
pub(crate) struct Sequences {
    literals: Table<512>,
    offsets: Table<256>,
    copies: Table<512>,
    /// The distances that were used last.
    last: [usize; 3],
}

impl Sequences {
    /// Starts over, for the next frame.
    pub(crate) fn reset(&mut self) {
        self.literals.reset();
        self.offsets.reset();
        self.copies.reset();
        self.last = [1, 4, 8];
    }

    /// Executes the sequences of the bytes, which are the rest of a block.
    pub(crate) fn execute(
        &mut self,
        bytes: &[u8],
        mut literals: &[u8],
        out: &mut Out<'_>,
    ) -> Result<(), Corrupt> {
        let (count, rest) = match *bytes {
            [0] => return out.append(literals),
            [count @ 1..=127, ref rest @ ..] => (usize::from(count), rest),
            [high @ 128..=254, low, ref rest @ ..] => {
                (usize::from(u16::from_be_bytes([high - 128, low])), rest)
            }
            [255, low, high, ref rest @ ..] => {
                (usize::from(u16::from_le_bytes([low, high])) + 0x7F00, rest)
            }
            _ => return Err(Corrupt),
        };
        let (&modes, rest) = rest.split_first().ok_or(Corrupt)?;
        if modes & 3 != 0 {
            return Err(Corrupt);
        }
        let rest = table(&mut self.literals, modes >> 6, rest, 35, (&LIKELY_LITERALS, 6))?;
        let rest = table(&mut self.offsets, modes >> 4 & 3, rest, 31, (&LIKELY_OFFSETS, 5))?;
        let rest = table(&mut self.copies, modes >> 2 & 3, rest, 52, (&LIKELY_COPIES, 6))?;

        let mut bits = Backward::new(rest)?;
        bits.refill();
        let mut literal = self.literals.begin(&mut bits)?;
        let mut offset = self.offsets.begin(&mut bits)?;
        let mut copy = self.copies.begin(&mut bits)?;
        for left in (0..count).rev() {
            let of_literals = self.literals.entry(literal);
            let of_offset = self.offsets.entry(offset);
            let of_copy = self.copies.entry(copy);
            if of_offset.symbol > MOST_OFFSET {
                return Err(Corrupt);
            }
            bits.refill();
            let value = (1 << of_offset.symbol) + bits.take(of_offset.symbol.into());
            let copied = length(&COPIES, of_copy.symbol, &mut bits)?;
            let taken = length(&LITERALS, of_literals.symbol, &mut bits)?;
            let back = self.distance(value, taken == 0);
            out.take(&mut literals, taken)?;
            out.repeat(back, copied)?;
            if left > 0 {
                bits.refill();
                literal = of_literals.next(&mut bits);
                copy = of_copy.next(&mut bits);
                offset = of_offset.next(&mut bits);
            }
            if bits.is_over() {
                return Err(Corrupt);
            }
        }
        if !bits.is_at_end() {
            return Err(Corrupt);
        }
        out.append(literals)
    }

    /// The distance that a value means: the first three are of distances before, other ones behind a sequence without literals.
    #[inline(always)]
    fn distance(&mut self, value: usize, no_literals: bool) -> usize {
        let [first, second, third] = self.last;
        let (distance, others) = match value + usize::from(no_literals) {
            _ if value > 3 => (value - 3, [first, second]),
            1 => return first,
            2 => (second, [first, third]),
            3 => (third, [first, second]),
            // Zero is refused where it is used.
            _ => (first.wrapping_sub(1), [first, second]),
        };
        self.last = [distance, others[0], others[1]];
        distance
    }
}

#[inline(always)]
fn length(lengths: &[(u32, u8)], code: u8, bits: &mut Backward<'_>) -> Result<usize, Corrupt> {
    let &(least, more) = lengths.get(usize::from(code)).ok_or(Corrupt)?;
    Ok(least as usize + bits.take(more.into()))
}

/// Sets a table as a block says. Gives what stands behind that.
fn table<'b, const N: usize>(
    table: &mut Table<N>,
    mode: u8,
    bytes: &'b [u8],
    last_symbol: u8,
    (likely, log): (&[i16], u32),
) -> Result<&'b [u8], Corrupt> {
    match mode {
        0 => table.set(likely, log).map(|()| bytes),
        1 => {
            let (&symbol, rest) = bytes.split_first().ok_or(Corrupt)?;
            if symbol > last_symbol {
                return Err(Corrupt);
            }
            table.set_single(symbol);
            Ok(rest)
        }
        2 => {
            let used = table.read(bytes, last_symbol.into())?;
            bytes.get(used..).ok_or(Corrupt)
        }
        // The one of the block before. Whether there is one is seen when it is used.
        _ => Ok(bytes),
    }
}
