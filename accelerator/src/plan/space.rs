//! The content space: contents one behind the other, cut into packs of equal length.
//!
//! ```text
//! contents  │ 0      │ 1 │ 2               │ 3  │ …
//! packs     │ 0          │ 1          │ 2          │ …     each MAX_PACK bytes but the last
//! ```

use skiff_protocol::limits::MAX_PACK;

/// Contents one behind the other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Space {
    /// Number of each content, and where it ends.
    ends: Vec<(u32, u64)>,
}

/// A run of one content's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The content's number.
    pub content: u32,
    /// Offset in the content.
    pub offset: u64,
    /// Bytes, at most [`MAX_PACK`].
    pub len: u32,
}

impl Space {
    /// The space of these contents, each a number and a size.
    pub fn new(contents: impl Iterator<Item = (u32, u64)>) -> Self {
        let ends = contents.scan(0u64, |end, (number, size)| {
            *end = end.saturating_add(size);
            Some((number, *end))
        });
        Self { ends: ends.collect() }
    }

    /// Bytes.
    pub fn len(&self) -> u64 {
        self.ends.last().map_or(0, |(_, end)| *end)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Packs.
    pub fn packs(&self) -> u32 {
        u32::try_from(self.len().div_ceil(u64::from(MAX_PACK))).unwrap_or(u32::MAX)
    }

    /// What a pack holds, in order; nothing if there is no such pack.
    pub fn pack(&self, number: u32) -> Vec<Piece> {
        let first = u64::from(number) * u64::from(MAX_PACK);
        let last = (first + u64::from(MAX_PACK)).min(self.len());
        let mut pieces = Vec::new();
        let mut at = first;
        let mut index = self.ends.partition_point(|(_, end)| *end <= first);
        while at < last {
            let start = index.checked_sub(1).map_or(0, |before| self.ends[before].1);
            let (content, end) = self.ends[index];
            let until = end.min(last);
            let len = u32::try_from(until - at).unwrap_or(MAX_PACK);
            pieces.push(Piece { content, offset: at - start, len });
            at = until;
            index += 1;
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_space_has_no_packs() {
        let space = Space::default();
        assert_eq!((space.len(), space.packs(), space.pack(0)), (0, 0, vec![]));
    }

    proptest! {
        #[test]
        fn the_packs_are_the_contents(sizes in prop::collection::vec(1..3 * u64::from(MAX_PACK), 0..12)) {
            let numbers: Vec<(u32, u64)> = (5..).zip(sizes.iter().copied()).collect();
            let space = Space::new(numbers.iter().copied());
            let mut got: Vec<(u32, u64)> = Vec::new();
            for pack in 0..space.packs() {
                let pieces = space.pack(pack);
                let len: u64 = pieces.iter().map(|piece| u64::from(piece.len)).sum();
                prop_assert!(len == u64::from(MAX_PACK) || pack + 1 == space.packs());
                for piece in pieces {
                    match got.last_mut().filter(|(content, _)| *content == piece.content) {
                        Some((_, size)) => {
                            prop_assert_eq!(*size, piece.offset);
                            *size += u64::from(piece.len);
                        }
                        None => {
                            prop_assert_eq!(piece.offset, 0);
                            got.push((piece.content, piece.len.into()));
                        }
                    }
                }
            }
            prop_assert_eq!(got, numbers);
            prop_assert!(space.pack(space.packs()).is_empty());
        }
    }
}
