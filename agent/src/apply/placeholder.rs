//! Files that stand before their bytes are there: with the right size and all metadata, sparse, and then
//! under a lease, so that nobody reads the zeros.

use super::entry::create_file;
use super::hash::{PIECE, hash_file};
use super::{ApplyError, Beneath, layer_of, metadata, printable};
use crate::cold::{Cold, Inode};
use crate::spool::{ContentRow, Contents, Entries, State};
use rustix::fd::OwnedFd;
use rustix::fs::{OFlags, ftruncate};
use rustix::io::Errno;
use skiff_protocol::record::Kind;

/// How many files are named that others had open.
const MOST_NAMED: usize = 64;

/// Makes a placeholder for every file with such a content that is missing, and marks the content as one that streams
/// may bring. Gives the number of files.
pub fn make_placeholders(
    contents: &Contents,
    entries: &mut Entries,
    layers: &mut [Beneath],
    which: fn(&ContentRow) -> bool,
) -> Result<u32, ApplyError> {
    contents.missing(which)?;
    let mut made = 0;
    entries.each(|_, stored| {
        let Kind::File { content } = stored.entry.kind else { return Ok(()) };
        let Some(row) = contents.get(content)? else { return Ok(()) };
        if !row.state.is_missing() || !which(&row) {
            return Ok(());
        }
        let (path, meta) = (stored.entry.suffix, &stored.entry.meta);
        let layer = layer_of(layers, stored.layer)?;
        let file = create_file(layer, path)?;
        ftruncate(&file, row.size).map_err(|e| ApplyError::path("set the size of", path, e))?;
        made += 1;
        metadata::set(&file, path, meta)
    })?;
    Ok(made)
}

/// Descriptors with leases that another process has kept, in the order of their inodes.
#[derive(Debug, Default)]
pub struct Kept(Vec<(Inode, Option<OwnedFd>)>);

impl Kept {
    /// These descriptors.
    pub fn new(mut files: Vec<(Inode, OwnedFd)>) -> Self {
        files.sort_unstable_by_key(|(inode, _)| *inode);
        Self(files.into_iter().map(|(inode, file)| (inode, Some(file))).collect())
    }

    /// Takes the descriptor of an inode out.
    fn take(&mut self, inode: Inode) -> Option<OwnedFd> {
        let at = self.0.binary_search_by_key(&inode, |(inode, _)| *inode).ok()?;
        self.0.get_mut(at)?.1.take()
    }

    /// The inodes of those that nobody has taken, which are closed by this.
    pub fn rest(self) -> Vec<Inode> {
        self.0.into_iter().filter(|(_, file)| file.is_some()).map(|(inode, _)| inode).collect()
    }
}

/// Takes a lease on every file whose content is missing: on its kept descriptor, or a new one. `again`: another process has
/// had leases on them. Gives the files that others had open although nobody guarded them: their readers may have
/// seen zeros. At most [`MOST_NAMED`] are named.
pub fn lease_cold(
    contents: &Contents,
    entries: &mut Entries,
    layers: &[Beneath],
    mut again: Option<&mut Kept>,
    cold: &mut Cold,
) -> Result<Vec<(Inode, String)>, ApplyError> {
    let mut unguarded = Vec::new();
    entries.each(|id, stored| {
        let Kind::File { content } = stored.entry.kind else { return Ok(()) };
        if !contents.get(content)?.is_some_and(|row| row.state.is_missing()) {
            return Ok(());
        }
        let Some(layer) = layers.get(usize::from(stored.layer)) else { return Ok(()) };
        let path = stored.entry.suffix;
        let failed = |e| ApplyError::path("take a lease on", path, e);
        let inode = match layer.open(path, OFlags::PATH) {
            Ok(file) => Inode::of(file).map_err(failed)?,
            // Removed meanwhile.
            Err(Errno::NOENT) => return Ok(()),
            Err(e) => return Err(failed(e)),
        };
        let (file, is_new) = match again.as_mut().and_then(|kept| kept.take(inode)) {
            Some(file) => (file, false),
            None => (layer.open(path, OFlags::RDWR | OFlags::NONBLOCK).map_err(failed)?, true),
        };
        if again.is_some() {
            // After a power cut in the middle of filling they may be wrong.
            metadata::set(&file, path, &stored.entry.meta)?;
        }
        match cold.lease(id, content, file) {
            Ok(()) => Ok(()),
            Err(Errno::AGAIN) => {
                if is_new && unguarded.len() < MOST_NAMED {
                    unguarded.push((inode, printable(path)));
                }
                Ok(())
            }
            Err(e) => Err(failed(e)),
        }
    })?;
    Ok(unguarded)
}

/// A content whose files were all removed needs nothing more. Gives how many files are cold.
pub fn leave_removed(
    contents: &Contents,
    entries: &mut Entries,
    cold: &mut Cold,
) -> Result<usize, ApplyError> {
    let mut left = 0;
    for number in 0..contents.count() {
        let Some(row) = contents.get(number)? else { break };
        if !row.state.is_missing() {
            continue;
        }
        let (mut files, mut removed, mut at) = (0, 0, row.first);
        while let Some(entry) = at {
            if cold.is_leased(entry) {
                files += 1;
                removed += usize::from(cold.is_removed(entry));
            }
            at = entries.get(entry)?.next;
        }
        if files > removed {
            left += files;
            continue;
        }
        contents.set_state(number, State::Done)?;
        let mut at = row.first;
        while let Some(entry) = at {
            let stored = entries.get(entry)?;
            let path = stored.entry.suffix;
            cold.give_up(entry).map_err(|e| ApplyError::path("open to others", path, e))?;
            at = stored.next;
        }
    }
    Ok(left)
}

/// What was filled when a process died is whole, or to be fetched again. Gives the contents that are whole; that they are
/// durable has to be made sure before they are marked as done.
pub fn check_filled(
    contents: &Contents,
    entries: &mut Entries,
    layers: &[Beneath],
) -> Result<Vec<u32>, ApplyError> {
    let mut whole = Vec::new();
    let mut buffer = vec![0; PIECE];
    for number in 0..contents.count() {
        let Some(row) = contents.get(number)? else { break };
        if row.state != State::Filled {
            continue;
        }
        let mut right = true;
        let mut at = row.first;
        while let Some(id) = at {
            let stored = entries.get(id)?;
            at = stored.next;
            let Some(layer) = layers.get(usize::from(stored.layer)) else { continue };
            right &= match layer.open(stored.entry.suffix, OFlags::RDONLY | OFlags::NONBLOCK) {
                Ok(file) => hash_file(&file, &mut buffer).is_ok_and(|found| found == row.sha256),
                Err(e) => e == Errno::NOENT,
            };
        }
        if right {
            whole.push(number);
        } else {
            contents.set_state(number, State::Pending)?;
        }
    }
    Ok(whole)
}
