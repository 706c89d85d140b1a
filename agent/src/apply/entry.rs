//! Makes what has no content as soon as its entry arrives: directories, symbolic links, devices,
//! FIFOs, whiteouts, empty files. Files come with their contents, hard links at the end.

use super::metadata;
use super::{ApplyError, Beneath};
use rustix::fd::OwnedFd;
use rustix::fs::{
    FileType, Mode, OFlags, XattrFlags, fsetxattr, makedev, mkdirat, mknodat, openat, symlinkat,
};
use skiff_protocol::limits::MAX_TARGET;
use skiff_protocol::path;
use skiff_protocol::record::{Entry, Kind};

/// Makes an entry, whose suffix is its whole path, unless it is a file with content or a hard link.
pub fn make_entry(layer: &mut Beneath, entry: &Entry<'_>) -> Result<(), ApplyError> {
    let (at, meta) = (entry.suffix, &entry.meta);
    path::check(at).map_err(|_| ApplyError::refused(at, "its path is not allowed"))?;
    let (parent, name) =
        layer.parent(at).map_err(|e| ApplyError::path("open the directory of", at, e))?;
    let failed = |verb| move |e| ApplyError::path(verb, at, e);
    match entry.kind {
        Kind::File { .. } | Kind::HardLink { .. } => Ok(()),
        Kind::Directory { opaque } => {
            mkdirat(parent, name, Mode::RWXU).map_err(failed("make the directory"))?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = openat(parent, name, flags, Mode::empty()).map_err(failed("open"))?;
            if opaque {
                fsetxattr(&fd, "trusted.overlay.opaque", b"y", XattrFlags::empty())
                    .map_err(failed("make opaque the directory"))?;
            }
            metadata::set(fd, at, meta)
        }
        Kind::EmptyFile => {
            let fd = create_file(layer, at)?;
            metadata::set(fd, at, meta)
        }
        Kind::Symlink { target } => {
            if target.is_empty() || target.len() > MAX_TARGET || target.contains(&0) {
                return Err(ApplyError::refused(at, "its link target is not allowed"));
            }
            symlinkat(target, parent, name).map_err(failed("make the symbolic link"))?;
            metadata::set_at(parent, name, at, meta, true)
        }
        Kind::CharDevice { major: 0, minor: 0 } => {
            Err(ApplyError::refused(at, "a device 0:0 would be a whiteout"))
        }
        Kind::CharDevice { major, minor } => {
            mknodat(parent, name, FileType::CharacterDevice, Mode::RUSR, makedev(major, minor))
                .map_err(failed("make the device"))?;
            metadata::set_at(parent, name, at, meta, false)
        }
        Kind::BlockDevice { major, minor } => {
            mknodat(parent, name, FileType::BlockDevice, Mode::RUSR, makedev(major, minor))
                .map_err(failed("make the device"))?;
            metadata::set_at(parent, name, at, meta, false)
        }
        Kind::Fifo => {
            mknodat(parent, name, FileType::Fifo, Mode::RUSR, 0)
                .map_err(failed("make the FIFO"))?;
            metadata::set_at(parent, name, at, meta, false)
        }
        Kind::Whiteout => {
            mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), makedev(0, 0))
                .map_err(failed("make the whiteout"))
        }
        _ => Err(ApplyError::refused(at, "it is of a kind that this agent does not know")),
    }
}

/// Creates a file that must not exist, for reading and writing by root alone.
pub fn create_file(layer: &mut Beneath, path: &[u8]) -> Result<OwnedFd, ApplyError> {
    let (parent, name) =
        layer.parent(path).map_err(|e| ApplyError::path("open the directory of", path, e))?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|e| ApplyError::path("create", path, e))
}
