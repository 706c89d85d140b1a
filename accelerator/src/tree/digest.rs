//! A digest of what a device sees of a tree. Where contents come from (layers, extents) and inode
//! numbers are no part of it, so two ways to build the same root file system give the same digest.
//!
//! SHA-256 of the magic `skiff tree 1\n` and then, for each path in byte order (integers
//! little-endian; *bytes* are a `u32` length and the bytes):
//!
//! | field | form |
//! |---|---|
//! | path | bytes |
//! | mode, uid, gid | `u16`, `u32`, `u32` |
//! | mtime | seconds `i64`, nanoseconds `u32` |
//! | extended attributes | their number `u32`; each, in byte order of names: name bytes, value bytes |
//! | kind | `u8`: 0 directory, 1 file, 2 symlink, 3 character device, 4 block device, 5 FIFO |
//! | of a file | size `u64`, SHA-256 of the content (32 bytes) |
//! | of a symlink | target bytes |
//! | of a device | major `u32`, minor `u32` |
//! | link | bytes: the first path, in byte order, of the inode; empty where this is it |

use super::{FileKind, Tree};
use crate::sha256::Sha256;
use std::collections::HashMap;

impl Tree {
    /// The digest that this module's documentation defines.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"skiff tree 1\n");
        let mut first: HashMap<u64, &[u8]> = HashMap::with_capacity(self.nodes.len());
        let mut row = Vec::new();
        for (path, node) in &self.nodes {
            row.clear();
            bytes(&mut row, path);
            let meta = &node.meta;
            row.extend(meta.mode.to_le_bytes());
            row.extend(meta.uid.to_le_bytes());
            row.extend(meta.gid.to_le_bytes());
            row.extend(meta.mtime.to_le_bytes());
            row.extend(meta.mtime_nanos.to_le_bytes());
            len(&mut row, meta.xattrs.len());
            for (name, value) in &meta.xattrs {
                bytes(&mut row, name);
                bytes(&mut row, value);
            }
            kind(&mut row, &node.kind);
            let link = *first.entry(node.inode).or_insert(path);
            bytes(&mut row, if link == path.as_slice() { &[] } else { link });
            hash.update(&row);
        }
        hash.finish().0
    }
}

fn kind(row: &mut Vec<u8>, kind: &FileKind) {
    match kind {
        FileKind::Directory => row.push(0),
        FileKind::File(content) => {
            row.push(1);
            row.extend(content.size.to_le_bytes());
            row.extend(content.sha256);
        }
        FileKind::Symlink(target) => {
            row.push(2);
            bytes(row, target);
        }
        FileKind::CharDevice(major, minor) => device(row, 3, *major, *minor),
        FileKind::BlockDevice(major, minor) => device(row, 4, *major, *minor),
        FileKind::Fifo => row.push(5),
    }
}

fn device(row: &mut Vec<u8>, kind: u8, major: u32, minor: u32) {
    row.push(kind);
    row.extend(major.to_le_bytes());
    row.extend(minor.to_le_bytes());
}

fn bytes(row: &mut Vec<u8>, bytes: &[u8]) {
    len(row, bytes.len());
    row.extend_from_slice(bytes);
}

fn len(row: &mut Vec<u8>, len: usize) {
    // Limits hold all lengths far below 4 GiB.
    row.extend(u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
}
