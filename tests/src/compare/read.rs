//! Reading a tree. No link is followed, and nothing but regular files is opened.

use super::{FileType, Node, Tree};
use rustix::fs::{lgetxattr, llistxattr};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

impl Tree {
    /// Takes down the tree at `root`.
    pub fn read(root: &Path) -> Self {
        let mut tree = Self::default();
        let mut inodes: BTreeMap<(u64, u64), Vec<Vec<u8>>> = BTreeMap::new();
        let mut contents = BTreeMap::new();
        let mut waiting = vec![Vec::new()];
        while let Some(path) = waiting.pop() {
            let place = root.join(OsStr::from_bytes(&path));
            let metadata = match fs::symlink_metadata(&place) {
                Ok(metadata) => metadata,
                // A whiteout in a directory that no lower layer has: overlayfs lists its name, but
                // says that nothing is there. So nothing is there.
                Err(e) if e.kind() == ErrorKind::NotFound && !path.is_empty() => continue,
                Err(e) => panic!("{place:?}: {e}"),
            };
            if metadata.is_dir() {
                let entries = fs::read_dir(&place).unwrap_or_else(|e| panic!("{place:?}: {e}"));
                for entry in entries {
                    let name = entry.unwrap().file_name().into_vec();
                    let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
                    waiting.push([&path, slash, &name].concat());
                }
            }
            let inode = (metadata.dev(), metadata.ino());
            let mut node = node(&place, &metadata);
            if metadata.is_file() {
                let content = contents.entry(inode).or_insert_with(|| content(&place));
                node.content = Some(*content);
            }
            if metadata.nlink() > 1 && !metadata.is_dir() {
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
        tree
    }
}

fn node(place: &Path, metadata: &Metadata) -> Node {
    let kind = match metadata.file_type() {
        kind if kind.is_dir() => FileType::Directory,
        kind if kind.is_symlink() => FileType::Symlink,
        kind if kind.is_char_device() => FileType::Character,
        kind if kind.is_block_device() => FileType::Block,
        kind if kind.is_fifo() => FileType::Fifo,
        kind if kind.is_socket() => FileType::Socket,
        _ => FileType::File,
    };
    let device = matches!(kind, FileType::Character | FileType::Block);
    let sized = matches!(kind, FileType::File | FileType::Symlink);
    let link = |_| fs::read_link(place).unwrap().into_os_string().into_vec();
    Node {
        kind,
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        size: if sized { metadata.size() } else { 0 },
        content: None,
        target: (kind == FileType::Symlink).then_some(()).map(link),
        rdev: if device { metadata.rdev() } else { 0 },
        xattrs: xattrs(place),
        links: if kind == FileType::Directory { 0 } else { metadata.nlink() },
        group: None,
    }
}

fn content(place: &Path) -> [u8; 32] {
    let mut file = File::open(place).unwrap_or_else(|e| panic!("{place:?}: {e}"));
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer).unwrap_or_else(|e| panic!("{place:?}: {e}")) {
            0 => return hash.finalize().into(),
            length => hash.update(&buffer[..length]),
        }
    }
}

fn xattrs(place: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut list = vec![0_u8; 64 * 1024];
    let length = llistxattr(place, list.as_mut_slice())
        .unwrap_or_else(|e| panic!("xattrs of {place:?}: {e}"));
    let mut found = BTreeMap::new();
    for name in list[..length].split(|&byte| byte == 0) {
        if name.is_empty() || name.starts_with(b"trusted.overlay.") {
            continue;
        }
        let mut value = vec![0_u8; 64 * 1024];
        let length = lgetxattr(place, name, value.as_mut_slice())
            .unwrap_or_else(|e| panic!("xattr of {place:?}: {e}"));
        value.truncate(length);
        found.insert(name.to_vec(), value);
    }
    found
}
