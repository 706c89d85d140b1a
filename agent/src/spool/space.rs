//! Which contents a stream's packs hold, one behind the other.

use super::SpoolError;
use super::contents::{ContentRow, Contents};
use skiff_protocol::Ranges;

/// The content space of an answer (protocol/SPEC.md, "Content space and packs").
#[derive(Debug, Clone)]
pub enum Space {
    /// That of the plan: all contents from packs.
    Plan,
    /// That of a repair: these contents, wherever the plan has them from.
    Chosen(Box<Ranges>),
}

impl Space {
    /// Its bytes.
    pub fn len(&self, contents: &Contents) -> Result<u64, SpoolError> {
        let Self::Chosen(ranges) = self else { return Ok(contents.space()) };
        let mut len: u64 = 0;
        for number in ranges.iter().flat_map(|range| range.first..=range.last) {
            // A range that was stretched may end behind the last content.
            let Some(row) = contents.get(number)? else { break };
            len = len.saturating_add(row.size);
        }
        Ok(len)
    }

    /// The content that has the byte at `offset`, and how far into it that is.
    pub fn locate(
        &self,
        contents: &Contents,
        offset: u64,
    ) -> Result<Option<(u32, u64)>, SpoolError> {
        let Self::Chosen(ranges) = self else {
            let Some(number) = contents.at_offset(offset)? else { return Ok(None) };
            let row = contents.get(number)?;
            return Ok(row.map(|row| (number, offset - row.offset)));
        };
        let mut rest = offset;
        for number in ranges.iter().flat_map(|range| range.first..=range.last) {
            let Some(row) = contents.get(number)? else { break };
            if rest < row.size {
                return Ok(Some((number, rest)));
            }
            rest -= row.size;
        }
        Ok(None)
    }

    /// The first content of the space with this number or a higher one.
    pub fn next(
        &self,
        contents: &Contents,
        mut number: u32,
    ) -> Result<Option<(u32, ContentRow)>, SpoolError> {
        if let Self::Chosen(ranges) = self {
            let Some(range) = ranges.iter().find(|range| range.last >= number) else {
                return Ok(None);
            };
            number = number.max(range.first);
            return Ok(contents.get(number)?.map(|row| (number, row)));
        }
        loop {
            match contents.get(number)? {
                Some(row) if row.is_packed() => return Ok(Some((number, row))),
                Some(_) => number += 1,
                None => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Origin;
    use super::*;
    use skiff_protocol::Digest;

    #[test]
    fn both_spaces_are_walked_in_ascending_number() {
        let directory = tempfile::tempdir().unwrap();
        let mut contents = Contents::create(directory.path()).unwrap();
        let held = Origin::Held { image: 0, path: (0, 0) };
        for (size, origin) in [(5, Origin::Pack), (9, held), (1, Origin::Pack), (7, held)] {
            contents.push(Digest([0; 32]), size, origin).unwrap().unwrap();
        }
        let mut chosen = Ranges::new();
        [1, 2, 9].into_iter().for_each(|number| chosen.insert(number));
        for (space, len, places) in [
            (Space::Plan, 6, vec![(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (2, 0)]),
            (
                Space::Chosen(Box::new(chosen)),
                10,
                (0..9).map(|at| (1, at)).chain([(2, 0)]).collect(),
            ),
        ] {
            assert_eq!(space.len(&contents).unwrap(), len, "{space:?}");
            for (offset, place) in (0..).zip(&places) {
                let found = space.locate(&contents, offset).unwrap();
                assert_eq!(found.as_ref(), Some(place), "{space:?} {offset}");
            }
            assert_eq!(space.locate(&contents, len).unwrap(), None);
            let mut numbers = Vec::new();
            let mut next = 0;
            while let Some((number, _)) = space.next(&contents, next).unwrap() {
                numbers.push(number);
                next = number + 1;
            }
            let mut expected: Vec<u32> = places.iter().map(|place| place.0).collect();
            expected.dedup();
            assert_eq!(numbers, expected, "{space:?}");
        }
    }
}
