//! Writes files as the bytes of packs arrive.
//!
//! The bytes of pack `n` are those from `n × pack_len` on in the content space. The writer finds
//! the content that they belong to, writes it to the file of its first entry while hashing, and
//! when it is complete compares the digest, sets the metadata, and copies it to the other files
//! that have it. A content whose bytes arrived in another order is hashed from the disk.

use super::entry::create_file;
use super::hash::{PIECE, hash_file};
use super::local::copy_bytes;
use super::metadata;
use super::{ApplyError, Beneath, Writeback, printable};
use crate::spool::{ContentRow, Contents, Entries, EntryId, State};
use crate::sync::Paced;
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};
use skiff_protocol::Digest;

/// What the writer works on.
#[derive(Debug)]
pub struct Tables<'a> {
    /// The plan's contents.
    pub contents: &'a Contents,
    /// The layers' entries.
    pub entries: &'a mut Entries,
    /// The layers' directories, by number.
    pub layers: &'a mut [Beneath],
    /// What was written last.
    pub writeback: &'a mut Writeback,
}

/// Where the writer stands.
#[derive(Debug, Default)]
pub struct ContentWriter {
    current: Option<Current>,
    /// The next content to look at, and how far into it the next byte lies.
    next: u32,
    skip: u64,
}

#[derive(Debug)]
struct Current {
    number: u32,
    row: ContentRow,
    file: OwnedFd,
    path: Vec<u8>,
    /// Offset in the content of the next byte.
    at: u64,
    /// Hash of the bytes before `at`, if they came in order from the first one on.
    hash: Option<Sha256>,
    paced: Paced,
}

impl ContentWriter {
    /// Goes to a place in the content space.
    pub fn seek(&mut self, tables: &mut Tables<'_>, offset: u64) -> Result<(), ApplyError> {
        let here = match &self.current {
            Some(current) => current.row.offset + current.at,
            None => tables.contents.get(self.next)?.map_or(u64::MAX, |row| row.offset + self.skip),
        };
        if here == offset {
            return Ok(());
        }
        self.suspend(tables)?;
        let Some(number) = tables.contents.at_offset(offset)? else {
            return Err(ApplyError::Contradiction("a pack lies behind the last content"));
        };
        let row = tables.contents.get(number)?;
        self.next = number;
        self.skip = offset - row.map_or(0, |row| row.offset);
        Ok(())
    }

    /// Takes the next bytes of the content space. Bytes of contents that are complete are left
    /// alone: a repair may bring more than it was asked for.
    pub fn write(&mut self, tables: &mut Tables<'_>, mut bytes: &[u8]) -> Result<(), ApplyError> {
        while !bytes.is_empty() {
            let (number, row) = match &self.current {
                Some(current) => (current.number, current.row),
                None => self.find_next(tables)?,
            };
            let at = self.current.as_ref().map_or(self.skip, |current| current.at);
            let room = usize::try_from(row.size - at).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            bytes = later;
            let ends = now.len() == room;
            if row.state == State::Done {
                self.skip += now.len() as u64;
            } else {
                let mut current = match self.current.take() {
                    Some(current) => current,
                    None => open(tables, number, row, at)?,
                };
                current.write(now)?;
                if ends {
                    current.close(tables)?;
                } else {
                    self.current = Some(current);
                }
            }
            if ends {
                self.next = number + 1;
                self.skip = 0;
            }
        }
        Ok(())
    }

    /// Puts a content aside that is not complete.
    pub fn suspend(&mut self, tables: &Tables<'_>) -> Result<(), ApplyError> {
        if let Some(current) = self.current.take() {
            self.next = current.number;
            self.skip = current.at;
            tables.contents.put(current.number, &current.row)?;
        }
        Ok(())
    }

    fn find_next(&mut self, tables: &Tables<'_>) -> Result<(u32, ContentRow), ApplyError> {
        loop {
            match tables.contents.get(self.next)? {
                Some(row) if row.is_packed() => return Ok((self.next, row)),
                Some(_) => self.next += 1,
                None => return Err(ApplyError::Contradiction("packs hold more than all contents")),
            }
        }
    }
}

fn open(
    tables: &mut Tables<'_>,
    number: u32,
    row: ContentRow,
    at: u64,
) -> Result<Current, ApplyError> {
    let first = row.first.ok_or(ApplyError::Contradiction("a content belongs to no file"))?;
    let stored = tables.entries.get(first)?;
    let layer = tables
        .layers
        .get_mut(usize::from(stored.layer))
        .ok_or(ApplyError::Contradiction("an entry belongs to no layer"))?;
    let path = stored.entry.suffix.to_vec();
    let file = if row.arrived == 0 {
        create_file(layer, &path)?
    } else {
        layer.open(&path, OFlags::RDWR).map_err(|e| ApplyError::path("open", &path, e))?
    };
    let hash = (at == 0 && row.arrived == 0).then(Sha256::new);
    Ok(Current { number, row, file, path, at, hash, paced: Paced::default() })
}

impl Current {
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), ApplyError> {
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        while !bytes.is_empty() {
            let failed = |e| ApplyError::path("write", &self.path, e);
            let written = rustix::io::pwrite(&self.file, bytes, self.at).map_err(failed)?;
            self.paced.wrote(&self.file, written).map_err(failed)?;
            self.at += written as u64;
            self.row.arrived += written as u64;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// The last byte of the content was written; others may be missing still.
    fn close(mut self, tables: &mut Tables<'_>) -> Result<(), ApplyError> {
        if self.row.arrived < self.row.size {
            return Ok(tables.contents.put(self.number, &self.row)?);
        }
        let found = match self.hash.take() {
            Some(hash) => Digest(hash.finalize().into()),
            None => hash_file(&self.file, &mut vec![0; PIECE])
                .map_err(|e| ApplyError::path("read back", &self.path, e))?,
        };
        if found != self.row.sha256 {
            let path = printable(&self.path);
            return Err(ApplyError::WrongContent { path, digest: self.row.sha256 });
        }
        complete(tables, self.number, self.row, self.file)
    }
}

/// A verified content stands in the file of its first entry: sets that file's metadata, and makes
/// the other files that have the content.
pub fn complete(
    tables: &mut Tables<'_>,
    number: u32,
    mut row: ContentRow,
    file: OwnedFd,
) -> Result<(), ApplyError> {
    let mut at = row.first;
    let mut first = true;
    while let Some(id) = at {
        at = make_copy(tables, id, (!first).then_some(row.size), &file)?;
        first = false;
    }
    tables.writeback.take(file, row.size).map_err(ApplyError::Writeback)?;
    row.state = State::Done;
    Ok(tables.contents.put(number, &row)?)
}

/// Sets the metadata of an entry's file; makes it first, as a copy, if a size is given.
fn make_copy(
    tables: &mut Tables<'_>,
    id: EntryId,
    size: Option<u64>,
    from: &OwnedFd,
) -> Result<Option<EntryId>, ApplyError> {
    let stored = tables.entries.get(id)?;
    let (path, meta) = (stored.entry.suffix, &stored.entry.meta);
    let Some(size) = size else {
        metadata::set(from, path, meta)?;
        return Ok(stored.next);
    };
    let layer = tables
        .layers
        .get_mut(usize::from(stored.layer))
        .ok_or(ApplyError::Contradiction("an entry belongs to no layer"))?;
    let to = create_file(layer, path)?;
    copy_bytes(from, &to, size).map_err(|e| ApplyError::path("copy to", path, e))?;
    metadata::set(&to, path, meta)?;
    let next = stored.next;
    tables.writeback.take(to, size).map_err(ApplyError::Writeback)?;
    Ok(next)
}
