//! The files of one deployment that are cold: each open, and under a write lease.

use crate::spool::EntryId;
use crate::sys::{self, Lease};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{Mode, fstat};
use rustix::io::{Errno, Result};

/// Somebody may execute a file with one of these.
const EXECUTABLE: Mode = Mode::XUSR.union(Mode::XGRP).union(Mode::XOTH);

/// What names an inode: its device and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Inode {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub number: u64,
}

impl Inode {
    /// That of an open file.
    pub fn of(file: impl AsFd) -> Result<Self> {
        let stat = fstat(file)?;
        Ok(Self { device: stat.st_dev, number: stat.st_ino })
    }
}

/// Files that are hydrated, of which the holder has copies still.
#[derive(Debug)]
pub struct GivenUp {
    /// All of them.
    pub inodes: Vec<Inode>,
    /// Those with a lease that ends when this descriptor and the holder's are closed.
    pub executable: Vec<OwnedFd>,
}

/// One file.
#[derive(Debug)]
struct Leased {
    entry: EntryId,
    content: u32,
    /// None once it is hydrated.
    file: Option<OwnedFd>,
}

/// The cold files of a deployment, in the order of their entries.
///
/// Its size is bounded by the number of leases ([`super::limit`]): 24 bytes for each.
#[derive(Debug, Default)]
pub struct Cold {
    leased: Vec<Leased>,
    /// Files without bytes, under a lease or not yet.
    left: usize,
    /// Files that were hydrated since this was asked last.
    given_up: Vec<Inode>,
    /// Those of them that may be executed: open, and under their leases.
    executable: Vec<OwnedFd>,
    /// Contents whose files are whole since this was asked last, but maybe not on the disk.
    filled: Vec<u32>,
    /// Bytes of contents that were filled since this was asked last.
    filled_bytes: u64,
}

impl Cold {
    /// So many files stand without their bytes.
    pub fn expect(&mut self, files: usize) {
        self.left = files;
    }

    /// Takes a lease on a file, whose entry comes behind those before. `EAGAIN` if somebody has it open; the
    /// file is taken all the same, since it is cold.
    pub fn lease(&mut self, entry: EntryId, content: u32, file: OwnedFd) -> Result<()> {
        let leased = sys::take_lease(&file);
        if matches!(leased, Ok(()) | Err(Errno::AGAIN)) {
            self.leased.push(Leased { entry, content, file: Some(file) });
        }
        leased
    }

    /// How many files are without their bytes.
    pub fn left(&self) -> usize {
        self.left
    }

    /// The descriptor of a cold file, for reading and writing; the lease is the same.
    pub fn file(&self, entry: EntryId) -> Result<Option<OwnedFd>> {
        let Some(leased) = self.find(entry).and_then(|at| self.leased.get(at)) else {
            return Ok(None);
        };
        let copy = |file: &OwnedFd| file.as_fd().try_clone_to_owned().map_err(|_| Errno::MFILE);
        leased.file.as_ref().map(copy).transpose()
    }

    fn find(&self, entry: EntryId) -> Option<usize> {
        self.leased.binary_search_by_key(&entry, |leased| leased.entry).ok()
    }

    /// The file of an entry is hydrated: whoever waits for it goes on.
    ///
    /// One that may be executed keeps its lease until its last descriptor is closed. The kernel lets an `execve` that waits
    /// for a lease go on when that ends, and then refuses it (`ETXTBSY`) if anybody has the file open for writing, as this
    /// process and the holder do; a lease can't be had without (`do_open_execat`, `generic_add_lease`). Through overlayfs nobody
    /// would notice, since it counts writers of its own inodes.
    pub fn give_up(&mut self, entry: EntryId) -> Result<()> {
        self.left = self.left.saturating_sub(1);
        let Some(leased) = self.find(entry).and_then(|at| self.leased.get_mut(at)) else {
            return Ok(());
        };
        let Some(file) = leased.file.take() else { return Ok(()) };
        let stat = fstat(&file)?;
        self.given_up.push(Inode { device: stat.st_dev, number: stat.st_ino });
        if Mode::from_raw_mode(stat.st_mode).intersects(EXECUTABLE) {
            self.executable.push(file);
            return Ok(());
        }
        sys::give_up_lease(&file)
    }

    /// A content of this size is in all its files now.
    pub fn fill(&mut self, content: u32, size: u64) {
        self.filled.push(content);
        self.filled_bytes += size;
    }

    /// These contents are whole and may not be on the disk, still.
    pub fn not_settled(&mut self, contents: Vec<u32>) {
        self.filled.extend(contents);
    }

    /// Bytes of contents that were filled since the last call.
    pub fn take_filled_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.filled_bytes)
    }

    /// The contents that were filled since the last call.
    pub fn take_filled(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.filled)
    }

    /// The files that were given up since the last call.
    pub fn take_given_up(&mut self) -> GivenUp {
        let (inodes, executable) = (&mut self.given_up, &mut self.executable);
        GivenUp { inodes: std::mem::take(inodes), executable: std::mem::take(executable) }
    }

    /// The content of the file with this descriptor number, if somebody waits for it: a signal may be of a file that had the
    /// number before.
    pub fn content_of(&self, fd: i32) -> Option<u32> {
        let (leased, file) = self.cold().find(|(_, file)| file.as_raw_fd() == fd)?;
        (sys::lease_of(file) == Ok(Lease::Breaking)).then_some(leased.content)
    }

    /// Calls `visit` with the entry and content of each file that somebody waits for.
    pub fn waited_for(&self, mut visit: impl FnMut(EntryId, u32)) {
        for (leased, file) in self.cold() {
            if sys::lease_of(file) == Ok(Lease::Breaking) {
                visit(leased.entry, leased.content);
            }
        }
    }

    /// Descriptors and inodes of all cold files.
    pub fn files(&self) -> impl Iterator<Item = &OwnedFd> {
        self.cold().map(|(_, file)| file)
    }

    /// Whether the file of an entry is cold.
    pub fn is_leased(&self, entry: EntryId) -> bool {
        self.find(entry).and_then(|at| self.leased.get(at)?.file.as_ref()).is_some()
    }

    /// Whether the file of an entry has no name any more: its image was removed.
    pub fn is_removed(&self, entry: EntryId) -> bool {
        let file = self.find(entry).and_then(|at| self.leased.get(at)?.file.as_ref());
        file.is_some_and(|file| fstat(file).is_ok_and(|stat| stat.st_nlink == 0))
    }

    /// Whether some file has no name any more.
    pub fn has_removed(&self) -> bool {
        self.cold().any(|(leased, _)| self.is_removed(leased.entry))
    }

    fn cold(&self) -> impl Iterator<Item = (&Leased, &OwnedFd)> {
        self.leased.iter().filter_map(|leased| Some((leased, leased.file.as_ref()?)))
    }
}
