//! Finds entries by their paths: their places in a file, in the order of the stream, which is that of the paths' bytes.
//!
//! It is for a table of contents of one layer that is compared with a tree (`apply/compare`). The file has no name any
//! more, so it goes with whoever compares.

use super::{Entries, EntryId, SpoolError, create};
use crate::sync::Paced;
use std::cmp::Ordering;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const NAME: &str = "index";
const ROW: u64 = 8;

/// The places of entries, in byte order of their paths.
#[derive(Debug)]
pub struct Index {
    file: File,
    count: u64,
}

impl Index {
    /// That of these entries; its file is made in a scratch directory. Nothing if they are not in that order.
    pub fn of(entries: &mut Entries, directory: &Path) -> Result<Option<Self>, SpoolError> {
        let file = create(directory, NAME)?;
        let io = |source| SpoolError::io(NAME, source);
        std::fs::remove_file(directory.join(NAME)).map_err(io)?;
        let (mut count, paced) = (0, Paced::default());
        let (mut last, mut ascending) = (Vec::new(), true);
        entries.each(|id, stored| {
            ascending &= *last < *stored.entry.suffix;
            last.clear();
            last.extend_from_slice(stored.entry.suffix);
            file.write_all_at(&id.to_row().to_le_bytes(), count * ROW).map_err(io)?;
            paced.wrote(&file, 8).map_err(|errno| SpoolError::io(NAME, errno))?;
            count += 1;
            Ok::<_, SpoolError>(())
        })?;
        Ok(ascending.then_some(Self { file, count }))
    }

    /// The entry at this place of the order; nothing behind the last.
    pub fn get(&self, place: u64) -> Result<Option<EntryId>, SpoolError> {
        if place >= self.count {
            return Ok(None);
        }
        let mut row = [0; 8];
        let read = self.file.read_exact_at(&mut row, place * ROW);
        read.map_err(|source| SpoolError::io(NAME, source))?;
        Ok(EntryId::from_row(u64::from_le_bytes(row)))
    }

    /// The entry of this path, by binary search.
    pub fn find(&self, entries: &mut Entries, path: &[u8]) -> Result<Option<EntryId>, SpoolError> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(id) = self.get(middle)? else { break };
            match entries.get(id)?.entry.suffix.cmp(path) {
                Ordering::Equal => return Ok(Some(id)),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skiff_protocol::record::{Entry, Kind, Metadata};

    #[test]
    fn every_path_is_found_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let mut entries = Entries::create(directory.path()).unwrap();
        let paths: [&[u8]; 5] = [b"a", b"a-b", b"a/b", b"b", b"\xff"];
        let (kind, meta) = (Kind::Fifo, Metadata::default());
        let mut push =
            |path| entries.push(0, &Entry { prefix: 0, suffix: path, kind, meta }).unwrap();
        let ids = paths.map(&mut push);
        let index = Index::of(&mut entries, directory.path()).unwrap().unwrap();
        for (place, (path, id)) in (0..).zip(paths.into_iter().zip(ids)) {
            assert_eq!(index.find(&mut entries, path).unwrap(), Some(id), "{path:?}");
            assert_eq!(index.get(place).unwrap(), Some(id));
        }
        for path in [&b""[..], b"a/", b"a/c", b"c", b"\xff\xff"] {
            assert_eq!(index.find(&mut entries, path).unwrap(), None, "{path:?}");
        }
        assert_eq!(index.get(5).unwrap(), None);
        entries.push(0, &Entry { prefix: 0, suffix: b"b", kind, meta }).unwrap();
        assert!(Index::of(&mut entries, directory.path()).unwrap().is_none(), "out of order");
    }
}
