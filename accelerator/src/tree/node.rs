//! The types of a tree.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A path inside an image: relative, `/`-separated, without `.`, `..`, empty components or a
/// trailing slash. Any bytes but NUL. The root itself is the empty path.
pub type Path = Vec<u8>;

/// A merged root file system: every path but the root, in byte order of the path, which puts a
/// directory before its children. Every non-root entry's parent is present and is a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// Path → node.
    pub nodes: BTreeMap<Path, Node>,
}

impl Tree {
    /// The content of the file under this path, if there is one.
    pub fn content(&self, path: &[u8]) -> Option<&Content> {
        match &self.nodes.get(path)?.kind {
            FileKind::File(content) => Some(content),
            _ => None,
        }
    }

    /// Bytes of all files, each name counted.
    pub fn content_bytes(&self) -> u64 {
        let len = |node: &Node| match &node.kind {
            FileKind::File(content) => content.size,
            _ => 0,
        };
        self.nodes.values().map(len).sum()
    }
}

/// One inode under one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Owner, mode, time, extended attributes.
    pub meta: Metadata,
    /// What it is.
    pub kind: FileKind,
    /// Nodes of one tree with the same number are hard links of one inode. Directories have
    /// numbers of their own.
    pub inode: u64,
}

/// What `lstat` and `llistxattr` say, beside type and size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Permission bits with setuid, setgid and sticky (12 bits).
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, whole seconds since 1970.
    pub mtime: i64,
    /// Modification time, nanoseconds (below 10⁹).
    pub mtime_nanos: u32,
    /// Extended attributes, sorted by name. Never `trusted.*`.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link and its target, any bytes.
    Symlink(Vec<u8>),
    /// A character device: major, minor.
    CharDevice(u32, u32),
    /// A block device: major, minor.
    BlockDevice(u32, u32),
    /// A FIFO.
    Fifo,
}

/// A file's bytes and where they can be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// SHA-256 of the whole content, holes read as zeros.
    pub sha256: [u8; 32],
    /// Bytes.
    pub size: u64,
    /// Index of the layer in the image's manifest, base first.
    pub layer: u32,
    /// Where the bytes lie in that layer's uncompressed tar, in ascending `offset`; what no
    /// extent covers is zeros. Empty for an empty file.
    pub extents: Vec<Extent>,
}

/// A run of a file's bytes in a layer's uncompressed tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Offset in the file.
    pub offset: u64,
    /// Offset in the uncompressed tar.
    pub tar_offset: u64,
    /// Bytes.
    pub len: u64,
}

/// The paths of a map that lie below `path`. They need not follow it at once: `a-b` stands between
/// `a` and `a/b`.
pub(crate) fn below<V>(map: &BTreeMap<Path, V>, path: &[u8]) -> Vec<Path> {
    let from = [path, b"/"].concat();
    let to = [path, b"0"].concat(); // the byte after the slash
    map.range(from..to).map(|(path, _)| path.clone()).collect()
}
