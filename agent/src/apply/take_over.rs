//! Takes contents over from an earlier pull that did not end: by digest, whatever plan they came with.
//!
//! A file of it becomes a file of ours by a hard link, so nothing is copied and no room is needed twice; what is left of the
//! earlier pull is removed afterwards, and with it the other name. Where that is not possible its bytes are copied. Either is
//! hashed: after a power cut a file can be shorter or emptier than what was written.
//!
//! Both tables are on the disk and in the order of their own numbers. So some thousand rows of the earlier one at
//! a time are sorted in memory, and all of ours are looked up among them.

use super::copy::copy_bytes;
use super::entry::create_file;
use super::files::{Tables, complete};
use super::hash::{PIECE, hash_file};
use super::metadata::clear_xattrs;
use super::{ApplyError, Beneath, layer_of};
use crate::spool::{ContentRow, Contents, Entries, EntryId, State};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, OFlags, fstat, linkat};

/// Rows of the earlier pull in memory at once: 12 bytes each.
const ROWS: usize = 4096;

/// What an earlier pull has left.
#[derive(Debug)]
pub struct Unfinished {
    /// Its contents.
    pub contents: Contents,
    /// The files that have them.
    pub entries: Entries,
    /// Its layers, by number, as far as they are there still.
    pub layers: Vec<Option<Beneath>>,
}

/// Takes over what can be; gives contents and bytes. `parts` says whether contents count that are there in part: the plan
/// is the same, and a part may stand in a new file.
pub fn take_over(
    tables: &mut Tables<'_>,
    from: &mut Unfinished,
    parts: bool,
) -> Result<(u32, u64), ApplyError> {
    let mut buffer = vec![0; PIECE];
    let (mut contents, mut bytes) = (0, 0);
    let mut next = 0;
    loop {
        let rows = sorted_rows(&from.contents, &mut next)?;
        if rows.is_empty() {
            break;
        }
        for number in 0..tables.contents.count() {
            let Some(row) = tables.contents.get(number)? else { break };
            if row.state != State::Pending || !row.is_packed() || row.begun {
                continue;
            }
            let key = key(&row);
            let at = rows.partition_point(|(other, _)| *other < key);
            for (_, old) in rows[at..].iter().take_while(|(other, _)| *other == key) {
                let Some(old) = from.contents.get(*old)? else { continue };
                if old.sha256 == row.sha256
                    && old.size == row.size
                    && take_file(tables, from, number, row, &old, &mut buffer)?
                {
                    contents += 1;
                    bytes += row.size;
                    break;
                }
            }
        }
    }
    if parts {
        bytes += take_parts(tables, from)?;
    }
    Ok((contents, bytes))
}

/// The next rows of contents that are whole: the first bytes of their digests, and their numbers.
fn sorted_rows(contents: &Contents, next: &mut u32) -> Result<Vec<(u64, u32)>, ApplyError> {
    let mut rows = Vec::new();
    while rows.len() < ROWS {
        let Some(row) = contents.get(*next)? else { break };
        if !row.state.is_missing() {
            rows.push((key(&row), *next));
        }
        *next += 1;
    }
    rows.sort_unstable();
    Ok(rows)
}

fn key(row: &ContentRow) -> u64 {
    row.sha256.0.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Takes a whole content; whether that went well.
fn take_file(
    tables: &mut Tables<'_>,
    from: &mut Unfinished,
    number: u32,
    row: ContentRow,
    old: &ContentRow,
    buffer: &mut [u8],
) -> Result<bool, ApplyError> {
    let mut next = old.first;
    while let Some(entry) = next {
        let (source, after) = open_source(from, entry)?;
        next = after;
        let Some(source) = source.filter(|source| has_size(source, row.size)) else { continue };
        if hash_file(&source, buffer).is_ok_and(|found| found == row.sha256) {
            let Some(first) = row.first else { break };
            let file = name_file(tables, first, &source, row.size)?;
            complete(tables, number, ContentRow { begun: true, ..row }, first, file)?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes contents whose first bytes arrived. Their hash is taken when the others are there.
fn take_parts(tables: &mut Tables<'_>, from: &mut Unfinished) -> Result<u64, ApplyError> {
    let mut bytes = 0;
    for number in 0..tables.contents.count() {
        let (Some(row), Some(old)) = (tables.contents.get(number)?, from.contents.get(number)?)
        else {
            break;
        };
        if row.state != State::Pending || old.arrived == 0 || old.sha256 != row.sha256 {
            continue;
        }
        let (Some(first), Some(entry)) = (row.first, old.first) else { continue };
        // A stream fills the file of a content's first entry.
        let (source, _) = open_source(from, entry)?;
        let Some(source) = source.filter(|source| !row.begun && row.is_packed() && is_file(source))
        else {
            continue;
        };
        let size = fstat(&source).map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0));
        let arrived = old.arrived.min(size);
        drop(name_file(tables, first, &source, arrived)?);
        tables.contents.put(number, &ContentRow { arrived, begun: true, ..row })?;
        bytes += arrived;
    }
    Ok(bytes)
}

/// Gives an open file the name of one of our entries, or a copy of it. It has no attributes of its earlier name.
fn name_file(
    tables: &mut Tables<'_>,
    entry: EntryId,
    source: &OwnedFd,
    size: u64,
) -> Result<OwnedFd, ApplyError> {
    let stored = tables.entries.get(entry)?;
    let path = stored.entry.suffix;
    let layer = layer_of(tables.layers, stored.layer)?;
    let (parent, name) =
        layer.parent(path).map_err(|e| ApplyError::path("open the directory of", path, e))?;
    // Fails without CAP_DAC_READ_SEARCH, across file systems, and for a file that has too many names.
    if linkat(source, c"", parent, name, AtFlags::EMPTY_PATH).is_ok() {
        let flags = OFlags::RDWR | OFlags::NONBLOCK;
        let file = layer.open(path, flags).map_err(|e| ApplyError::path("open", path, e))?;
        clear_xattrs(&file).map_err(|e| ApplyError::path("remove attributes of", path, e))?;
        return Ok(file);
    }
    let to = create_file(layer, path)?;
    copy_bytes(source, &to, size).map_err(|e| ApplyError::path("copy to", path, e))?;
    Ok(to)
}

/// The file of an entry of the earlier pull, if it is there, and the next entry with the same content.
fn open_source(
    from: &mut Unfinished,
    entry: EntryId,
) -> Result<(Option<OwnedFd>, Option<EntryId>), ApplyError> {
    let stored = from.entries.get(entry)?;
    let layer = from.layers.get(usize::from(stored.layer)).and_then(Option::as_ref);
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = layer.and_then(|layer| layer.open(stored.entry.suffix, flags).ok());
    Ok((file, stored.next))
}

fn is_file(file: &OwnedFd) -> bool {
    fstat(file).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}

fn has_size(file: &OwnedFd, size: u64) -> bool {
    is_file(file) && fstat(file).is_ok_and(|stat| u64::try_from(stat.st_size) == Ok(size))
}
