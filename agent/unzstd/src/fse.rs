//! Finite state entropy (RFC 8878, 4.1): a table that gives a symbol for each state, and how the next state is read.

use crate::Corrupt;
use crate::bits::{Backward, Forward};

/// Most symbols of a table.
const SYMBOLS: usize = 64;

/// What a state is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Entry {
    pub(crate) symbol: u8,
    /// Bits to be read for the next state.
    bits: u8,
    /// What is added to them.
    base: u16,
}

/// A table of at most `N` states, a power of two.
pub(crate) struct Table<const N: usize> {
    entries: [Entry; N],
    /// The logarithm of how many there are; nothing before the first table.
    log: Option<u32>,
}

impl<const N: usize> Default for Table<N> {
    fn default() -> Self {
        Self { entries: [Entry::default(); N], log: None }
    }
}

impl<const N: usize> Table<N> {
    /// Forgets the table.
    pub(crate) fn reset(&mut self) {
        self.log = None;
    }

    /// A table of one symbol, for which nothing is read.
    pub(crate) fn set_single(&mut self, symbol: u8) {
        self.entries[0] = Entry { symbol, bits: 0, base: 0 };
        self.log = Some(0);
    }

    /// Reads how likely the symbols are, up to this one, and makes the table of that. Gives how many bytes that were.
    pub(crate) fn read(&mut self, bytes: &[u8], last_symbol: usize) -> Result<usize, Corrupt> {
        let mut bits = Forward::new(bytes);
        let log = 5 + bits.take(4);
        let mut left = match 1_u32.checked_shl(log) {
            Some(states) if states as usize <= N => states,
            _ => return Err(Corrupt),
        };
        let (mut counts, mut symbol) = ([0_i16; SYMBOLS], 0);
        while left > 0 {
            // A value is one of `left + 2`: the lower ones, that a bit less is enough for, have one less.
            let count = (left + 1).ilog2() + 1;
            let short = (1 << count) - (left + 2);
            let low = bits.peek(count - 1);
            let value = if low < short {
                bits.skip(count - 1);
                low
            } else {
                let value = bits.take(count);
                if value >> (count - 1) == 0 { value } else { value - short }
            };
            // 0 is a symbol that has a state and is less likely than one state.
            let likely = i16::try_from(value).map_err(|_| Corrupt)? - 1;
            *counts.get_mut(symbol).filter(|_| symbol <= last_symbol).ok_or(Corrupt)? = likely;
            symbol += 1;
            left = left.checked_sub(likely.unsigned_abs().into()).ok_or(Corrupt)?;
            // Symbols that are not there at all.
            let mut more = likely == 0;
            while more {
                let absent = bits.take(2);
                symbol += absent as usize;
                more = absent == 3 && symbol <= last_symbol;
            }
        }
        let used = bits.bytes()?;
        self.set(&counts, log)?;
        Ok(used)
    }

    /// Makes the table: how many states each symbol has, -1 for one that is rare.
    pub(crate) fn set(&mut self, counts: &[i16], log: u32) -> Result<(), Corrupt> {
        self.log = None;
        let states = 1_usize << log;
        let entries = self.entries.get_mut(..states).ok_or(Corrupt)?;
        let mut next = [0_u16; SYMBOLS];
        let mut high = states;
        let symbols = || (0_u8..).zip(counts.iter().copied());
        for (symbol, count) in symbols() {
            next[usize::from(symbol) % SYMBOLS] = count.unsigned_abs();
            if count < 0 {
                high = high.checked_sub(1).ok_or(Corrupt)?;
                entries[high].symbol = symbol;
            }
        }
        let (step, mut at) = ((states >> 1) + (states >> 3) + 3, 0);
        for (symbol, count) in symbols() {
            for _ in 0..count {
                entries[at].symbol = symbol;
                // It ends: the step has no common divisor with the number of states.
                loop {
                    at = (at + step) & (states - 1);
                    if at < high || high == 0 {
                        break;
                    }
                }
            }
        }
        if at != 0 {
            return Err(Corrupt);
        }
        for entry in entries {
            let number = &mut next[usize::from(entry.symbol) % SYMBOLS];
            let bits = log.checked_sub(number.checked_ilog2().ok_or(Corrupt)?).ok_or(Corrupt)?;
            entry.bits = u8::try_from(bits).map_err(|_| Corrupt)?;
            let base = (usize::from(*number) << bits) - states;
            entry.base = u16::try_from(base).map_err(|_| Corrupt)?;
            *number += 1;
        }
        self.log = Some(log);
        Ok(())
    }

    /// The first state.
    pub(crate) fn begin(&self, bits: &mut Backward<'_>) -> Result<State, Corrupt> {
        Ok(State(bits.take(self.log.ok_or(Corrupt)?)))
    }

    /// What a state of this table is.
    #[inline(always)]
    pub(crate) fn entry(&self, state: State) -> Entry {
        self.entries[state.0 % N]
    }
}

/// A state.
#[derive(Debug, Clone, Copy)]
pub(crate) struct State(usize);

impl Entry {
    /// The state that follows.
    #[inline(always)]
    pub(crate) fn next(self, bits: &mut Backward<'_>) -> State {
        State(usize::from(self.base) + bits.take(self.bits.into()))
    }
}
