//! Chance that a seed determines, in the words of the generators.

use skiff_tests::random::SplitMix64;

/// A source of choices.
#[derive(Debug)]
pub struct Chance(SplitMix64);

impl Chance {
    /// The choices that follow from this seed.
    pub fn new(seed: u64) -> Self {
        Self(SplitMix64(seed))
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.0.next() % end as u64).unwrap_or(0)
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        self.0.next().to_le_bytes()[0]
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.next()
    }

    /// Whether the one case of so many has come.
    pub fn one_in(&mut self, cases: usize) -> bool {
        self.below(cases) == 0
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// So many bytes, out of few or of all values.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mask = *self.pick(&[0x03, 0x3f, 0xff]);
        (0..len).map(|_| self.byte() & mask).collect()
    }
}
