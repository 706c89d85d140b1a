//! Windows: which part of a base a part of a target is patched with.
//!
//! Contents of at most [`WHOLE`] bytes are patched whole. If one of the two is larger, the target is taken in parts of half as much, and
//! each is looked for in so many bytes of the base around the same place, in proportion. So memory has a bound, whatever the contents'
//! sizes are.

use std::ops::Range;

/// Bytes of a base that are looked at together.
const WHOLE: u64 = 128 << 20;

/// A part of a target, and the part of the base that it is made out of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Where the part is in the target.
    pub target: Range<u64>,
    /// And the other in the base.
    pub base: Range<u64>,
}

impl Window {
    /// The one that has these bytes of a target, of contents of these sizes; `None` if they are in two.
    pub fn of(base: u64, target: u64, bytes: Range<u64>) -> Option<Self> {
        let part = part(base, target);
        let start = bytes.start / part * part;
        let window = Self::at(base, target, start);
        (bytes.end <= window.target.end).then_some(window)
    }

    /// All of them.
    pub fn all(base: u64, target: u64) -> impl Iterator<Item = Self> {
        let part = part(base, target);
        (0..target.div_ceil(part)).map(move |number| Self::at(base, target, number * part))
    }

    fn at(base: u64, target: u64, start: u64) -> Self {
        let end = target.min(start.saturating_add(part(base, target)));
        let middle = u128::from(start.midpoint(end)) * u128::from(base) / u128::from(target.max(1));
        let middle = u64::try_from(middle).unwrap_or(0);
        let first = middle.saturating_sub(WHOLE / 2).min(base.saturating_sub(WHOLE));
        Self { target: start..end, base: first..base.min(first + WHOLE) }
    }
}

fn part(base: u64, target: u64) -> u64 {
    if base.max(target) <= WHOLE { WHOLE } else { WHOLE / 2 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::memory;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_is_small_is_one_and_what_is_large_has_parts() {
        let rows = [
            (0, 0, vec![]),
            (1, 5, vec![(0..5, 0..1)]),
            (128, 128, vec![(0..128, 0..128)]),
            (129, 70, vec![(0..64, 0..128), (64..70, 1..129)]),
            (0, 129, vec![(0..64, 0..0), (64..128, 0..0), (128..129, 0..0)]),
            (
                256,
                256,
                vec![
                    (0..64, 0..128),
                    (64..128, 32..160),
                    (128..192, 96..224),
                    (192..256, 128..256),
                ],
            ),
        ];
        for (base, target, expected) in rows {
            let of = |part: Range<u64>| part.start * MIB..part.end * MIB;
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(target, base)| Window { target: of(target), base: of(base) })
                .collect();
            assert_eq!(Window::all(base * MIB, target * MIB).collect::<Vec<_>>(), expected);
            for window in expected {
                let bytes = window.target.end - 1..window.target.end;
                let found = |bytes| Window::of(base * MIB, target * MIB, bytes);
                assert_eq!(found(window.target.clone()).as_ref(), Some(&window));
                assert_eq!(found(bytes).as_ref(), Some(&window));
                assert_eq!(found(window.target.start..window.target.end + 1), None);
            }
        }
    }

    #[test]
    fn memory_has_a_bound_for_any_two_contents() {
        let sizes = [
            0,
            1,
            1 << 10,
            5 * MIB,
            8 * MIB - 1,
            8 * MIB,
            25 * MIB,
            97 * MIB,
            128 * MIB,
            129 * MIB,
            64 << 30,
        ];
        for (base, target) in sizes.iter().flat_map(|base| sizes.map(|target| (*base, target))) {
            for window in Window::all(base, target).take(9) {
                let len = |range: &Range<u64>| range.end - range.start;
                let memory = memory(len(&window.base), len(&window.target));
                assert!(memory <= 3 * base.max(target) + 64 * MIB, "{base} {target}: {memory}");
                assert!(memory <= 448 * MIB, "{base} {target}: {memory}");
            }
        }
    }
}
