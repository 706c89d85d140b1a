//! Sets of pack or content numbers, as a bounded list of ranges.

use crate::limits::MAX_RANGES;
use serde::{Deserialize, Serialize};

/// Numbers `first ..= last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Lowest number.
    pub first: u32,
    /// Highest number.
    pub last: u32,
}

/// Ascending ranges that neither touch nor overlap, once filled by [`Ranges::insert`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranges(heapless::Vec<Range, MAX_RANGES>);

impl Ranges {
    /// No numbers.
    pub const fn new() -> Self {
        Self(heapless::Vec::new())
    }

    /// Adds a number that is not below any that was added before. When the list is full the last
    /// range is stretched, so that the set then holds more than was asked for, never less: right for
    /// what is needed ([`crate::request::Part::Repair`]), wrong for what one has
    /// ([`crate::request::Part::Rest`]), which is what [`Ranges::insert_if_room`] is for.
    pub fn insert(&mut self, number: u32) {
        let full = self.0.is_full();
        match self.0.last_mut() {
            Some(range) if full || number <= range.last.saturating_add(1) => {
                range.last = range.last.max(number);
            }
            _ => {
                // There is room: a full list took the arm above.
                let _ = self.0.push(Range { first: number, last: number });
            }
        }
    }

    /// Adds numbers `first ..= last`, none of them below any that was added before, unless the list is full: the set then
    /// holds less than was asked for, never more.
    pub fn insert_if_room(&mut self, first: u32, last: u32) {
        match self.0.last_mut() {
            Some(range) if first <= range.last.saturating_add(1) => {
                range.last = range.last.max(last);
            }
            // If it is full, they are left out.
            _ => drop(self.0.push(Range { first, last })),
        }
    }

    /// Whether the number is in the set.
    pub fn contains(&self, number: u32) -> bool {
        self.0.iter().any(|range| (range.first..=range.last).contains(&number))
    }

    /// Whether the set has no number.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges, in the order in which they were sent.
    pub fn iter(&self) -> impl Iterator<Item = Range> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_join_and_a_full_list_stretches() {
        let mut ranges = Ranges::new();
        for number in [3, 4, 4, 5, 9] {
            ranges.insert(number);
        }
        let found: std::vec::Vec<_> = ranges.iter().map(|r| (r.first, r.last)).collect();
        assert_eq!(found, [(3, 5), (9, 9)]);
        for number in (20..20 + 4 * 300).step_by(4) {
            ranges.insert(number);
        }
        assert_eq!(ranges.iter().count(), MAX_RANGES);
        assert!((20..20 + 4 * 300).step_by(4).all(|number| ranges.contains(number)));
        assert!(!ranges.contains(6) && !ranges.contains(21));

        let mut ranges = Ranges::new();
        for number in (0..4 * 300).step_by(4) {
            ranges.insert_if_room(number, number);
        }
        ranges.insert_if_room(4 * 255 + 1, 4 * 255 + 1);
        assert_eq!(ranges.iter().count(), MAX_RANGES);
        assert!(ranges.contains(4 * 255 + 1) && !ranges.contains(4 * 255 + 2));
    }
}
