//! Compressed segments that will be wanted once more: a ring in a file without a name.
//!
//! A patch within a stream has its base read a second time, long after it was sent, and the way to the registry may be long. Plain
//! bytes would be four times as many. What is overwritten, or can't be written, is asked of the registry again.
//!
//! ```text
//! ··· head ▼ ·····························
//! │ newest │ oldest │ …                  │   most bytes
//! ```

use crate::mapped::Mapped;
use skiff_protocol::Digest;
use std::collections::{HashMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// A blob, and the number of a segment of it.
pub(super) type Key = (Digest, usize);

/// The ring.
#[derive(Debug)]
pub struct Scratch {
    /// Where the file has a name for a moment.
    directory: PathBuf,
    most: u64,
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    /// From the first bytes on.
    file: Option<File>,
    places: HashMap<Key, Range<u64>>,
    /// As they lie, the oldest first.
    order: VecDeque<Key>,
    head: u64,
}

impl Scratch {
    /// An empty one of at most so many bytes, on the disk of a directory.
    pub fn new(directory: PathBuf, most: u64) -> Self {
        Self { directory, most, ring: Mutex::default() }
    }

    /// A segment's bytes, if they are here. Blocks.
    pub(super) fn get(&self, key: Key) -> io::Result<Option<Mapped>> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(file), Some(place)) = (&ring.file, ring.places.get(&key)) else {
            return Ok(None);
        };
        let len = usize::try_from(place.end - place.start).map_err(io::Error::other)?;
        let mut bytes = Mapped::zeroed(len)?;
        file.read_exact_at(&mut bytes, place.start)?;
        Ok(Some(bytes))
    }

    /// Writes a segment's bytes over the oldest. Blocks.
    pub(super) fn put(&self, key: Key, bytes: &[u8]) -> io::Result<()> {
        let len = bytes.len() as u64;
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if len > self.most || ring.places.contains_key(&key) {
            return Ok(());
        }
        let place = ring.make_room(len, self.most);
        if ring.file.is_none() {
            ring.file = Some(self.open()?);
        }
        if let Some(file) = &ring.file {
            file.write_all_at(bytes, place.start)?;
        }
        ring.places.insert(key, place);
        ring.order.push_back(key);
        Ok(())
    }

    fn open(&self) -> io::Result<File> {
        let path = self.directory.join(".scratch");
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(&path)?;
        fs::remove_file(&path)?;
        Ok(file)
    }
}

impl Ring {
    /// The next so many bytes, which nobody has any more.
    fn make_room(&mut self, len: u64, most: u64) -> Range<u64> {
        if self.head + len > most {
            // What lies behind the head is the oldest.
            self.forget(self.head..most);
            self.head = 0;
        }
        let place = self.head..self.head + len;
        self.forget(place.clone());
        self.head = place.end;
        place
    }

    /// Forgets the oldest as long as they lie there.
    fn forget(&mut self, place: Range<u64>) {
        while let Some(oldest) = self.order.front() {
            let there = |its: &Range<u64>| its.start < place.end && place.start < its.end;
            if self.places.get(oldest).is_some_and(|its| !there(its)) {
                break;
            }
            self.places.remove(oldest);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Key {
        (Digest([0; 32]), number)
    }

    #[test]
    fn the_oldest_are_overwritten_and_nothing_has_a_name() {
        let directory = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(directory.path().to_owned(), 10);
        let there = || (0..9).filter(|&n| scratch.get(key(n)).unwrap().is_some()).collect();
        let put = |number: usize, len: usize| -> Vec<usize> {
            scratch.put(key(number), &vec![u8::try_from(number).unwrap(); len]).unwrap();
            there()
        };
        assert_eq!(there(), Vec::<usize>::new());
        assert_eq!(put(0, 4), [0]);
        assert_eq!(put(1, 4), [0, 1]);
        assert_eq!(put(1, 4), [0, 1], "it is there");
        assert_eq!(put(2, 3), [1, 2], "from the beginning again");
        assert_eq!(put(3, 2), [2, 3]);
        assert_eq!(put(4, 11), [2, 3], "it has no room at all");
        assert_eq!(put(5, 5), [2, 3, 5]);
        assert_eq!(put(6, 10), [6]);
        assert_eq!(put(7, 1), [7]);
        assert_eq!(put(8, 9), [7, 8]);
        assert_eq!(scratch.get(key(8)).unwrap().unwrap()[..], [8; 9]);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn where_nothing_can_be_written_nothing_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(directory.path().join("none"), 10);
        scratch.put(key(0), b"a").unwrap_err();
        assert!(scratch.get(key(0)).unwrap().is_none());
        fs::create_dir(directory.path().join("none")).unwrap();
        scratch.put(key(0), b"a").unwrap();
        assert_eq!(scratch.get(key(0)).unwrap().unwrap()[..], *b"a");
    }
}
