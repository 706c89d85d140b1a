//! Reading a tree. No link in it is followed, and nothing but regular files is opened.

use super::{FileType, Node, Tree};
use rustix::fs::{AtFlags, CWD, Statx, StatxFlags, lgetxattr, llistxattr, makedev, statx};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A tree can't be read.
#[derive(Debug)]
pub struct ReadError {
    /// Where it stopped.
    pub path: PathBuf,
    /// What of the path can't be read.
    pub what: &'static str,
    /// Why.
    pub source: io::Error,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't read the {} of {}", self.what, self.path.display())
    }
}

impl Error for ReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// Turns an error of the system into ours.
fn failed<E: Into<io::Error>>(path: &Path, what: &'static str) -> impl Fn(E) -> ReadError {
    move |e| ReadError { path: path.to_owned(), what, source: e.into() }
}

impl Tree {
    /// Takes down the tree in the directory `root`, which may be a link to one.
    pub fn read(root: &Path) -> Result<Self, ReadError> {
        let mut tree = Self::default();
        let mut inodes: BTreeMap<Inode, Vec<Vec<u8>>> = BTreeMap::new();
        let mut contents = BTreeMap::new();
        let mut waiting = vec![Vec::new()];
        while let Some(path) = waiting.pop() {
            let place = root.join(OsStr::from_bytes(&path));
            let status = match status(&place) {
                Ok(status) => status,
                // A whiteout in a directory that no lower layer has: overlayfs lists its name, but
                // says that nothing is there. So nothing is there.
                Err(rustix::io::Errno::NOENT) if !path.is_empty() => continue,
                Err(e) => return Err(failed(&place, "status")(e)),
            };
            let mut node = node(&place, &status)?;
            let inode = (status.stx_dev_major, status.stx_dev_minor, status.stx_ino);
            match node.kind {
                FileType::Directory => {
                    for name in names(&place)? {
                        let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
                        waiting.push([&path, slash, &name].concat());
                    }
                }
                FileType::File => {
                    let hash = match contents.get(&inode) {
                        Some(hash) => *hash,
                        None => content(&place)?,
                    };
                    contents.insert(inode, hash);
                    node.content = Some(hash);
                }
                _ => {}
            }
            if node.links > 1 {
                inodes.entry(inode).or_default().push(path.clone());
            }
            tree.nodes.insert(path, node);
        }
        for mut group in inodes.into_values().filter(|group| group.len() > 1) {
            group.sort();
            for path in &group {
                if let Some(node) = tree.nodes.get_mut(path) {
                    node.group = Some(group[0].clone());
                }
            }
        }
        Ok(tree)
    }
}

/// Device (major, minor) and inode number.
type Inode = (u32, u32, u64);

/// `statx`, whose numbers have the same width on every machine. The standard library's times end
/// in 2038 on 32-bit musl.
fn status(place: &Path) -> rustix::io::Result<Statx> {
    statx(CWD, place, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)
}

fn node(place: &Path, status: &Statx) -> Result<Node, ReadError> {
    let mode = u32::from(status.stx_mode);
    let kind = match rustix::fs::FileType::from_raw_mode(mode) {
        rustix::fs::FileType::Directory => FileType::Directory,
        rustix::fs::FileType::Symlink => FileType::Symlink,
        rustix::fs::FileType::CharacterDevice => FileType::Character,
        rustix::fs::FileType::BlockDevice => FileType::Block,
        rustix::fs::FileType::Fifo => FileType::Fifo,
        rustix::fs::FileType::Socket => FileType::Socket,
        _ => FileType::File,
    };
    let device = matches!(kind, FileType::Character | FileType::Block);
    let sized = matches!(kind, FileType::File | FileType::Symlink);
    let target = match kind {
        FileType::Symlink => {
            let target = fs::read_link(place).map_err(failed(place, "link target"))?;
            Some(target.into_os_string().into_vec())
        }
        _ => None,
    };
    Ok(Node {
        kind,
        mode: mode & 0o7777,
        uid: status.stx_uid,
        gid: status.stx_gid,
        mtime: (status.stx_mtime.tv_sec, status.stx_mtime.tv_nsec.into()),
        size: if sized { status.stx_size } else { 0 },
        content: None,
        target,
        rdev: if device { makedev(status.stx_rdev_major, status.stx_rdev_minor) } else { 0 },
        xattrs: xattrs(place)?,
        links: if kind == FileType::Directory { 0 } else { status.stx_nlink.into() },
        group: None,
    })
}

fn names(place: &Path) -> Result<Vec<Vec<u8>>, ReadError> {
    let entries = fs::read_dir(place).map_err(failed(place, "names"))?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().into_vec()));
    names.collect::<io::Result<_>>().map_err(failed(place, "names"))
}

fn content(place: &Path) -> Result<[u8; 32], ReadError> {
    let mut file = File::open(place).map_err(failed(place, "content"))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer).map_err(failed(place, "content"))? {
            0 => return Ok(hash.finalize().into()),
            length => hash.update(&buffer[..length]),
        }
    }
}

fn xattrs(place: &Path) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, ReadError> {
    let mut list = vec![0_u8; 64 * 1024];
    let length = llistxattr(place, list.as_mut_slice()).map_err(failed(place, "xattrs"))?;
    let mut found = BTreeMap::new();
    for name in list[..length].split(|&byte| byte == 0) {
        if name.is_empty() || name.starts_with(b"trusted.overlay.") {
            continue;
        }
        let mut value = vec![0_u8; 64 * 1024];
        let length =
            lgetxattr(place, name, value.as_mut_slice()).map_err(failed(place, "xattrs"))?;
        value.truncate(length);
        found.insert(name.to_vec(), value);
    }
    Ok(found)
}
