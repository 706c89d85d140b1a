//! Compares a tree that stands on the device with its table of contents.
//!
//! Two passes. The first takes entry by entry and looks at what stands there: kind, mode, owner, time, link, device, attributes,
//! size, and the hash of all bytes. The second walks through the tree, through a queue on disk, for names that no entry has. The tree
//! is an overlay mount of the image's layers, so that what counts is what a container sees.
//!
//! Not compared: link counts (a layer that was made of a stack shares files with it), the times of directories that
//! no layer of the image names (the accelerator gives them 0), and attributes that the file system does not have or
//! that a security module has given.
//!
//! Files are opened with `O_NONBLOCK` (`local` says why); one that is cold is counted, and nothing more is said of it. Before a file is
//! read, the kernel is asked to forget what it has of it, so that it comes from the disk.
//!
//! What is different is marked by the number of its layer, [`WRONG`], for `mend`.

use super::hash::{PIECE, hash_file};
use super::metadata::Attributes;
use super::{ApplyError, Beneath};
use crate::spool::{Contents, Entries, Index, PathQueue};
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::fs::{
    Advice, AtFlags, FileType, Mode, OFlags, RawDir, Stat, fadvise, fstat, lgetxattr, llistxattr,
    makedev, openat, readlinkat, statat,
};
use rustix::io::Errno;
use skiff_protocol::record::{Kind, Metadata};
use std::mem::MaybeUninit;
use std::path::Path;

/// The number of an entry's layer if what stands there is not what the entry says.
pub(super) const WRONG: u16 = 1;

/// Room for names that are read from a directory at once.
const NAMES: usize = 16 * 1024;

/// What is different about one path, in words.
pub type Words = heapless::Vec<&'static str, 8>;

/// The table of contents of a tree: entries of one layer on nothing.
#[derive(Debug)]
pub struct Listing<'a> {
    /// Its contents.
    pub contents: &'a Contents,
    /// Its entries.
    pub entries: &'a mut Entries,
    /// Where they are.
    pub index: &'a Index,
}

/// What a comparison has found.
#[derive(Debug, Default, Clone, Copy)]
pub struct Compared {
    /// Paths that were compared.
    pub paths: u64,
    /// Bytes that were hashed.
    pub bytes: u64,
    /// Files that are cold.
    pub cold: u64,
    /// Paths at which something is different.
    pub different: u64,
}

/// Compares; calls `say` with each path at which something is different. Gives also the paths that no entry has.
pub fn compare(
    listing: &mut Listing<'_>,
    tree: &mut Beneath,
    scratch: &Path,
    say: &mut dyn FnMut(&[u8], &[&str]),
) -> Result<(Compared, PathQueue), ApplyError> {
    let mut found = Compared::default();
    let mut look = Look { room: Attributes::default(), piece: vec![0; PIECE] };
    for place in 0.. {
        let Some(id) = listing.index.get(place)? else { break };
        let stored = listing.entries.get(id)?;
        let (kind, path) = (stored.entry.kind, stored.entry.suffix);
        let (mut words, mut cold) = (Words::new(), false);
        let content = match kind {
            Kind::File { content } => listing.contents.get(content)?,
            _ => None,
        };
        let file = content.map(|row| (row.size, row.sha256));
        look.entry(tree, path, &kind, &stored.entry.meta, file, &mut words, &mut cold)?;
        found.paths += 1;
        found.bytes += if cold { 0 } else { file.map_or(0, |(size, _)| size) };
        found.cold += u64::from(cold);
        let layer = if words.is_empty() { 0 } else { WRONG };
        if layer == WRONG {
            found.different += 1;
            say(path, &words);
        }
        if layer != stored.layer {
            listing.entries.set_layer(id, layer)?;
        }
    }
    let mut extra = PathQueue::create(scratch)?;
    let mut queue = PathQueue::create(scratch)?;
    queue.push(0, b"")?;
    let mut path = Vec::new();
    let mut names = vec![MaybeUninit::uninit(); NAMES];
    while queue.pop(&mut path)?.is_some() {
        let failed = |e| ApplyError::held(&path, e);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match path.is_empty() {
            true => openat(tree.root(), ".", flags, Mode::empty()),
            false => tree.open(&path, flags),
        };
        let directory = directory.map_err(failed)?;
        let len = path.len();
        let mut listed = RawDir::new(&directory, &mut names);
        while let Some(entry) = listed.next() {
            let entry = entry.map_err(|e| ApplyError::held(&path, e))?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            // overlayfs lists the whiteouts of a directory that no lower layer has, too.
            let Ok(stat) = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if len > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            match listing.index.find(listing.entries, &path)? {
                None => {
                    found.different += 1;
                    say(&path, &["is not in the image"]);
                    extra.push(0, &path)?;
                }
                Some(id) if is_directory => {
                    // What should be none is said to be of another kind, with all that is in it.
                    if let Kind::Directory { .. } = listing.entries.get(id)?.entry.kind {
                        queue.push(0, &path)?;
                    }
                }
                Some(_) => {}
            }
            path.truncate(len);
        }
    }
    Ok((found, extra))
}

struct Look {
    room: Attributes,
    piece: Vec<u8>,
}

impl Look {
    /// Looks at what stands at one entry's path.
    #[allow(clippy::too_many_arguments, reason = "an entry, and what is said of it")]
    fn entry(
        &mut self,
        tree: &mut Beneath,
        path: &[u8],
        kind: &Kind<'_>,
        meta: &Metadata<'_>,
        file: Option<(u64, skiff_protocol::Digest)>,
        words: &mut Words,
        cold: &mut bool,
    ) -> Result<(), ApplyError> {
        let mut say = |word| {
            // There are fewer words than room.
            let _ = words.push(word);
        };
        let stood = match tree.parent(path) {
            Ok((parent, name)) => statat(parent, name, AtFlags::SYMLINK_NOFOLLOW),
            Err(e) => Err(e),
        };
        let stat = match stood {
            Ok(stat) => stat,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                say("is missing");
                return Ok(());
            }
            Err(e) => return Err(ApplyError::held(path, e)),
        };
        if let Kind::HardLink { first } = kind {
            let first = tree.open(first, OFlags::PATH).and_then(fstat);
            let same = |first: Stat| (first.st_dev, first.st_ino) == (stat.st_dev, stat.st_ino);
            if !first.is_ok_and(same) {
                say("is not the hard link that it should be");
            }
            return Ok(());
        }
        let (parent, name) = tree.parent(path).map_err(|e| ApplyError::held(path, e))?;
        let (right_type, device) = type_of(kind);
        if FileType::from_raw_mode(stat.st_mode) != right_type {
            say("is of another kind");
            return Ok(());
        }
        if device.is_some_and(|device| device != stat.st_rdev) {
            say("is another device");
        }
        if let Kind::Symlink { target } = kind {
            let there = readlinkat(parent, name, Vec::new());
            if there.map_err(|e| ApplyError::held(path, e))?.as_bytes() != *target {
                say("links elsewhere");
            }
        }
        if right_type == FileType::RegularFile {
            let size = file.map_or(0, |(size, _)| size);
            match file {
                _ if u64::try_from(stat.st_size) != Ok(size) => say("has another size"),
                Some((_, sha256)) => match self.hash(parent, name) {
                    Ok(found) if found == sha256 => {}
                    Ok(_) => say("has other bytes"),
                    Err(Errno::AGAIN) => {
                        *cold = true;
                        return Ok(());
                    }
                    Err(_) => say("can't be read"),
                },
                None => {}
            }
        }
        if right_type != FileType::Symlink && stat.st_mode & 0o7777 != u32::from(meta.mode & 0o7777)
        {
            say("has another mode");
        }
        if (stat.st_uid, stat.st_gid) != (meta.uid, meta.gid) {
            say("has another owner");
        }
        let unnamed = right_type == FileType::Directory && (meta.mtime, meta.mtime_nanos) == (0, 0);
        let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or(-1);
        if !unnamed && (stat.st_mtime, nanos) != (meta.mtime, meta.mtime_nanos.into()) {
            say("has another time");
        }
        if !self.has_attributes(parent, name, meta).map_err(|e| ApplyError::held(path, e))? {
            say("has other attributes");
        }
        Ok(())
    }

    fn hash(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
    ) -> rustix::io::Result<skiff_protocol::Digest> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(parent, name, flags, Mode::empty())?;
        // If it can't, what it has is hashed.
        let _ = fadvise(&file, 0, None, Advice::DontNeed);
        hash_file(&file, &mut self.piece)
    }

    /// Whether a name has the attributes of an entry and no others.
    fn has_attributes(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        meta: &Metadata<'_>,
    ) -> rustix::io::Result<bool> {
        let mut full = format!("/proc/self/fd/{}/", parent.as_raw_fd()).into_bytes();
        full.extend_from_slice(name);
        let Attributes { names, value } = &mut self.room;
        let mut right = 0;
        for attribute in meta.xattrs.iter() {
            let Ok((name, expected)) = attribute else { return Ok(false) };
            match lgetxattr(&*full, name, &mut value[..]) {
                Ok(len) if value[..len] == *expected => right += usize::from(counts(name)),
                Err(Errno::NOTSUP) => {}
                _ => return Ok(false),
            }
        }
        let len = match llistxattr(&*full, &mut names[..]) {
            Err(Errno::NOTSUP) => 0,
            len => len?,
        };
        let there = names[..len].split(|&byte| byte == 0);
        Ok(there.filter(|name| !name.is_empty() && counts(name)).count() == right)
    }
}

/// Whether an attribute is the image's: not a label of a security module or overlayfs's own.
fn counts(name: &[u8]) -> bool {
    name == b"security.capability"
        || !(name.starts_with(b"security.") || name.starts_with(b"trusted."))
}

/// The type of an entry's file, and its number if it is a device.
fn type_of(kind: &Kind<'_>) -> (FileType, Option<u64>) {
    match kind {
        Kind::Directory { .. } => (FileType::Directory, None),
        Kind::Symlink { .. } => (FileType::Symlink, None),
        Kind::CharDevice { major, minor } => {
            (FileType::CharacterDevice, Some(makedev(*major, *minor)))
        }
        Kind::BlockDevice { major, minor } => {
            (FileType::BlockDevice, Some(makedev(*major, *minor)))
        }
        Kind::Fifo => (FileType::Fifo, None),
        _ => (FileType::RegularFile, None),
    }
}
