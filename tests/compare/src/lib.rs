//! The comparer: is this tree the tree that containerd's own unpack gives?
//!
//! [`Tree::read`] takes down everything that a program inside the container could see of a
//! mounted tree, without following any link; [`differences`] lays two of them side by side. A tree
//! can be read on one machine and compared on another: [`Tree::to_bytes`], [`Tree::from_bytes`].
//!
//! | compared | not compared |
//! |---|---|
//! | names (bytes), types, 12 mode bits, owners | atime, ctime, inode numbers |
//! | mtime in nanoseconds | the root's mtime |
//! | size, content, link target, device number | mtime of a directory that no layer names |
//! | xattrs that can be listed | `trusted.overlay.*`, the kernel's own |
//! | hard-link groups | |
//! | link count where stock's whole group is visible | |
//!
//! A directory that no layer names gets its mtime while stock unpacks: such directories are known
//! by an mtime between the start and the end of the unpack.

mod read;
#[cfg(test)]
mod tests;

pub use read::ReadError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names of the seven file types")]
pub enum FileType {
    File,
    Directory,
    Symlink,
    Character,
    Block,
    Fifo,
    Socket,
}

/// All that is visible of one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// What it is.
    pub kind: FileType,
    /// 12 bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds and nanoseconds.
    pub mtime: (i64, i64),
    /// Bytes; 0 for what isn't a file or a symbolic link.
    pub size: u64,
    /// SHA-256 of a file.
    pub content: Option<[u8; 32]>,
    /// Where a symbolic link points.
    pub target: Option<Vec<u8>>,
    /// Device number, of a device.
    pub rdev: u64,
    /// Extended attributes.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Link count; 0 for directories.
    pub links: u64,
    /// First path (in byte order) of its hard-link group, where that has several.
    pub group: Option<Vec<u8>>,
}

/// A tree: path (bytes, without a slash in front; the root is empty) → node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// The nodes.
    pub nodes: BTreeMap<Vec<u8>, Node>,
}

impl Tree {
    /// The tree as postcard: the same bytes on every machine.
    pub fn to_bytes(&self) -> postcard::Result<Vec<u8>> {
        postcard::to_allocvec(self)
    }

    /// What [`Tree::to_bytes`] wrote. Bytes after its end are an error.
    pub fn from_bytes(bytes: &[u8]) -> postcard::Result<Self> {
        match postcard::take_from_bytes(bytes)? {
            (tree, []) => Ok(tree),
            _ => Err(postcard::Error::DeserializeBadEncoding),
        }
    }

    /// Bytes of its distinct contents, and how many of those `old` has not.
    pub fn content_bytes(&self, old: &Self) -> (u64, u64) {
        let contents = |tree: &Self| -> BTreeMap<[u8; 32], u64> {
            let nodes = tree.nodes.values();
            nodes.filter_map(|node| node.content.map(|content| (content, node.size))).collect()
        };
        let held = contents(old);
        let all = contents(self);
        let fresh = all.iter().filter(|(content, _)| !held.contains_key(*content));
        (all.values().sum(), fresh.map(|(_, size)| size).sum())
    }
}

/// One thing that isn't the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub path: String,
    /// What: `mode`, `mtime`, `content`, …
    pub what: &'static str,
    /// As stock has it.
    pub stock: String,
    /// As the other tree has it.
    pub other: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, what, stock, other } = self;
        write!(f, "/{path}: {what}: stock {stock}, here {other}")
    }
}

/// When stock unpacked: first and last second, since 1970.
pub type Unpacked = std::ops::RangeInclusive<i64>;

/// No time of a directory is excused.
pub const NEVER: Unpacked = i64::MAX..=i64::MAX;

/// All differences, in path order.
pub fn differences(stock: &Tree, other: &Tree, unpacked: &Unpacked) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut paths: Vec<_> = stock.nodes.keys().chain(other.nodes.keys()).collect();
    paths.sort();
    paths.dedup();
    let sizes = group_sizes(stock);
    for path in paths {
        let text = path.escape_ascii().to_string();
        let mut say = |what, stock: String, other: String| {
            if stock != other {
                found.push(Difference { path: text.clone(), what, stock, other });
            }
        };
        match (stock.nodes.get(path), other.nodes.get(path)) {
            (Some(node), None) => say("missing", format!("{:?}", node.kind), "nothing".into()),
            (None, Some(node)) => say("extra", "nothing".into(), format!("{:?}", node.kind)),
            (Some(ours), Some(theirs)) => {
                let unnamed = ours.kind == FileType::Directory && unpacked.contains(&ours.mtime.0);
                let times = !path.is_empty() && !unnamed;
                let links = ours.links == sizes.get(path).copied().unwrap_or(1);
                for ((what, stock), (_, other)) in
                    facts(ours, times, links).into_iter().zip(facts(theirs, times, links))
                {
                    say(what, stock, other);
                }
                for name in ours.xattrs.keys().chain(theirs.xattrs.keys()) {
                    let value = |node: &Node| match node.xattrs.get(name) {
                        Some(value) => format!("{}={}", name.escape_ascii(), value.escape_ascii()),
                        None => "none".to_owned(),
                    };
                    say("xattr", value(ours), value(theirs));
                }
            }
            (None, None) => {}
        }
    }
    found.dedup();
    found
}

/// Fails with the first differences, if there are any. `row` names the case.
pub fn assert_same(row: &str, stock: &Tree, other: &Tree, unpacked: &Unpacked) {
    if let Some(said) = report(stock, other, unpacked) {
        panic!("{row}: {said}");
    }
}

/// The first differences as text, or nothing.
pub fn report(stock: &Tree, other: &Tree, unpacked: &Unpacked) -> Option<String> {
    let found = differences(stock, other, unpacked);
    if found.is_empty() {
        return None;
    }
    let mut said = format!("{} differences", found.len());
    for difference in found.iter().take(20) {
        said.push_str(&format!("\n    {difference}"));
    }
    Some(said)
}

fn facts(node: &Node, times: bool, links: bool) -> Vec<(&'static str, String)> {
    let bytes = |bytes: &Option<Vec<u8>>| match bytes {
        Some(bytes) => bytes.escape_ascii().to_string(),
        None => "none".to_owned(),
    };
    let hex = |content: [u8; 32]| content.iter().map(|byte| format!("{byte:02x}")).collect();
    vec![
        ("type", format!("{:?}", node.kind)),
        ("mode", format!("{:04o}", node.mode)),
        ("uid", node.uid.to_string()),
        ("gid", node.gid.to_string()),
        (
            "mtime",
            if times { format!("{}.{:09}", node.mtime.0, node.mtime.1) } else { String::new() },
        ),
        ("size", node.size.to_string()),
        ("content", node.content.map_or_else(String::new, hex)),
        ("link target", bytes(&node.target)),
        ("device", node.rdev.to_string()),
        ("hard-link group", bytes(&node.group)),
        ("link count", if links { node.links.to_string() } else { String::new() }),
    ]
}

fn group_sizes(tree: &Tree) -> BTreeMap<Vec<u8>, u64> {
    let mut members: BTreeMap<&[u8], Vec<&Vec<u8>>> = BTreeMap::new();
    for (path, node) in &tree.nodes {
        if let Some(group) = &node.group {
            members.entry(group).or_default().push(path);
        }
    }
    let each = members.into_values().flat_map(|paths| {
        let count = paths.len() as u64;
        paths.into_iter().map(move |path| (path.clone(), count))
    });
    each.collect()
}
