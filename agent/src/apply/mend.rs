//! Mends an image whose tree is not what it should be, where its layers lie.
//!
//! What is wrong is made anew as a small layer in a snapshot of its own, by the same code as any delta: entries, contents (from
//! the tree itself where only metadata are wrong, else fetched), hard links. What is too much becomes a whiteout there. Then each
//! name is renamed into its place, one by one. So a file is at any moment the old or the new one, whoever has the old one open or
//! mapped keeps it, and after a crash the next `skiff verify` finds what is left to do.
//!
//! Its place is the image's own layer, the top one: whatever lies on that was made for the right tree. A lower layer may
//! be another image's, too, which has another file there, and if that one shows it is because the right one was lost above it. So only
//! a file that has one name, and the size, time, owner and mode that it should have, in a directory from which nothing was
//! removed (its time says so), is taken for the right one with damaged bytes, and mended in the layer that shows it.
//!
//! All names of an inode are mended together. A directory on the way that the layer does not have is made, as overlayfs
//! does when it copies up; the times of directories are set again at the end.

use super::compare::{Listing, WRONG};
use super::files::Tables;
use super::metadata::{self, Attributes};
use super::{ApplyError, Beneath, layer_of, make_entry};
use crate::spool::{ContentRow, Entries, Origin, PathQueue, State};
use rustix::fd::AsRawFd;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, fstat, mkdirat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use skiff_protocol::record::{Entry, Kind, Metadata};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// Makes what was marked as wrong, and whiteouts for what is too much, in the only layer of `tables`, but for the contents: those
/// are to be copied from the tree (image 0) or fetched.
pub fn prepare(
    listing: &mut Listing<'_>,
    extra: &mut PathQueue,
    tables: &mut Tables<'_>,
) -> Result<(), ApplyError> {
    mark_groups(listing)?;
    for number in 0..tables.contents.count() {
        let Some(row) = tables.contents.get(number)? else { break };
        let origin = Origin::Pack;
        let (first, arrived, begun, state) = (None, 0, false, State::Done);
        let row = ContentRow { origin, first, arrived, begun, state, ..row };
        tables.contents.put(number, &row)?;
    }
    let mut path = Vec::new();
    for place in 0.. {
        let Some(id) = listing.index.get(place)? else { break };
        let stored = listing.entries.get(id)?;
        if stored.layer != WRONG {
            continue;
        }
        path.clear();
        path.extend_from_slice(stored.entry.suffix);
        add_parents(listing, tables, &path)?;
        add(tables, &listing.entries.get(id)?.entry)?;
    }
    while extra.pop(&mut path)?.is_some() {
        add_parents(listing, tables, &path)?;
        let (kind, meta) = (Kind::Whiteout, Metadata::default());
        add(tables, &Entry { prefix: 0, suffix: &path, kind, meta })?;
    }
    Ok(())
}

/// If one name of an inode is wrong, all are.
fn mark_groups(listing: &mut Listing<'_>) -> Result<(), ApplyError> {
    for to_first in [true, false] {
        for place in 0.. {
            let Some(id) = listing.index.get(place)? else { break };
            let stored = listing.entries.get(id)?;
            let Kind::HardLink { first } = stored.entry.kind else { continue };
            let (is_wrong, first) = (stored.layer == WRONG, first.to_vec());
            let Some(first) = listing.index.find(listing.entries, &first)? else { continue };
            if to_first && is_wrong {
                listing.entries.set_layer(first, WRONG)?;
            } else if !to_first && listing.entries.get(first)?.layer == WRONG {
                listing.entries.set_layer(id, WRONG)?;
            }
        }
    }
    Ok(())
}

fn add_parents(
    listing: &mut Listing<'_>,
    tables: &mut Tables<'_>,
    path: &[u8],
) -> Result<(), ApplyError> {
    for (end, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
        let parent = &path[..end];
        if layer_of(tables.layers, 0)?.open(parent, OFlags::PATH).is_ok() {
            continue;
        }
        let found = listing.index.find(listing.entries, parent)?;
        let Some(id) = found else {
            return Err(ApplyError::contradiction("a directory on the way to an entry is missing"));
        };
        add(tables, &listing.entries.get(id)?.entry)?;
    }
    Ok(())
}

fn add(tables: &mut Tables<'_>, entry: &Entry<'_>) -> Result<(), ApplyError> {
    make_entry(layer_of(tables.layers, 0)?, entry)?;
    let id = tables.entries.push(0, entry)?;
    let Kind::File { content } = entry.kind else { return Ok(()) };
    let Some(mut row) = tables.contents.get(content)? else { return Ok(()) };
    match row.first {
        Some(first) => tables.entries.chain(first, id)?,
        None => {
            (row.first, row.state) = (Some(id), State::Pending);
            row.origin = Origin::Held { image: 0, path: (0, 0) };
        }
    }
    Ok(tables.contents.put(content, &row)?)
}

/// Moves what was made into its place in the image's layers, top first; with `top` all of it into the top one.
pub fn mend(
    listing: &mut Listing<'_>,
    entries: &mut Entries,
    from: &mut Beneath,
    stack: &mut [Beneath],
    top: bool,
) -> Result<(), ApplyError> {
    let mut room = Attributes::default();
    entries.each(|_, stored| {
        let (path, kind) = (stored.entry.suffix, stored.entry.kind);
        match kind {
            Kind::Directory { .. } => directory(layer_of(stack, 0)?, from, path, &mut room),
            // What is below it may show then, and is found by the next comparison.
            Kind::Whiteout if remove(layer_of(stack, 0)?, path)? => Ok(()),
            _ => {
                let top = top || !has_right_directory(listing, path)?;
                let place = if top { 0 } else { place_of(stack, from, path)? };
                let layer = layer_of(stack, place)?;
                rename(from, layer, path)
            }
        }
    })?;
    entries.each(|_, stored| {
        let Kind::Directory { .. } = stored.entry.kind else { return Ok(()) };
        let path = stored.entry.suffix;
        let fd = layer_of(stack, 0)?.open(path, DIRECTORY);
        let fd = fd.map_err(|e| ApplyError::path("open", path, e))?;
        metadata::set_times(fd, path, &stored.entry.meta)
    })
}

/// Gives a directory of the layer, which is made if it is not there, the metadata of one that was made.
fn directory(
    layer: &mut Beneath,
    from: &Beneath,
    path: &[u8],
    room: &mut Attributes,
) -> Result<(), ApplyError> {
    let failed = |verb| move |e| ApplyError::path(verb, path, e);
    let made = from.open(path, DIRECTORY).map_err(failed("open"))?;
    let there = match layer.open(path, DIRECTORY) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
            remove(layer, path)?;
            let (parent, name) = layer.parent(path).map_err(failed("open the directory of"))?;
            mkdirat(parent, name, Mode::RWXU).map_err(failed("make the directory"))?;
            layer.open(path, DIRECTORY).map_err(failed("open"))?
        }
        there => there.map_err(failed("open"))?,
    };
    metadata::clear_xattrs(&there).map_err(failed("remove attributes of"))?;
    metadata::copy(made, there, path, room)
}

fn has_right_directory(listing: &mut Listing<'_>, path: &[u8]) -> Result<bool, ApplyError> {
    let Some(end) = path.iter().rposition(|&byte| byte == b'/') else { return Ok(true) };
    Ok(match listing.index.find(listing.entries, &path[..end])? {
        Some(id) => listing.entries.get(id)?.layer != WRONG,
        None => false,
    })
}

/// The layer that a file is mended in.
fn place_of(stack: &[Beneath], from: &Beneath, path: &[u8]) -> Result<u16, ApplyError> {
    let made = from.open(path, OFlags::PATH).and_then(fstat);
    let made = made.map_err(|e| ApplyError::path("open", path, e))?;
    let look = |layer: &Beneath| layer.open(path, OFlags::PATH).and_then(fstat).ok();
    let shown = (0..).zip(stack).find_map(|(place, layer)| Some((place, look(layer)?)));
    let facts = |stat: &Stat| {
        let time = (stat.st_mtime, stat.st_mtime_nsec);
        (stat.st_mode, stat.st_nlink, stat.st_uid, stat.st_gid, stat.st_size, time)
    };
    let is_file = FileType::from_raw_mode(made.st_mode) == FileType::RegularFile;
    Ok(match shown {
        Some((place, there)) if is_file && made.st_nlink == 1 && facts(&there) == facts(&made) => {
            place
        }
        _ => 0,
    })
}

fn rename(from: &mut Beneath, layer: &mut Beneath, path: &[u8]) -> Result<(), ApplyError> {
    let failed = |verb| move |e| ApplyError::path(verb, path, e);
    let (source, name) = from.parent(path).map_err(failed("open the directory of"))?;
    let directory = match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => layer.open(&path[..slash], DIRECTORY),
        None => openat(layer.root(), ".", DIRECTORY, Mode::empty()),
    };
    let directory = directory.map_err(failed("open the directory of"))?;
    let is_directory = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
    if is_directory {
        remove(layer, path)?;
    }
    // Those of a lower layer's directory are nobody's business here.
    let times = fstat(&directory).map_err(failed("open the directory of"))?;
    renameat(source, name, &directory, name).map_err(failed("replace"))?;
    metadata::copy_times(&times, directory, path)
}

/// Removes whatever the layer has at a path; whether there was something.
fn remove(layer: &mut Beneath, path: &[u8]) -> Result<bool, ApplyError> {
    let failed = |e| ApplyError::path("remove", path, e);
    let (parent, name) = match layer.parent(path) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(false),
        parent => parent.map_err(failed)?,
    };
    let stat = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(false),
        stat => stat.map_err(failed)?,
    };
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        let mut whole = format!("/proc/self/fd/{}/", parent.as_raw_fd()).into_bytes();
        whole.extend_from_slice(name);
        let removed = std::fs::remove_dir_all(OsStr::from_bytes(&whole));
        removed.map_err(|e| failed(Errno::from_io_error(&e).unwrap_or(Errno::IO)))?;
    } else {
        unlinkat(parent, name, AtFlags::empty()).map_err(failed)?;
    }
    Ok(true)
}
