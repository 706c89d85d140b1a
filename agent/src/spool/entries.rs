//! The entries of all layers, one behind the other.
//!
//! ```text
//! ┌───────────┬───────────┬────────────────┬──────────────────────────────────────┐
//! │ len u32   │ layer u16 │ next u64       │ Entry (postcard), prefix 0, whole path│
//! └───────────┴───────────┴────────────────┴──────────────────────────────────────┘
//! ```
//!
//! `next` chains the files that have the same content. Paths of held images, which content rows
//! point to, stand in the same file between entries, as records of layer [`NO_LAYER`].

use super::{SpoolError, create, reopen};
use crate::sync::Paced;
use skiff_protocol::limits::{MAX_PATH, MAX_RECORD};
use skiff_protocol::record::Entry;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const HEAD: usize = 14;
const HEAD_U64: u64 = HEAD as u64;
const NAME: &str = "entries";
const NO_LAYER: u16 = u16::MAX;
/// A whole path is longer than the suffix that came, by at most a path.
const LONGEST: usize = MAX_RECORD + MAX_PATH;

/// Where an entry lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId(u64);

impl EntryId {
    pub(super) fn to_row(self) -> u64 {
        self.0 + 1
    }

    pub(super) fn from_row(value: u64) -> Option<Self> {
        value.checked_sub(1).map(Self)
    }
}

/// An entry that was read back.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// Which layer it is of.
    pub layer: u16,
    /// The next entry with the same content.
    pub next: Option<EntryId>,
    /// The entry; its suffix is the whole path.
    pub entry: Entry<'a>,
}

/// The file of entries, and a buffer for the one that was read last.
#[derive(Debug)]
pub struct Entries {
    file: File,
    paced: Paced,
    end: u64,
    buffer: Vec<u8>,
}

impl Entries {
    /// No entries yet.
    pub fn create(directory: &Path) -> Result<Self, SpoolError> {
        let file = create(directory, NAME)?;
        Ok(Self { file, paced: Paced::default(), end: 0, buffer: vec![0; HEAD + LONGEST] })
    }

    /// Those that another process has written.
    pub fn reopen(directory: &Path) -> Result<Self, SpoolError> {
        let file = reopen(directory, NAME)?;
        let end = file.metadata().map_err(|source| SpoolError::io(NAME, source))?.len();
        Ok(Self { file, paced: Paced::default(), end, buffer: vec![0; HEAD + LONGEST] })
    }

    /// Adds an entry, given with its whole path as suffix.
    pub fn push(&mut self, layer: u16, entry: &Entry<'_>) -> Result<EntryId, SpoolError> {
        let body = postcard::to_slice(entry, &mut self.buffer[HEAD..])
            .map_err(|_| SpoolError::damaged(NAME))?
            .len();
        self.append(layer, body)
    }

    /// Adds a path of a held image; gives its place.
    pub fn push_path(&mut self, path: &[u8]) -> Result<u64, SpoolError> {
        let room = self.buffer.get_mut(HEAD..HEAD + path.len());
        room.ok_or_else(|| SpoolError::damaged(NAME))?.copy_from_slice(path);
        self.append(NO_LAYER, path.len()).map(|id| id.0 + HEAD_U64)
    }

    fn append(&mut self, layer: u16, body: usize) -> Result<EntryId, SpoolError> {
        let len = u32::try_from(body).map_err(|_| SpoolError::damaged(NAME))?;
        self.buffer[..4].copy_from_slice(&len.to_le_bytes());
        self.buffer[4..6].copy_from_slice(&layer.to_le_bytes());
        self.buffer[6..HEAD].fill(0);
        let id = EntryId(self.end);
        self.file
            .write_all_at(&self.buffer[..HEAD + body], id.0)
            .map_err(|source| SpoolError::io(NAME, source))?;
        self.paced.wrote(&self.file, HEAD + body).map_err(|errno| SpoolError::io(NAME, errno))?;
        self.end += HEAD_U64 + u64::from(len);
        Ok(id)
    }

    /// Puts `new` behind `first` in the chain of its content.
    pub fn chain(&self, first: EntryId, new: EntryId) -> Result<(), SpoolError> {
        let io = |source| SpoolError::io(NAME, source);
        let mut next = [0; 8];
        self.file.read_exact_at(&mut next, first.0 + 6).map_err(io)?;
        self.file.write_all_at(&next, new.0 + 6).map_err(io)?;
        self.file.write_all_at(&new.to_row().to_le_bytes(), first.0 + 6).map_err(io)
    }

    /// Puts an entry into another layer.
    pub fn set_layer(&self, id: EntryId, layer: u16) -> Result<(), SpoolError> {
        let written = self.file.write_all_at(&layer.to_le_bytes(), id.0 + 4);
        written.map_err(|source| SpoolError::io(NAME, source))
    }

    /// Reads an entry.
    pub fn get(&mut self, id: EntryId) -> Result<Stored<'_>, SpoolError> {
        self.read(id.0).map(|(stored, _)| stored)?.ok_or_else(|| SpoolError::damaged(NAME))
    }

    /// Reads a held image's path into the buffer.
    pub fn path(&self, place: (u64, u16), buffer: &mut Vec<u8>) -> Result<(), SpoolError> {
        buffer.resize(usize::from(place.1), 0);
        self.file.read_exact_at(buffer, place.0).map_err(|source| SpoolError::io(NAME, source))
    }

    /// Calls `visit` with every entry, in order.
    pub fn each<E: From<SpoolError>>(
        &mut self,
        mut visit: impl FnMut(EntryId, Stored<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut at = 0;
        while at < self.end {
            let (stored, next) = self.read(at)?;
            if let Some(stored) = stored {
                visit(EntryId(at), stored)?;
            }
            at = next;
        }
        Ok(())
    }

    /// The entry at this place (`None` for a path) and the place of the next one. Most entries
    /// are short, so one read of a small piece usually does.
    fn read(&mut self, at: u64) -> Result<(Option<Stored<'_>>, u64), SpoolError> {
        const FIRST: usize = 256;
        let mut have = 0;
        let mut wanted = FIRST;
        while have < wanted {
            match self.file.read_at(&mut self.buffer[have..wanted], at + have as u64) {
                Ok(0) => break,
                Ok(read) => have += read,
                Err(source) => return Err(SpoolError::io(NAME, source)),
            }
            if have >= HEAD {
                wanted = wanted.max(HEAD + self.body_len()?);
            }
        }
        if have < HEAD || have < HEAD + self.body_len()? {
            return Err(SpoolError::damaged(NAME));
        }
        let len = self.body_len()?;
        let next_place = at + (HEAD + len) as u64;
        let field = |from: usize| self.buffer[from..].first_chunk::<8>().copied();
        let layer = u16::from_le_bytes([self.buffer[4], self.buffer[5]]);
        if layer == NO_LAYER {
            return Ok((None, next_place));
        }
        let next = EntryId::from_row(u64::from_le_bytes(field(6).unwrap_or_default()));
        let entry = postcard::from_bytes(&self.buffer[HEAD..HEAD + len])
            .map_err(|_| SpoolError::damaged(NAME))?;
        Ok((Some(Stored { layer, next, entry }), next_place))
    }

    fn body_len(&self) -> Result<usize, SpoolError> {
        let len = self.buffer.first_chunk::<4>().copied().unwrap_or_default();
        usize::try_from(u32::from_le_bytes(len))
            .ok()
            .filter(|&len| len <= LONGEST)
            .ok_or_else(|| SpoolError::damaged(NAME))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skiff_protocol::record::{Kind, Metadata};

    fn entry(path: &[u8]) -> Entry<'_> {
        let kind = Kind::Symlink { target: path };
        Entry { prefix: 0, suffix: path, kind, meta: Metadata::default() }
    }

    #[test]
    fn entries_come_back_in_order_and_chained() {
        let directory = tempfile::tempdir().unwrap();
        let mut entries = Entries::create(directory.path()).unwrap();
        let long = vec![b'x'; 4000];
        let paths: [&[u8]; 4] = [b"a", &long, b"b", b"\xff"];
        let mut ids = Vec::new();
        for (layer, path) in (0..).zip(paths) {
            ids.push(entries.push(layer, &entry(path)).unwrap());
            let place = entries.push_path(b"held/path").unwrap();
            let mut held = Vec::new();
            entries.path((place, 9), &mut held).unwrap();
            assert_eq!(held, b"held/path");
        }
        entries.chain(ids[0], ids[2]).unwrap();
        entries.chain(ids[0], ids[3]).unwrap();
        assert_eq!(entries.get(ids[0]).unwrap().next, Some(ids[3]));
        assert_eq!(entries.get(ids[3]).unwrap().next, Some(ids[2]));
        assert_eq!(entries.get(ids[2]).unwrap().next, None);
        let mut seen = Vec::new();
        entries
            .each::<SpoolError>(|_, stored| {
                seen.push((stored.layer, stored.entry.suffix.to_vec()));
                Ok(())
            })
            .unwrap();
        let expected: Vec<_> = (0..).zip(paths.map(<[u8]>::to_vec)).collect();
        assert_eq!(seen, expected);
    }
}
