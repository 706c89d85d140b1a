//! The contents of a plan: a row of fixed length for each, found by number or by place.

use super::entries::EntryId;
use super::{SpoolError, create, reopen};
use crate::sync::Paced;
use skiff_protocol::Digest;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const ROW: usize = 80;
const ROW_U64: u64 = ROW as u64;
const NAME: &str = "contents";

/// One content of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRow {
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Bytes.
    pub size: u64,
    /// Where it lies in the content space; for a local content, where the next one from packs does.
    pub offset: u64,
    /// Where it comes from.
    pub origin: Origin,
    /// The first entry that has it.
    pub first: Option<EntryId>,
    /// Bytes that arrived, in whatever order. A stream brings them from the first one on, unless its accelerator is
    /// strange; then the digest is wrong in the end.
    pub arrived: u64,
    /// Whether a file of it was made.
    pub begun: bool,
    /// What has become of it.
    pub state: State,
}

/// Where a content comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From packs.
    Pack,
    /// From a held image.
    Held {
        /// Index of the image in the request.
        image: u16,
        /// Where the path lies in the file of entries, and its length; length 0: the path of the
        /// first entry.
        path: (u64, u16),
    },
}

/// What has become of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not all there.
    Pending,
    /// In all its files, verified.
    Done,
    /// Its local source is not what it should be.
    Damaged,
    /// Not all there, and asked for ahead of everything else: other streams pass it by.
    Urgent,
    /// In all its files, verified, but not yet known to be on the disk.
    Filled,
}

impl State {
    /// Every state, by the byte that stands for it in a row.
    const ALL: [Self; 5] = [Self::Pending, Self::Done, Self::Damaged, Self::Urgent, Self::Filled];

    /// Whether the content is not in its files.
    pub fn is_missing(self) -> bool {
        !matches!(self, Self::Done | Self::Filled)
    }
}

impl ContentRow {
    fn to_bytes(self) -> [u8; ROW] {
        let mut row = [0; ROW];
        row[..32].copy_from_slice(&self.sha256.0);
        row[32..40].copy_from_slice(&self.size.to_le_bytes());
        row[40..48].copy_from_slice(&self.offset.to_le_bytes());
        row[48..56].copy_from_slice(&self.first.map_or(0, EntryId::to_row).to_le_bytes());
        row[56..64].copy_from_slice(&self.arrived.to_le_bytes());
        if let Origin::Held { image, path: (at, len) } = self.origin {
            row[64..72].copy_from_slice(&at.to_le_bytes());
            row[72..74].copy_from_slice(&image.to_le_bytes());
            row[74..76].copy_from_slice(&len.to_le_bytes());
            row[76] = 1;
        }
        row[77] = self.state as u8;
        row[78] = u8::from(self.begun);
        row
    }

    fn from_bytes(row: &[u8; ROW]) -> Option<Self> {
        let u64_at = |at: usize| -> Option<u64> {
            Some(u64::from_le_bytes(*row.get(at..)?.first_chunk::<8>()?))
        };
        let u16_at = |at: usize| -> Option<u16> {
            Some(u16::from_le_bytes(*row.get(at..)?.first_chunk::<2>()?))
        };
        Some(Self {
            sha256: Digest(*row.first_chunk::<32>()?),
            size: u64_at(32)?,
            offset: u64_at(40)?,
            origin: match row[76] {
                0 => Origin::Pack,
                1 => Origin::Held { image: u16_at(72)?, path: (u64_at(64)?, u16_at(74)?) },
                _ => return None,
            },
            first: EntryId::from_row(u64_at(48)?),
            arrived: u64_at(56)?,
            begun: row[78] != 0,
            state: *State::ALL.get(usize::from(row[77]))?,
        })
    }

    /// Whether it is not in its files and not asked for urgently.
    pub fn is_wanted(&self) -> bool {
        self.state.is_missing() && self.state != State::Urgent
    }

    /// Whether its bytes come from packs.
    pub fn is_packed(&self) -> bool {
        self.origin == Origin::Pack
    }
}

/// The file of rows.
#[derive(Debug)]
pub struct Contents {
    file: File,
    paced: Paced,
    count: u32,
    space: u64,
}

impl Contents {
    /// No contents yet.
    pub fn create(directory: &Path) -> Result<Self, SpoolError> {
        let file = create(directory, NAME)?;
        Ok(Self { file, paced: Paced::default(), count: 0, space: 0 })
    }

    /// Those that another process has written.
    pub fn reopen(directory: &Path) -> Result<Self, SpoolError> {
        let file = reopen(directory, NAME)?;
        let len = file.metadata().map_err(|source| SpoolError::io(NAME, source))?.len();
        let count = u32::try_from(len / ROW_U64).map_err(|_| SpoolError::damaged(NAME))?;
        let mut contents = Self { file, paced: Paced::default(), count, space: 0 };
        if let Some(last) = count.checked_sub(1).map(|last| contents.get(last)).transpose()? {
            let last = last.ok_or_else(|| SpoolError::damaged(NAME))?;
            let own = if last.is_packed() { last.size } else { 0 };
            contents.space =
                last.offset.checked_add(own).ok_or_else(|| SpoolError::damaged(NAME))?;
        }
        Ok(contents)
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Content bytes in all packs.
    pub fn space(&self) -> u64 {
        self.space
    }

    /// Adds the next content. `None` when the sizes add up to more than 2⁶⁴ bytes.
    pub fn push(
        &mut self,
        sha256: Digest,
        size: u64,
        origin: Origin,
    ) -> Result<Option<()>, SpoolError> {
        let offset = self.space;
        let row = ContentRow {
            sha256,
            size,
            offset,
            origin,
            first: None,
            arrived: 0,
            begun: false,
            state: State::Pending,
        };
        let (Some(end), Some(count)) = (offset.checked_add(size), self.count.checked_add(1)) else {
            return Ok(None);
        };
        self.put(self.count, &row)?;
        self.count = count;
        if row.is_packed() {
            self.space = end;
        }
        Ok(Some(()))
    }

    /// Reads a row; `None` when there is no such content.
    pub fn get(&self, number: u32) -> Result<Option<ContentRow>, SpoolError> {
        if number >= self.count {
            return Ok(None);
        }
        let mut row = [0; ROW];
        self.file
            .read_exact_at(&mut row, u64::from(number) * ROW_U64)
            .map_err(|source| SpoolError::io(NAME, source))?;
        ContentRow::from_bytes(&row).map(Some).ok_or_else(|| SpoolError::damaged(NAME))
    }

    /// Writes a row back.
    pub fn put(&self, number: u32, row: &ContentRow) -> Result<(), SpoolError> {
        self.file
            .write_all_at(&row.to_bytes(), u64::from(number) * ROW_U64)
            .map_err(|source| SpoolError::io(NAME, source))?;
        self.paced.wrote(&self.file, ROW).map_err(|errno| SpoolError::io(NAME, errno))
    }

    /// Gives a content another state.
    pub fn set_state(&self, number: u32, state: State) -> Result<(), SpoolError> {
        match self.get(number)? {
            Some(row) => self.put(number, &ContentRow { state, ..row }),
            None => Ok(()),
        }
    }

    /// What was asked for urgently is not under way any more.
    pub fn forget_urgent(&self) -> Result<(), SpoolError> {
        for number in 0..self.count {
            if self.get(number)?.is_some_and(|row| row.state == State::Urgent) {
                self.set_state(number, State::Pending)?;
            }
        }
        Ok(())
    }

    /// Whether every content is in its files.
    pub fn all_done(&self) -> Result<bool, SpoolError> {
        for number in 0..self.count {
            if self.get(number)?.is_some_and(|row| row.state.is_missing()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The number of the content from packs that has the byte at `offset` of the content space,
    /// by binary search.
    pub fn at_offset(&self, offset: u64) -> Result<Option<u32>, SpoolError> {
        let (mut low, mut high) = (0, self.count);
        // Find the first row that begins behind `offset`; what is looked for stands before it.
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle)? {
                Some(row) if row.offset <= offset => low = middle + 1,
                _ => high = middle,
            }
        }
        while low > 0 {
            low -= 1;
            match self.get(low)? {
                Some(row) if row.is_packed() => {
                    return Ok((offset - row.offset < row.size).then_some(low));
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_found_by_number_and_by_offset() {
        let directory = tempfile::tempdir().unwrap();
        let mut contents = Contents::create(directory.path()).unwrap();
        let held = Origin::Held { image: 3, path: (1 << 40, 77) };
        let sizes =
            [(5_u64, Origin::Pack), (9, held), (1, Origin::Pack), (7, held), (10, Origin::Pack)];
        for (size, origin) in sizes {
            contents.push(Digest([size.to_le_bytes()[0]; 32]), size, origin).unwrap().unwrap();
        }
        assert_eq!((contents.count(), contents.space()), (5, 16));
        let found: Vec<_> = (0..18).map(|at| contents.at_offset(at).unwrap()).collect();
        let mut expected = vec![Some(0); 5];
        expected.push(Some(2));
        expected.extend([Some(4); 10]);
        expected.extend([None; 2]);
        assert_eq!(found, expected);

        let mut row = contents.get(3).unwrap().unwrap();
        assert_eq!((row.origin, row.size, row.offset), (held, 7, 6));
        row.state = State::Damaged;
        row.arrived = 6;
        contents.put(3, &row).unwrap();
        assert_eq!(contents.get(3).unwrap().unwrap(), row);
        assert_eq!(contents.get(5).unwrap(), None);
        assert!(contents.push(Digest([0; 32]), u64::MAX, Origin::Pack).unwrap().is_none());
    }
}
