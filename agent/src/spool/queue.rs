//! A queue of paths, on disk, for a walk through a tree: neither its breadth nor its depth costs memory
//! or descriptors. The file has no name any more, so it goes with the walk.

use super::{SpoolError, create};
use crate::sync::Paced;
use skiff_protocol::limits::MAX_PATH;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const NAME: &str = "walk";
/// A number and the path's length, in front of each path.
const HEAD: usize = 4;

/// First in, first out.
#[derive(Debug)]
pub struct PathQueue {
    file: File,
    paced: Paced,
    head: u64,
    tail: u64,
}

impl PathQueue {
    /// An empty queue, in a scratch directory.
    pub fn create(directory: &Path) -> Result<Self, SpoolError> {
        let file = create(directory, NAME)?;
        std::fs::remove_file(directory.join(NAME)).map_err(|e| SpoolError::io(NAME, e))?;
        Ok(Self { file, paced: Paced::default(), head: 0, tail: 0 })
    }

    /// Adds a path, and a number that belongs to it.
    pub fn push(&mut self, number: u16, path: &[u8]) -> Result<(), SpoolError> {
        let too_long = || SpoolError::damaged(NAME);
        let len = u16::try_from(path.len()).map_err(|_| too_long())?;
        let mut row = heapless::Vec::<u8, { HEAD + MAX_PATH }>::new();
        for part in [&number.to_le_bytes(), &len.to_le_bytes(), path] {
            row.extend_from_slice(part).map_err(|_| too_long())?;
        }
        self.file.write_all_at(&row, self.tail).map_err(|e| SpoolError::io(NAME, e))?;
        self.paced.wrote(&self.file, row.len()).map_err(|e| SpoolError::io(NAME, e))?;
        self.tail += row.len() as u64;
        Ok(())
    }

    /// Takes the oldest path into a buffer; gives its number. Nothing if there is none.
    pub fn pop(&mut self, path: &mut Vec<u8>) -> Result<Option<u16>, SpoolError> {
        if self.head == self.tail {
            return Ok(None);
        }
        let io = |source| SpoolError::io(NAME, source);
        let mut head = [0; HEAD];
        self.file.read_exact_at(&mut head, self.head).map_err(io)?;
        let [a, b, c, d] = head;
        path.resize(usize::from(u16::from_le_bytes([c, d])), 0);
        self.file.read_exact_at(path, self.head + HEAD as u64).map_err(io)?;
        self.head += (HEAD + path.len()) as u64;
        Ok(Some(u16::from_le_bytes([a, b])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_in_first_out() {
        let directory = tempfile::tempdir().unwrap();
        let mut queue = PathQueue::create(directory.path()).unwrap();
        let mut path = Vec::new();
        let long = vec![b'x'; MAX_PATH];
        queue.push(7, b"").unwrap();
        queue.push(8, b"a").unwrap();
        assert_eq!((queue.pop(&mut path).unwrap(), &*path), (Some(7), &b""[..]));
        queue.push(9, &long).unwrap();
        assert_eq!((queue.pop(&mut path).unwrap(), &*path), (Some(8), &b"a"[..]));
        assert_eq!((queue.pop(&mut path).unwrap(), &*path), (Some(9), &*long));
        assert_eq!(queue.pop(&mut path).unwrap(), None);
        assert!(queue.push(0, &[0; MAX_PATH + 1]).is_err());
        assert!(PathQueue::create(directory.path()).is_ok());
    }
}
