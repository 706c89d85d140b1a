//! Opens paths below a directory, and never outside it.
//!
//! `openat2` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS` (Linux 5.6) does it in one call. Where
//! it is missing (older kernels, and qemu-user before 9.2) a walk opens each component with
//! `O_NOFOLLOW`, which takes neither `..` nor a symbolic link.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::{Errno, Result};
use std::cell::Cell;
use std::path::Path;

/// A directory that paths are opened below.
#[derive(Debug)]
pub struct Beneath {
    root: OwnedFd,
    walk: Cell<bool>,
    /// The parent that was opened last: entries of one directory come one behind the other.
    last: Option<(Vec<u8>, OwnedFd)>,
}

/// Opens a directory that is named by this device's own configuration.
pub fn open_directory(path: &Path) -> Result<OwnedFd> {
    openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

impl Beneath {
    /// Paths below this directory.
    pub fn new(root: OwnedFd) -> Self {
        Self { root, walk: Cell::new(false), last: None }
    }

    /// The directory itself.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens a path, which must have passed [`skiff_protocol::path::check`].
    pub fn open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if !self.walk.get() {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            match openat2(&self.root, path, flags, Mode::empty(), resolve) {
                Err(Errno::NOSYS | Errno::PERM) => self.walk.set(true),
                result => return result,
            }
        }
        self.open_by_walk(path, flags)
    }

    fn open_by_walk(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at: Option<OwnedFd> = None;
        let mut names = path.split(|&byte| byte == b'/').peekable();
        while let Some(name) = names.next() {
            if name.is_empty() || name == b"." || name == b".." {
                return Err(Errno::XDEV);
            }
            let directory = at.as_ref().unwrap_or(&self.root);
            if names.peek().is_none() {
                return openat(directory, name, flags, Mode::empty());
            }
            at = Some(openat(directory, name, step, Mode::empty())?);
        }
        Err(Errno::NOENT)
    }

    /// Opens the parent of a path; gives it with the path's last component.
    pub fn parent<'p>(&mut self, path: &'p [u8]) -> Result<(BorrowedFd<'_>, &'p [u8])> {
        let Some(slash) = path.iter().rposition(|&byte| byte == b'/') else {
            return Ok((self.root.as_fd(), path));
        };
        let (parent, name) = (&path[..slash], &path[slash + 1..]);
        if self.last.as_ref().is_none_or(|(last, _)| last != parent) {
            let fd = self.open(parent, OFlags::RDONLY | OFlags::DIRECTORY)?;
            self.last = Some((parent.to_vec(), fd));
        }
        let fd = self.last.as_ref().map_or(self.root.as_fd(), |(_, fd)| fd.as_fd());
        Ok((fd, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_outside_can_be_opened() {
        let directory = tempfile::tempdir().unwrap();
        let inside = directory.path().join("inside");
        std::fs::create_dir_all(inside.join("real")).unwrap();
        std::fs::write(directory.path().join("secret"), "").unwrap();
        std::fs::write(inside.join("real/file"), "").unwrap();
        symlink("..", inside.join("up")).unwrap();
        symlink(directory.path(), inside.join("away")).unwrap();
        symlink("real", inside.join("near")).unwrap();
        symlink("real/file", inside.join("link")).unwrap();
        for walk in [false, true] {
            let beneath = Beneath::new(open_directory(&inside).unwrap());
            beneath.walk.set(walk);
            assert!(beneath.open(b"real/file", OFlags::RDONLY).is_ok());
            let bad: [&[u8]; 8] = [
                b"../secret",
                b"/etc/passwd",
                b"up/secret",
                b"away/secret",
                b"near/file",
                b"link",
                b"real/../../secret",
                b"real/missing",
            ];
            for path in bad {
                let opened = beneath.open(path, OFlags::RDONLY);
                assert!(opened.is_err(), "walk {walk}: {}", path.escape_ascii());
            }
        }
    }

    #[test]
    fn a_parent_is_opened_once_and_never_through_a_link() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("d")).unwrap();
        symlink("d", directory.path().join("l")).unwrap();
        let mut beneath = Beneath::new(open_directory(directory.path()).unwrap());
        assert_eq!(beneath.parent(b"top").unwrap().1, b"top");
        assert_eq!(beneath.parent(b"d/one").unwrap().1, b"one");
        std::fs::rename(directory.path().join("d"), directory.path().join("e")).unwrap();
        assert_eq!(beneath.parent(b"d/two").unwrap().1, b"two");
        assert!(beneath.parent(b"l/three").is_err());
    }
}
