//! Lays a stack of layers into one directory, a layer without parent that shows the same tree.
//!
//! Each delta makes a stack deeper; when it is too deep, the new image gets a root of its own. No byte
//! of a file is read for that: a file becomes a clone (`FICLONE`) where the file system has them,
//! else another name of the same inode, which nobody writes to. So only link counts may differ
//! from those of an unpacked image.
//!
//! The walk goes from directory to directory, through a queue on disk, and looks at a directory's
//! layers from the top down: a name that is there already hides what comes from below. Whiteouts are made
//! like other entries, as markers, and removed when the directory is done; then it gets its
//! metadata, and nothing touches it any more. With a directory's path the queue keeps how many layers may
//! add to it: those down to the first that is opaque there, or has something else in its place.
//!
//! A file is opened with `O_NONBLOCK` before it is linked: if it is under a lease, it is cold
//! (`local` says more), and must not get a second name. Nor must a file or directory by which overlayfs
//! means another one (`metacopy`, `redirect`; a layer that was a container's may have them). Such a
//! stack stays as it is.

use super::metadata::{self, Attributes};
use super::{ApplyError, Beneath};
use crate::spool::PathQueue;
use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, Stat, fgetxattr, ioctl_ficlone, linkat, makedev,
    mkdirat, mknodat, openat, statat, unlinkat,
};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::path::Path;

/// Room for names that are read from a directory at once.
const NAMES: usize = 16 * 1024;
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Lays `stack`, top first, into the empty directory `to`. The top layer is a temporary one, whose
/// files get their second names here. `scratch` is a directory for a temporary file. After
/// [`super::ApplyTrouble::Unlinkable`] the stack is as it was.
pub fn reroot(stack: &[Beneath], to: &mut Beneath, scratch: &Path) -> Result<(), ApplyError> {
    let mut queue = PathQueue::create(scratch)?;
    let all = u16::try_from(stack.len())
        .map_err(|_| ApplyError::contradiction("a stack of more than 65535 layers"))?;
    queue.push(all, b"")?;
    let mut walk = Walk {
        queue,
        clones: true,
        names: vec![MaybeUninit::uninit(); NAMES],
        attributes: Attributes::default(),
    };
    let mut path = Vec::new();
    while let Some(layers) = walk.queue.pop(&mut path)? {
        let stack = stack.get(..usize::from(layers)).unwrap_or(stack);
        walk.directory(stack, to, &mut path)?;
    }
    Ok(())
}

struct Walk {
    queue: PathQueue,
    /// Whether the file system has shown no sign yet that it can't clone files.
    clones: bool,
    names: Vec<MaybeUninit<u8>>,
    attributes: Attributes,
}

impl Walk {
    /// Lays one directory; puts those in it into the queue. Of `path` only the end changes, and
    /// that only meanwhile.
    fn directory(
        &mut self,
        stack: &[Beneath],
        to: &mut Beneath,
        path: &mut Vec<u8>,
    ) -> Result<(), ApplyError> {
        let target = open(to, path).map_err(|e| ApplyError::path("open", path, e))?;
        let (sources, below) = contributors(stack, path)?;
        let mut markers = false;
        let len = path.len();
        for (number, source) in &sources {
            let mut names = RawDir::new(source, &mut self.names);
            while let Some(entry) = names.next() {
                let entry = entry.map_err(|e| ApplyError::held(path, e))?;
                let name = entry.file_name().to_bytes();
                if name == b"." || name == b".." {
                    continue;
                }
                if len > 0 {
                    path.push(b'/');
                }
                path.extend_from_slice(name);
                let stat = statat(source, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|e| ApplyError::held(path, e))?;
                let made = match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => match mkdirat(&target, name, Mode::RWXU) {
                        Ok(()) => {
                            self.queue.push(below, path)?;
                            Ok(())
                        }
                        Err(e) => Err(e),
                    },
                    FileType::CharacterDevice if is_whiteout(&stat) => {
                        markers = true;
                        let kind = FileType::CharacterDevice;
                        mknodat(&target, name, kind, Mode::empty(), makedev(0, 0))
                    }
                    FileType::RegularFile => {
                        let file = open_file(source, name, path)?;
                        let copy = self.clones && *number > 0 && stat.st_nlink == 1;
                        let cloned =
                            copy && clone(&file, &target, name, path, &mut self.attributes)?;
                        self.clones &= cloned || !copy;
                        if cloned {
                            Ok(())
                        } else {
                            linkat(source, name, &target, name, AtFlags::empty())
                        }
                    }
                    _ => linkat(source, name, &target, name, AtFlags::empty()),
                };
                match made {
                    // One that is there already hides it.
                    Ok(()) | Err(Errno::EXIST) => path.truncate(len),
                    Err(e) => return Err(ApplyError::path("make", path, e)),
                }
            }
        }
        if markers {
            self.remove_markers(&target, path)?;
        }
        let Some((_, top)) = sources.first() else { return Ok(()) };
        metadata::copy(top, &target, path, &mut self.attributes)?;
        // What has no entry is owned as the directory below: so does the snapshotter with a layer.
        match sources.get(1) {
            Some((_, second)) if path.is_empty() => metadata::copy_owner(second, &target, path),
            _ => Ok(()),
        }
    }

    fn remove_markers(&mut self, target: &OwnedFd, path: &[u8]) -> Result<(), ApplyError> {
        let failed = |e| ApplyError::path("clear", path, e);
        // A directory that changes while it is read need not show every name.
        let mut found = true;
        while found {
            found = false;
            let listing = openat(target, ".", DIRECTORY, Mode::empty()).map_err(failed)?;
            let mut names = RawDir::new(&listing, &mut self.names);
            while let Some(entry) = names.next() {
                let entry = entry.map_err(failed)?;
                let name = entry.file_name();
                if !matches!(entry.file_type(), FileType::CharacterDevice | FileType::Unknown) {
                    continue;
                }
                let stat = statat(target, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
                if is_whiteout(&stat) {
                    unlinkat(target, name, AtFlags::empty()).map_err(failed)?;
                    found = true;
                }
            }
        }
        Ok(())
    }
}

fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// The layers that have this directory, top first, with their numbers; and how many layers of the
/// stack may add to the directories in it.
fn contributors(
    stack: &[Beneath],
    path: &[u8],
) -> Result<(Vec<(usize, OwnedFd)>, u16), ApplyError> {
    let mut found = Vec::new();
    let mut upto = stack.len();
    for (number, layer) in stack.iter().enumerate() {
        match open(layer, path) {
            Ok(directory) => {
                refuse(&directory, "trusted.overlay.redirect", path)?;
                let opaque = is_opaque(&directory).map_err(|e| ApplyError::held(path, e))?;
                found.push((number, directory));
                if opaque {
                    upto = number + 1;
                    break;
                }
            }
            Err(Errno::NOENT) => {}
            // A file, a link, a whiteout.
            Err(Errno::NOTDIR | Errno::LOOP) => {
                upto = number;
                break;
            }
            Err(e) => return Err(ApplyError::held(path, e)),
        }
    }
    Ok((found, u16::try_from(upto).unwrap_or(u16::MAX)))
}

fn is_opaque(directory: &OwnedFd) -> rustix::io::Result<bool> {
    let mut value = [0; 2];
    match fgetxattr(directory, "trusted.overlay.opaque", &mut value) {
        Ok(len) => Ok(value.get(..len) == Some(b"y")),
        Err(Errno::NODATA | Errno::NOTSUP | Errno::RANGE) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Refuses what only stands for something else.
fn refuse(file: &OwnedFd, attribute: &str, path: &[u8]) -> Result<(), ApplyError> {
    match fgetxattr(file, attribute, &mut [0; 0][..]) {
        Ok(_) => Err(ApplyError::unlinkable(path, "overlayfs takes it from another place")),
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(()),
        Err(e) => Err(ApplyError::held(path, e)),
    }
}

fn open(layer: &Beneath, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    if path.is_empty() {
        return openat(layer.root(), ".", DIRECTORY, Mode::empty());
    }
    layer.open(path, DIRECTORY)
}

fn open_file(directory: &OwnedFd, name: &[u8], path: &[u8]) -> Result<OwnedFd, ApplyError> {
    let flags =
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file =
        openat(directory, name, flags, Mode::empty()).map_err(|e| ApplyError::held(path, e))?;
    refuse(&file, "trusted.overlay.metacopy", path)?;
    Ok(file)
}

/// Makes a file that shares its blocks with another. Whether that is possible; if the name is
/// taken there is nothing to do.
fn clone(
    file: &OwnedFd,
    target: &OwnedFd,
    name: &[u8],
    path: &[u8],
    attributes: &mut Attributes,
) -> Result<bool, ApplyError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let copy = match openat(target, name, flags, Mode::RUSR | Mode::WUSR) {
        Ok(copy) => copy,
        Err(Errno::EXIST) => return Ok(true),
        Err(e) => return Err(ApplyError::path("create", path, e)),
    };
    if ioctl_ficlone(&copy, file).is_ok() {
        metadata::copy(file, &copy, path, attributes)?;
        return Ok(true);
    }
    unlinkat(target, name, AtFlags::empty()).map_err(|e| ApplyError::path("remove", path, e))?;
    Ok(false)
}

#[cfg(test)]
mod tests;
