//! The files of contents: how they come about, and what is done when one of a content's files is complete.
//!
//! Files that stand already are filled in place ([`Files::Standing`]): what is done for a new file is done for
//! them, and then their leases are given up.

use super::copy::copy_bytes;
use super::entry::create_file;
use super::metadata;
use super::patch::Bases;
use super::{ApplyError, Beneath, Writeback, layer_of};
use crate::cold::Cold;
use crate::spool::{ContentRow, Contents, Entries, EntryId, State};
use crate::sync;
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use rustix::io::Errno;

/// What contents are written with.
#[derive(Debug)]
pub struct Tables<'a> {
    /// The plan's contents.
    pub contents: &'a Contents,
    /// The layers' entries.
    pub entries: &'a mut Entries,
    /// The layers' directories, by number.
    pub layers: &'a mut [Beneath],
    /// What patches refer to.
    pub bases: &'a Bases,
    /// How files come about.
    pub files: Files<'a>,
}

/// How files come about.
#[derive(Debug)]
pub enum Files<'a> {
    /// They are made. What was written last is brought to the disk.
    New(&'a mut Writeback),
    /// They stand as placeholders, which are filled; those that are cold through the descriptor that has
    /// the lease.
    Standing {
        /// The cold ones.
        cold: &'a mut Cold,
        /// Whether the journal is relied upon: a content is then done only when it is known to be on the
        /// disk.
        relied: bool,
    },
}

impl Files<'_> {
    /// A file that stood is complete. It is not kept open for writing, so that it can be executed.
    fn written(&self, file: &OwnedFd) -> rustix::io::Result<()> {
        match self {
            Self::New(_) => Ok(()),
            Self::Standing { .. } => sync::begin(file),
        }
    }
}

/// A file that stands: through its lease, if it is under one. Nothing if its image was removed.
pub(super) fn standing(
    cold: &Cold,
    entry: EntryId,
    layer: &Beneath,
    path: &[u8],
) -> Result<Option<OwnedFd>, ApplyError> {
    let failed = |e| ApplyError::path("open", path, e);
    if let Some(file) = cold.file(entry).map_err(failed)? {
        return Ok(Some(file));
    }
    // Without O_NONBLOCK it could wait for itself.
    match layer.open(path, OFlags::RDWR | OFlags::NONBLOCK) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(failed(e)),
    }
}

/// A verified content stands in the file of one of its entries: sets that file's metadata, and makes or
/// fills the other files that have the content.
pub(super) fn complete(
    tables: &mut Tables<'_>,
    number: u32,
    mut row: ContentRow,
    source: EntryId,
    file: OwnedFd,
) -> Result<(), ApplyError> {
    let mut at = row.first;
    while let Some(entry) = at {
        let size = (entry != source).then_some(row.size);
        at = make_copy(tables, entry, size, &file)?;
    }
    row.state = match &mut tables.files {
        Files::New(writeback) => {
            writeback.take(file, row.size).map_err(ApplyError::writeback)?;
            State::Done
        }
        Files::Standing { relied: false, .. } => State::Done,
        Files::Standing { cold, relied: true } => {
            cold.fill(number, row.size);
            State::Filled
        }
    };
    // First the journal, then the leases: what is open to others is never filled again.
    tables.contents.put(number, &row)?;
    let mut at = row.first;
    while let (Some(entry), Files::Standing { cold, .. }) = (at, &mut tables.files) {
        let stored = tables.entries.get(entry)?;
        let path = stored.entry.suffix;
        cold.give_up(entry).map_err(|e| ApplyError::path("open to others", path, e))?;
        at = stored.next;
    }
    Ok(())
}

/// Sets the metadata of an entry's file; if a size is given, copies to it first.
fn make_copy(
    tables: &mut Tables<'_>,
    entry: EntryId,
    size: Option<u64>,
    from: &OwnedFd,
) -> Result<Option<EntryId>, ApplyError> {
    let stored = tables.entries.get(entry)?;
    let (path, meta) = (stored.entry.suffix, &stored.entry.meta);
    let Some(size) = size else {
        metadata::set(from, path, meta)?;
        tables.files.written(from).map_err(ApplyError::writeback)?;
        return Ok(stored.next);
    };
    let layer = layer_of(tables.layers, stored.layer)?;
    let to = match &tables.files {
        Files::New(_) => create_file(layer, path)?,
        Files::Standing { cold, .. } => match standing(cold, entry, layer, path)? {
            Some(file) => file,
            None => return Ok(stored.next),
        },
    };
    copy_bytes(from, &to, size).map_err(|e| ApplyError::path("copy to", path, e))?;
    metadata::set(&to, path, meta)?;
    let next = stored.next;
    match &mut tables.files {
        Files::New(writeback) => writeback.take(to, size),
        files => files.written(&to),
    }
    .map_err(ApplyError::writeback)?;
    Ok(next)
}
