//! Huffman codes of literals (RFC 8878, 4.2).

use crate::Corrupt;
use crate::bits::Backward;
use crate::fse;

/// Bits of the longest code.
const LOG: u32 = 11;
const STATES: usize = 1 << LOG;
/// Symbols that are read for 57 bits.
const AT_ONCE: usize = 57 / LOG as usize;

/// A symbol for whatever the next bits are.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    symbol: u8,
    bits: u8,
}

/// A table.
pub(crate) struct Table {
    entries: [Entry; STATES],
    /// Bits of its longest code; nothing before the first table.
    log: Option<u32>,
}

impl Default for Table {
    fn default() -> Self {
        Self { entries: [Entry::default(); STATES], log: None }
    }
}

impl Table {
    /// Forgets the table.
    pub(crate) fn reset(&mut self) {
        self.log = None;
    }

    /// Reads a table. Gives what stands behind it.
    pub(crate) fn read<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Corrupt> {
        self.log = None;
        let (&head, rest) = bytes.split_first().ok_or(Corrupt)?;
        let mut weights = [0; 256];
        let (count, len) = match head.checked_sub(127) {
            None => {
                let coded = rest.get(..head.into()).ok_or(Corrupt)?;
                (coded_weights(coded, &mut weights)?, head.into())
            }
            Some(0) => return Err(Corrupt),
            Some(count) => {
                let count = usize::from(count);
                let plain = rest.get(..count.div_ceil(2)).ok_or(Corrupt)?;
                let halves = plain.iter().flat_map(|byte| [byte >> 4, byte & 15]);
                weights.iter_mut().zip(halves).take(count).for_each(|(to, half)| *to = half);
                (count, plain.len())
            }
        };
        self.set(&mut weights, count)?;
        rest.get(len..).ok_or(Corrupt)
    }

    /// Makes the table of so many weights; that of the last symbol follows from them.
    fn set(&mut self, weights: &mut [u8; 256], count: usize) -> Result<(), Corrupt> {
        // Entries of a symbol of this weight.
        let share = |weight: u8| if weight == 0 { 0 } else { 1_usize << (weight - 1) };
        let mut sum = 0;
        let mut of_weight = [0_usize; LOG as usize + 1];
        for &weight in &weights[..count] {
            *of_weight.get_mut(usize::from(weight)).ok_or(Corrupt)? += share(weight);
            sum += share(weight);
        }
        let log = sum.checked_ilog2().ok_or(Corrupt)? + 1;
        let left = (1 << log) - sum;
        if log > LOG || !left.is_power_of_two() {
            return Err(Corrupt);
        }
        let last = u8::try_from(left.ilog2() + 1).map_err(|_| Corrupt)?;
        *weights.get_mut(count).ok_or(Corrupt)? = last;
        of_weight[usize::from(last)] += left;
        // Light symbols, whose codes are long, stand first.
        let mut at = 0;
        let mut from = of_weight.map(|entries| {
            at += entries;
            at - entries
        });
        let bits_of = |weight: u8| u8::try_from(log + 1).unwrap_or(0).saturating_sub(weight);
        for (symbol, &weight) in (0..=u8::MAX).zip(&weights[..=count]) {
            if weight > 0 {
                let from = &mut from[usize::from(weight)];
                let to = *from + share(weight);
                let entries = self.entries.get_mut(*from..to).ok_or(Corrupt)?;
                entries.fill(Entry { symbol, bits: bits_of(weight) });
                *from = to;
            }
        }
        self.log = Some(log);
        Ok(())
    }

    #[inline(always)]
    fn symbol(&self, log: u32, bits: &mut Backward<'_>) -> u8 {
        let entry = self.entries[bits.peek(log) % STATES];
        bits.skip(entry.bits.into());
        entry.symbol
    }

    fn tail(&self, log: u32, mut bits: Backward<'_>, out: &mut [u8]) -> Result<(), Corrupt> {
        for some in out.chunks_mut(AT_ONCE) {
            bits.refill();
            some.iter_mut().for_each(|byte| *byte = self.symbol(log, &mut bits));
        }
        if bits.is_at_end() { Ok(()) } else { Err(Corrupt) }
    }

    /// Decodes a stream of as many symbols as there is room for.
    pub(crate) fn one(&self, stream: &[u8], out: &mut [u8]) -> Result<(), Corrupt> {
        self.tail(self.log.ok_or(Corrupt)?, Backward::new(stream)?, out)
    }

    /// Decodes four streams, each of a quarter of the symbols, at a time: a processor does more then.
    pub(crate) fn four(&self, streams: [&[u8]; 4], out: &mut [u8]) -> Result<(), Corrupt> {
        let log = self.log.ok_or(Corrupt)?;
        let quarter = out.len().div_ceil(4);
        let (a, rest) = out.split_at_mut_checked(quarter).ok_or(Corrupt)?;
        let (b, rest) = rest.split_at_mut_checked(quarter).ok_or(Corrupt)?;
        let (c, d) = rest.split_at_mut_checked(quarter).ok_or(Corrupt)?;
        let [w, x, y, z] = streams;
        let (mut w, mut x) = (Backward::new(w)?, Backward::new(x)?);
        let (mut y, mut z) = (Backward::new(y)?, Backward::new(z)?);
        // The last one may be shorter.
        let together = d.len() / AT_ONCE * AT_ONCE;
        let (a, a_tail) = a.split_at_mut(together);
        let (b, b_tail) = b.split_at_mut(together);
        let (c, c_tail) = c.split_at_mut(together);
        let (d, d_tail) = d.split_at_mut(together);
        let (a, b) = (a.as_chunks_mut::<AT_ONCE>().0, b.as_chunks_mut::<AT_ONCE>().0);
        let (c, d) = (c.as_chunks_mut::<AT_ONCE>().0, d.as_chunks_mut::<AT_ONCE>().0);
        for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
            w.refill();
            x.refill();
            y.refill();
            z.refill();
            for at in 0..AT_ONCE {
                a[at] = self.symbol(log, &mut w);
                b[at] = self.symbol(log, &mut x);
                c[at] = self.symbol(log, &mut y);
                d[at] = self.symbol(log, &mut z);
            }
        }
        self.tail(log, w, a_tail)?;
        self.tail(log, x, b_tail)?;
        self.tail(log, y, c_tail)?;
        self.tail(log, z, d_tail)
    }
}

/// Reads weights that are coded themselves; gives how many they are.
fn coded_weights(bytes: &[u8], weights: &mut [u8; 256]) -> Result<usize, Corrupt> {
    let mut table = fse::Table::<64>::default();
    let used = table.read(bytes, LOG as usize)?;
    let mut bits = Backward::new(bytes.get(used..).ok_or(Corrupt)?)?;
    bits.refill();
    let (mut this, mut other) = (table.begin(&mut bits)?, table.begin(&mut bits)?);
    if bits.is_over() {
        return Err(Corrupt);
    }
    // One is for the last symbol. Two states take turns; where the bits for one are at an end, the other has the last word.
    for count in 0..weights.len() - 2 {
        bits.refill();
        let entry = table.entry(this);
        weights[count] = entry.symbol;
        this = other;
        other = entry.next(&mut bits);
        if bits.is_over() {
            weights[count + 1] = table.entry(this).symbol;
            return Ok(count + 2);
        }
    }
    Err(Corrupt)
}
