//! Owner, extended attributes, mode, times: set, from an entry or another file, in the order that loses
//! none of them.
//!
//! `chown` clears setuid, setgid and `security.capability`; writing clears the capability, too
//! (Linux, `security/commoncap.c`); setting a POSIX ACL changes the mode. So: data, owner,
//! attributes, mode, times, as containerd does it (`archive/tar.go`).

use super::ApplyError;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::fs::{
    AtFlags, Gid, Mode, Stat, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chmodat, chownat,
    fchmod, fchown, fgetxattr, flistxattr, fremovexattr, fsetxattr, fstat, futimens, lsetxattr,
    utimensat,
};
use rustix::io::Errno;
use skiff_protocol::record::Metadata;

/// Sets everything on an open file or directory; of a directory the times are set again when all
/// of its entries are there.
pub fn set(fd: impl AsFd, path: &[u8], meta: &Metadata<'_>) -> Result<(), ApplyError> {
    let fd = fd.as_fd();
    let owner = owner(path, meta)?;
    fchown(fd, Some(owner.0), Some(owner.1))
        .map_err(|e| ApplyError::path("set the owner of", path, e))?;
    xattrs(path, meta, |name, value| fsetxattr(fd, name, value, XattrFlags::empty()))?;
    fchmod(fd, mode(meta)).map_err(|e| ApplyError::path("set the mode of", path, e))?;
    futimens(fd, &times(path, meta)?).map_err(|e| ApplyError::path("set the times of", path, e))
}

/// Sets everything on a name that can't be opened: a link, a device, a FIFO.
pub fn set_at(
    parent: BorrowedFd<'_>,
    name: &[u8],
    path: &[u8],
    meta: &Metadata<'_>,
    is_symlink: bool,
) -> Result<(), ApplyError> {
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    let owner = owner(path, meta)?;
    chownat(parent, name, Some(owner.0), Some(owner.1), nofollow)
        .map_err(|e| ApplyError::path("set the owner of", path, e))?;
    // There is no setxattrat before Linux 6.13; /proc names the parent that is open.
    let mut full = format!("/proc/self/fd/{}/", parent.as_raw_fd()).into_bytes();
    full.extend_from_slice(name);
    xattrs(path, meta, |name, value| lsetxattr(&*full, name, value, XattrFlags::empty()))?;
    if !is_symlink {
        chmodat(parent, name, mode(meta), AtFlags::empty())
            .map_err(|e| ApplyError::path("set the mode of", path, e))?;
    }
    utimensat(parent, name, &times(path, meta)?, nofollow)
        .map_err(|e| ApplyError::path("set the times of", path, e))
}

/// Removes what a file has from an earlier name: its extended attributes, as far as the file system has such, but for those
/// of overlayfs.
pub fn clear_xattrs(fd: impl AsFd) -> rustix::io::Result<()> {
    let fd = fd.as_fd();
    let mut names = vec![0; XATTR_MAX];
    let len = match flistxattr(fd, &mut names[..]) {
        Err(Errno::NOTSUP) => 0,
        len => len?,
    };
    for name in names[..len].split(|&byte| byte == 0) {
        // A security module's label belongs to the file's place, and can't be removed.
        let label = name.starts_with(b"security.") && name != b"security.capability";
        if !name.is_empty() && !label && !name.starts_with(b"trusted.overlay.") {
            fremovexattr(fd, name)?;
        }
    }
    Ok(())
}

/// Room for the attributes of a file that is copied.
#[derive(Debug)]
pub struct Attributes {
    pub(super) names: Vec<u8>,
    pub(super) value: Vec<u8>,
}

/// Linux's bound for the names of a file's attributes, and for one value.
const XATTR_MAX: usize = 64 * 1024;

impl Default for Attributes {
    fn default() -> Self {
        Self { names: vec![0; XATTR_MAX], value: vec![0; XATTR_MAX] }
    }
}

/// Gives a file or directory all metadata of another, except for what overlayfs keeps in
/// attributes of a layer. Of a directory all entries must be there.
pub fn copy(
    from: impl AsFd,
    to: impl AsFd,
    path: &[u8],
    room: &mut Attributes,
) -> Result<(), ApplyError> {
    let (from, to) = (from.as_fd(), to.as_fd());
    let stat = fstat(from).map_err(|e| ApplyError::held(path, e))?;
    copy_owner(from, to, path)?;
    let Attributes { names, value } = room;
    let len = match flistxattr(from, &mut names[..]) {
        Err(Errno::NOTSUP) => 0,
        len => len.map_err(|e| ApplyError::held(path, e))?,
    };
    for name in names[..len].split(|&byte| byte == 0) {
        if name.is_empty() || name.starts_with(b"trusted.overlay.") {
            continue;
        }
        let len = fgetxattr(from, name, &mut value[..]).map_err(|e| ApplyError::held(path, e))?;
        match fsetxattr(to, name, &value[..len], XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP) => {}
            Err(e) => return Err(ApplyError::path("set an extended attribute of", path, e)),
        }
    }
    fchmod(to, Mode::from_raw_mode(stat.st_mode))
        .map_err(|e| ApplyError::path("set the mode of", path, e))?;
    copy_times(&stat, to, path)
}

/// Gives a file or directory the times that one had.
pub fn copy_times(stat: &Stat, to: impl AsFd, path: &[u8]) -> Result<(), ApplyError> {
    let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    let times = Timestamps {
        last_access: time(stat.st_atime, i64::try_from(stat.st_atime_nsec).unwrap_or(0)),
        last_modification: time(stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
    };
    futimens(to, &times).map_err(|e| ApplyError::path("set the times of", path, e))
}

/// Gives a file or directory the owner and group of another.
pub fn copy_owner(from: impl AsFd, to: impl AsFd, path: &[u8]) -> Result<(), ApplyError> {
    let stat = fstat(from).map_err(|e| ApplyError::held(path, e))?;
    fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))
        .map_err(|e| ApplyError::path("set the owner of", path, e))
}

/// Sets a directory's times.
pub fn set_times(fd: impl AsFd, path: &[u8], meta: &Metadata<'_>) -> Result<(), ApplyError> {
    futimens(fd, &times(path, meta)?).map_err(|e| ApplyError::path("set the times of", path, e))
}

fn owner(path: &[u8], meta: &Metadata<'_>) -> Result<(Uid, Gid), ApplyError> {
    // (uid_t)-1 means "leave it" to chown(2).
    if meta.uid == u32::MAX || meta.gid == u32::MAX {
        return Err(ApplyError::refused(path, "its owner is not a user or group ID"));
    }
    Ok((Uid::from_raw(meta.uid), Gid::from_raw(meta.gid)))
}

fn mode(meta: &Metadata<'_>) -> Mode {
    Mode::from_raw_mode(u32::from(meta.mode & 0o7777))
}

fn times(path: &[u8], meta: &Metadata<'_>) -> Result<Timestamps, ApplyError> {
    if meta.mtime_nanos >= 1_000_000_000 {
        return Err(ApplyError::refused(path, "its time has a billion nanoseconds or more"));
    }
    Ok(Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: meta.mtime, tv_nsec: meta.mtime_nanos.into() },
    })
}

/// Sets the attributes. As containerd does, those that the file system does not support are left
/// out.
fn xattrs(
    path: &[u8],
    meta: &Metadata<'_>,
    set: impl Fn(&[u8], &[u8]) -> rustix::io::Result<()>,
) -> Result<(), ApplyError> {
    for attribute in meta.xattrs.iter() {
        let (name, value) = attribute
            .map_err(|_| ApplyError::refused(path, "its extended attributes do not decode"))?;
        if name.starts_with(b"trusted.") {
            return Err(ApplyError::refused(
                path,
                "it has an attribute that overlayfs would act on",
            ));
        }
        match set(name, value) {
            Ok(()) | Err(Errno::NOTSUP) => {}
            Err(e) => return Err(ApplyError::path("set an extended attribute of", path, e)),
        }
    }
    Ok(())
}
