//! Writes files as the bytes of packs arrive.
//!
//! The bytes of pack `n` are those from `n × pack_len` on in the content space. The writer finds
//! the content that they belong to, writes it to the file of its first entry while hashing, and
//! when it is complete compares the digest, sets the metadata, and copies it to the other files
//! that have it. A content whose bytes arrived in another order is hashed from the disk. One that was made out of a base
//! and is wrong begins anew, as that base may be.

use super::entry::create_file;
use super::files::{Files, Tables, complete, standing};
use super::hash::{PIECE, hash_file};
use super::patch::Base;
use super::{ApplyError, ApplyTrouble, layer_of, printable};
use crate::sha256::Sha256;
use crate::spool::{ContentRow, Contents, EntryId, Space, State};
use crate::sync::Paced;
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use skiff_protocol::script::Step;

/// Bytes of a content that are gathered before they are written. A patch may be of a few dozen bytes at a time.
const GATHER: usize = 16 * 1024;

/// Where the writer stands.
#[derive(Debug)]
pub struct ContentWriter {
    space: Space,
    /// The state of the contents that are written. Others are passed by.
    takes: State,
    current: Option<Current>,
    /// The next content to look at, and how far into it the next byte lies.
    next: u32,
    skip: u64,
    /// Where the next byte lies in the content space.
    at: u64,
    begun_anew: bool,
    /// What patched packs refer to now.
    base: Base,
}

#[derive(Debug)]
struct Current {
    number: u32,
    row: ContentRow,
    /// The file of one of its entries.
    file: OwnedFd,
    entry: EntryId,
    path: Vec<u8>,
    /// Offset in the content of the next byte.
    at: u64,
    /// Those before it that are not written yet.
    gathered: Vec<u8>,
    /// Hash of what is written, if it came in order from the first byte on.
    hash: Option<Sha256>,
    /// Some of its bytes were made out of a base.
    patched: bool,
    paced: Paced,
}

impl ContentWriter {
    /// A writer at the start of a content space, for those of its contents that are in this state.
    pub fn new(space: Space, takes: State) -> Self {
        let (current, base) = Default::default();
        Self { space, takes, current, next: 0, skip: 0, at: 0, begun_anew: false, base }
    }

    /// The content that the next byte belongs to, or a lower number.
    pub fn next_content(&self) -> u32 {
        self.current.as_ref().map_or(self.next, |current| current.number)
    }

    /// How far into that content the next byte lies.
    pub fn offset_in_content(&self) -> u64 {
        self.current.as_ref().map_or(self.skip, |current| current.at)
    }

    /// Goes to a place in the content space.
    pub fn seek(&mut self, contents: &Contents, offset: u64) -> Result<(), ApplyError> {
        if self.at == offset {
            return Ok(());
        }
        self.suspend(contents)?;
        let place = self.space.locate(contents, offset)?;
        let place = place
            .ok_or_else(|| ApplyError::contradiction("a pack lies behind the last content"))?;
        (self.next, self.skip) = place;
        self.at = offset;
        Ok(())
    }

    /// Takes the next bytes of the content space. Bytes of contents in another state are left alone: they
    /// are complete, or another stream has them.
    pub fn write(&mut self, tables: &mut Tables<'_>, bytes: &[u8]) -> Result<(), ApplyError> {
        self.take(tables, bytes, false)
    }

    /// Makes the next bytes as a patched pack says.
    pub fn patch(&mut self, tables: &mut Tables<'_>, step: &Step<'_>) -> Result<(), ApplyError> {
        let (mut at, mut left, mut added) = match *step {
            Step::Insert(bytes) => return self.take(tables, bytes, false),
            Step::Copy { at, len } => (at, len, None),
            Step::Add { at, bytes } => (at, bytes.len() as u64, Some(bytes)),
            _ => {
                let number = match &self.current {
                    Some(current) => current.number,
                    None => self.find_next(tables)?.0,
                };
                self.base.name(tables, number, step);
                return Ok(());
            }
        };
        let mut base = std::mem::take(&mut self.base);
        while left > 0 {
            let mut bytes = base.read(at, left);
            if let Some((now, later)) = added.and_then(|added| added.split_at_checked(bytes.len()))
            {
                bytes = base.sum(now);
                added = Some(later);
            }
            (at, left) = (at + bytes.len() as u64, left - bytes.len() as u64);
            self.take(tables, bytes, true)?;
        }
        self.base = base;
        Ok(())
    }

    fn take(
        &mut self,
        tables: &mut Tables<'_>,
        mut bytes: &[u8],
        patched: bool,
    ) -> Result<(), ApplyError> {
        while !bytes.is_empty() {
            let (number, row) = match &self.current {
                Some(current) => (current.number, current.row),
                None => self.find_next(tables)?,
            };
            let at = self.current.as_ref().map_or(self.skip, |current| current.at);
            let room = usize::try_from(row.size - at).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            bytes = later;
            self.at += now.len() as u64;
            let ends = now.len() == room;
            let mut current = self.current.take();
            if current.is_none() && row.state == self.takes {
                current = open(tables, number, row, at)?;
            }
            match current {
                Some(mut current) => {
                    current.patched |= patched;
                    current.take(now, ends)?;
                    if ends {
                        self.begun_anew |= !current.close(tables)?;
                    } else {
                        self.current = Some(current);
                    }
                }
                None => self.skip += now.len() as u64,
            }
            if ends {
                self.next = number + 1;
                self.skip = 0;
            }
        }
        Ok(())
    }

    /// Writes down how far it is, for a process that goes on with it.
    pub fn note(&mut self, contents: &Contents) -> Result<(), ApplyError> {
        match &mut self.current {
            Some(current) => {
                current.write_gathered()?;
                Ok(contents.put(current.number, &current.row)?)
            }
            None => Ok(()),
        }
    }

    /// Whether a content turned out wrong that did not arrive in one piece, or was made out of a base. It is missing again.
    pub fn has_begun_anew(&self) -> bool {
        self.begun_anew
    }

    /// Puts a content aside that is not complete.
    pub fn suspend(&mut self, contents: &Contents) -> Result<(), ApplyError> {
        if let Some(mut current) = self.current.take() {
            current.write_gathered()?;
            self.next = current.number;
            self.skip = current.at;
            // Unless its files were removed meanwhile.
            if contents.get(current.number)?.is_some_and(|row| row.state == self.takes) {
                contents.put(current.number, &current.row)?;
            }
        }
        Ok(())
    }

    fn find_next(&mut self, tables: &Tables<'_>) -> Result<(u32, ContentRow), ApplyError> {
        let Some((number, row)) = self.space.next(tables.contents, self.next)? else {
            return Err(ApplyError::contradiction("packs hold more than all contents"));
        };
        self.next = number;
        Ok((number, row))
    }
}

/// Opens a file of a content. Nothing if all of them were removed: then it is done with.
fn open(
    tables: &mut Tables<'_>,
    number: u32,
    row: ContentRow,
    at: u64,
) -> Result<Option<Current>, ApplyError> {
    let mut next = row.first;
    while let Some(entry) = next {
        let stored = tables.entries.get(entry)?;
        next = stored.next;
        let layer = layer_of(tables.layers, stored.layer)?;
        let path = stored.entry.suffix.to_vec();
        let file = match &tables.files {
            Files::New(_) if !row.begun => create_file(layer, &path)?,
            Files::New(_) => {
                layer.open(&path, OFlags::RDWR).map_err(|e| ApplyError::path("open", &path, e))?
            }
            Files::Standing { cold, .. } => match standing(cold, entry, layer, &path)? {
                Some(file) => file,
                None => continue,
            },
        };
        let hash = (at == 0 && row.arrived == 0).then(Sha256::new);
        let row = ContentRow { begun: true, ..row };
        let (gathered, patched, paced) = Default::default();
        let new = Current { number, row, file, entry, path, at, gathered, hash, patched, paced };
        return Ok(Some(new));
    }
    if row.first.is_none() {
        return Err(ApplyError::contradiction("a content belongs to no file"));
    }
    tables.contents.set_state(number, State::Done)?;
    Ok(None)
}

impl Current {
    /// Takes the next bytes, of which the last may be the content's last.
    fn take(&mut self, bytes: &[u8], ends: bool) -> Result<(), ApplyError> {
        if self.gathered.len() + bytes.len() > GATHER {
            self.write_gathered()?;
        }
        let from = self.at;
        self.at += bytes.len() as u64;
        if bytes.len() >= GATHER || (ends && self.gathered.is_empty()) {
            return self.write(from, bytes);
        }
        self.gathered.extend_from_slice(bytes);
        if ends { self.write_gathered() } else { Ok(()) }
    }

    fn write_gathered(&mut self) -> Result<(), ApplyError> {
        let mut gathered = std::mem::take(&mut self.gathered);
        let written = self.write(self.at - gathered.len() as u64, &gathered);
        gathered.clear();
        self.gathered = gathered;
        written
    }

    fn write(&mut self, mut at: u64, mut bytes: &[u8]) -> Result<(), ApplyError> {
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        while !bytes.is_empty() {
            let failed = |e| ApplyError::path("write", &self.path, e);
            let written = rustix::io::pwrite(&self.file, bytes, at).map_err(failed)?;
            self.paced.wrote(&self.file, written).map_err(failed)?;
            at += written as u64;
            self.row.arrived += written as u64;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// The last byte of the content was written; others may be missing still. Gives false if it is to begin anew.
    fn close(mut self, tables: &mut Tables<'_>) -> Result<bool, ApplyError> {
        if self.row.arrived < self.row.size {
            tables.contents.put(self.number, &self.row)?;
            return Ok(true);
        }
        let hash = self.hash.take();
        let in_one_piece = hash.is_some();
        let found = match hash {
            Some(hash) => hash.finish(),
            None => hash_file(&self.file, &mut vec![0; PIECE])
                .map_err(|e| ApplyError::path("read back", &self.path, e))?,
        };
        if found == self.row.sha256 {
            complete(tables, self.number, self.row, self.entry, self.file)?;
            return Ok(true);
        }
        // The part from before may not have reached the disk before the power went, or the base is not what it should be.
        tables.contents.put(self.number, &ContentRow { arrived: 0, ..self.row })?;
        if in_one_piece && !self.patched {
            let path = printable(&self.path);
            return Err(ApplyTrouble::WrongContent { path, digest: self.row.sha256 }.into());
        }
        Ok(false)
    }
}
