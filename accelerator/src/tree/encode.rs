//! Trees as bytes, for the database; and what applied layers need for the same.
//!
//! Four bytes of magic, then one zstd stream of one postcard value. A map is a sequence of
//! `(shared, suffix, value)` in path order, where a path is the first `shared` bytes of the path
//! before it, and `suffix`; a tree is a map. A change of [`Node`] or of what is around it needs a
//! new magic: old bytes are then refused.

use super::{FileKind, Node, Path, Tree};
use serde::{Serialize, de::DeserializeOwned};
use skiff_protocol::path::shared_prefix;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};

const TREE: [u8; 4] = *b"SKT1";
const LEVEL: i32 = 9;
/// Bytes that a value may have uncompressed.
const MAX: u64 = 2 << 30;
/// Inode numbers stay below this, so that merging can't overflow them.
const MAX_INODE: u64 = 1 << 48;

/// Bytes shared with the path before, the rest of the path, the value.
pub(crate) type Row<V> = (usize, Vec<u8>, V);

/// Why bytes are no tree or layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Another kind of value, or another version's.
    #[error("the stored metadata is of another kind or version; ingest the image again")]
    Magic,
    /// The zstd stream is damaged.
    #[error("the stored metadata can't be decompressed; ingest the image again")]
    Zstd(#[source] io::Error),
    /// The postcard value is damaged.
    #[error("the stored metadata can't be decoded; ingest the image again")]
    Postcard(#[source] postcard::Error),
    /// A value that no tree has.
    #[error("the stored metadata is wrong at `{path}`: {what}; ingest the image again")]
    Invalid {
        /// The path, lossily as text.
        path: String,
        /// What is wrong.
        what: &'static str,
    },
}

impl Tree {
    /// The tree as bytes for [`Tree::decode`]. Equal trees give equal bytes with one zstd version.
    pub fn encode(&self) -> Vec<u8> {
        encode(TREE, &rows(&self.nodes))
    }

    /// Reads what [`Tree::encode`] wrote, and checks it.
    ///
    /// # Errors
    /// The bytes are damaged, or of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let nodes = map(decode(TREE, bytes)?)?;
        check(&nodes, |node| Some(node))?;
        Ok(Self { nodes })
    }
}

pub(crate) fn rows<V>(map: &BTreeMap<Path, V>) -> Vec<(usize, &[u8], &V)> {
    let mut before: &[u8] = &[];
    let mut rows = Vec::with_capacity(map.len());
    for (path, value) in map {
        let shared = shared_prefix(before, path);
        rows.push((shared, &path[shared..], value));
        before = path;
    }
    rows
}

#[expect(clippy::expect_used, reason = "writing to memory fails only when memory is out")]
pub(crate) fn encode(magic: [u8; 4], value: &impl Serialize) -> Vec<u8> {
    let rows = postcard::to_stdvec(value).expect("postcard writes to memory");
    let mut out = magic.to_vec();
    zstd::stream::copy_encode(rows.as_slice(), &mut out, LEVEL).expect("zstd writes to memory");
    out
}

pub(crate) fn decode<T: DeserializeOwned>(magic: [u8; 4], bytes: &[u8]) -> Result<T, DecodeError> {
    let bytes = bytes.strip_prefix(&magic).ok_or(DecodeError::Magic)?;
    let mut plain = Vec::new();
    let stream = zstd::stream::read::Decoder::with_buffer(bytes).map_err(DecodeError::Zstd)?;
    stream.take(MAX + 1).read_to_end(&mut plain).map_err(DecodeError::Zstd)?;
    if plain.len() as u64 > MAX {
        return Err(DecodeError::Zstd(io::Error::from(io::ErrorKind::FileTooLarge)));
    }
    let (value, rest) = postcard::take_from_bytes(&plain).map_err(DecodeError::Postcard)?;
    if !rest.is_empty() {
        return Err(invalid(b"", "bytes follow the last path"));
    }
    Ok(value)
}

pub(crate) fn map<V>(rows: Vec<Row<V>>) -> Result<BTreeMap<Path, V>, DecodeError> {
    let mut before = Path::new();
    let mut map = BTreeMap::new();
    for (shared, suffix, value) in rows {
        let prefix = before.get(..shared).ok_or_else(|| invalid(&suffix, "its prefix is short"))?;
        let path = [prefix, &suffix].concat();
        if path <= before {
            return Err(invalid(&path, "it is out of order"));
        }
        before.clone_from(&path);
        map.insert(path, value);
    }
    Ok(map)
}

/// Checks the paths, that parents are there, and the nodes.
pub(crate) fn check<V>(
    map: &BTreeMap<Path, V>,
    node: impl Fn(&V) -> Option<&Node>,
) -> Result<(), DecodeError> {
    let mut inodes: HashMap<u64, &Node> = HashMap::with_capacity(map.len());
    for (path, value) in map {
        if skiff_protocol::path::check(path).is_err() {
            return Err(invalid(path, "it is no clean path"));
        }
        let parent = path.iter().rposition(|&b| b == b'/').map_or(&[][..], |slash| &path[..slash]);
        let parent_node = map.get(parent).and_then(&node);
        if !parent.is_empty() && parent_node.is_none_or(|node| node.kind != FileKind::Directory) {
            return Err(invalid(path, "its parent is missing"));
        }
        let Some(node) = node(value) else { continue };
        check_node(node).map_err(|what| invalid(path, what))?;
        if let Some(other) = inodes.insert(node.inode, node)
            && (other != node || node.kind == FileKind::Directory)
        {
            return Err(invalid(path, "it shares its inode with something else"));
        }
    }
    Ok(())
}

fn check_node(node: &Node) -> Result<(), &'static str> {
    if node.meta.mode > 0o7777 || node.meta.mtime_nanos >= 1_000_000_000 {
        return Err("its mode or time is out of range");
    }
    if node.inode >= MAX_INODE {
        return Err("its inode number is out of range");
    }
    match &node.kind {
        FileKind::Symlink(target) if target.is_empty() || target.contains(&0) => {
            Err("its symlink target is no path")
        }
        FileKind::File(content) => {
            let mut at = 0;
            for extent in &content.extents {
                let end = extent.offset.checked_add(extent.len);
                let good = extent.len > 0
                    && extent.offset >= at
                    && extent.tar_offset.checked_add(extent.len).is_some();
                match end {
                    Some(end) if good && end <= content.size => at = end,
                    _ => return Err("its extents are out of range"),
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

pub(crate) fn invalid(path: &[u8], what: &'static str) -> DecodeError {
    DecodeError::Invalid { path: String::from_utf8_lossy(path).into_owned(), what }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
