//! The delta layer: what an overlayfs layer must hold so that, on top of `parent`, it shows `want`.
//!
//! - A name is *equal* in both trees if metadata, kind, content (SHA-256 and size) and its group of
//!   hard links (the set of names of its inode) are equal. Only names that are not equal become
//!   entries. So a group is always in one layer as a whole.
//! - A directory on the way to an entry is an entry, equal or not: in the upper layer it hides the
//!   lower directory's metadata.
//! - A name that is gone gets a whiteout, unless something above it hides it already: an entry of
//!   another kind in place of one of its directories, a whiteout of one of them, or an opaque
//!   directory.
//! - A directory is opaque where the parent has something else under its name, and where the parent
//!   has names in it that are gone and nothing below it is equal, so that one attribute stands for
//!   all the whiteouts.
//!
//! overlayfs' `metacopy` and `redirect_dir` are never used: stock containerd mounts without them.

use crate::tree::{Content, FileKind, Node, Tree};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// A name in a delta layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Path from the root.
    pub path: &'a [u8],
    /// What is there.
    pub kind: EntryKind<'a>,
}

/// What a delta layer has under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind<'a> {
    /// A node of the wanted tree, the first of its hard links in byte order.
    Node {
        /// The node.
        node: &'a Node,
        /// For directories: hides everything that the parent has there.
        opaque: bool,
    },
    /// Another name of the node at `first`, which is an earlier entry.
    HardLink {
        /// The first name in byte order.
        first: &'a [u8],
    },
    /// Hides the parent's entry.
    Whiteout,
}

impl<'a> Entry<'a> {
    /// The content that this entry needs, if it is a file that is not empty.
    pub fn content(&self) -> Option<&'a Content> {
        match self.kind {
            EntryKind::Node { node: Node { kind: FileKind::File(content), .. }, .. } => {
                (content.size > 0).then_some(content)
            }
            _ => None,
        }
    }
}

/// The entries of the layer that turns `parent` into `want`, in byte order of their paths. Without
/// a parent: the whole tree.
pub fn delta<'a>(parent: Option<&'a Tree>, want: &'a Tree) -> Vec<Entry<'a>> {
    static EMPTY: Tree = Tree { nodes: BTreeMap::new() };
    let comparison = Comparison::new(parent.unwrap_or(&EMPTY), want);
    let changed = comparison.changed();
    let gone: Vec<&[u8]> = parent.map_or_else(Vec::new, |parent| topmost_gone(parent, want));
    let mut names: BTreeSet<&[u8]> = BTreeSet::new();
    for path in changed.iter().chain(&gone) {
        names.extend(ancestors(path).take_while(|dir| !names.contains(dir)).collect::<Vec<_>>());
    }
    names.extend(&changed);
    let opaque = opaque_directories(&comparison, &names, &gone);
    let mut entries: Vec<Entry<'a>> = names
        .iter()
        .filter_map(|path| want.nodes.get_key_value(*path))
        .map(|(path, node)| Entry { path, kind: comparison.entry_kind(path, node, &opaque) })
        .collect();
    let hidden = |path: &[u8]| ancestors(path).any(|dir| opaque.contains(dir));
    entries.extend(
        parent
            .into_iter()
            .flat_map(|parent| gone.iter().filter_map(|path| parent.nodes.get_key_value(*path)))
            .filter(|(path, _)| !hidden(path))
            .map(|(path, _)| Entry { path, kind: EntryKind::Whiteout }),
    );
    entries.sort_unstable_by_key(|entry| entry.path);
    entries
}

/// The directories that a path lies in, the nearest first, without the root.
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(above(path), |dir| above(dir))
}

fn above(path: &[u8]) -> Option<&[u8]> {
    path.iter().rposition(|&byte| byte == b'/').map(|slash| &path[..slash])
}

/// Names of the parent that are gone while their directory is still a directory.
fn topmost_gone<'a>(parent: &'a Tree, want: &Tree) -> Vec<&'a [u8]> {
    let is_dir = |path: &[u8]| want.nodes.get(path).is_some_and(|n| n.kind == FileKind::Directory);
    parent
        .nodes
        .keys()
        .map(Vec::as_slice)
        .filter(|path| !want.nodes.contains_key(*path) && above(path).is_none_or(is_dir))
        .collect()
}

/// The topmost directories among `names` that must, or for brevity should, be opaque.
fn opaque_directories<'a>(
    comparison: &Comparison<'a>,
    names: &BTreeSet<&[u8]>,
    gone: &[&[u8]],
) -> HashSet<&'a [u8]> {
    let mut keeps = HashSet::new();
    for path in comparison.want.nodes.keys().filter(|path| !names.contains(path.as_slice())) {
        for dir in ancestors(path) {
            if !keeps.insert(dir) {
                break;
            }
        }
    }
    let loses: HashSet<&[u8]> = gone.iter().filter_map(|path| above(path)).collect();
    let mut opaque = HashSet::new();
    for (path, node) in names.iter().filter_map(|path| comparison.want.nodes.get_key_value(*path)) {
        let path = path.as_slice();
        if node.kind != FileKind::Directory || ancestors(path).any(|dir| opaque.contains(dir)) {
            continue;
        }
        let replaces = comparison.parent.nodes.get(path).is_some_and(|n| n.kind != node.kind);
        if replaces || (loses.contains(path) && !keeps.contains(path)) {
            opaque.insert(path);
        }
    }
    opaque
}

/// Two trees and their hard links.
struct Comparison<'a> {
    parent: &'a Tree,
    want: &'a Tree,
    parent_links: HashMap<u64, Vec<&'a [u8]>>,
    want_links: HashMap<u64, Vec<&'a [u8]>>,
}

impl<'a> Comparison<'a> {
    fn new(parent: &'a Tree, want: &'a Tree) -> Self {
        Self { parent, want, parent_links: links(parent), want_links: links(want) }
    }

    fn changed(&self) -> Vec<&'a [u8]> {
        let want = self.want.nodes.iter();
        want.filter(|(path, node)| !self.is_equal(path, node)).map(|(path, _)| &path[..]).collect()
    }

    fn is_equal(&self, path: &[u8], want: &Node) -> bool {
        self.parent.nodes.get(path).is_some_and(|parent| {
            parent.meta == want.meta
                && same_kind(&parent.kind, &want.kind)
                && self.parent_links.get(&parent.inode) == self.want_links.get(&want.inode)
        })
    }

    fn entry_kind(&self, path: &[u8], node: &'a Node, opaque: &HashSet<&[u8]>) -> EntryKind<'a> {
        match self.want_links.get(&node.inode).and_then(|names| names.first()) {
            Some(first) if *first != path => EntryKind::HardLink { first },
            _ => EntryKind::Node { node, opaque: opaque.contains(path) },
        }
    }
}

/// Names of each inode that has more than one, in byte order.
pub(super) fn links(tree: &Tree) -> HashMap<u64, Vec<&[u8]>> {
    let mut count: HashMap<u64, u32> = HashMap::new();
    for node in tree.nodes.values() {
        *count.entry(node.inode).or_default() += 1;
    }
    let mut links: HashMap<u64, Vec<&[u8]>> = HashMap::new();
    for (path, node) in tree.nodes.iter().filter(|(_, node)| count[&node.inode] > 1) {
        links.entry(node.inode).or_default().push(path);
    }
    links
}

pub(super) fn same_kind(a: &FileKind, b: &FileKind) -> bool {
    match (a, b) {
        (FileKind::File(a), FileKind::File(b)) => a.sha256 == b.sha256 && a.size == b.size,
        (a, b) => a == b,
    }
}

/// A layer laid over a tree as overlayfs does it: the tests' own reading of the rules.
#[cfg(test)]
pub(crate) fn overlay(lower: &Tree, layer: &[Entry<'_>]) -> Tree {
    let mut merged: BTreeMap<Vec<u8>, Node> = lower.nodes.clone();
    let below = |path: &[u8]| [path, b"/"].concat();
    // The layer hides things of the lower tree only, so hide first.
    for entry in layer {
        let is_dir = |node: &Node| node.kind == FileKind::Directory;
        let hides_tree = match entry.kind {
            EntryKind::Node { node, opaque } => opaque || !is_dir(node),
            EntryKind::HardLink { .. } | EntryKind::Whiteout => true,
        };
        let lower_is_dir = lower.nodes.get(entry.path).is_some_and(is_dir);
        if hides_tree || !lower_is_dir {
            let prefix = below(entry.path);
            merged.retain(|path, _| !path.starts_with(&prefix));
        }
        merged.remove(entry.path);
    }
    let next = lower.nodes.values().map(|node| node.inode).max().map_or(0, |inode| inode + 1);
    for (inode, entry) in (next..).zip(layer) {
        match entry.kind {
            EntryKind::Node { node, .. } => {
                merged.insert(entry.path.to_vec(), Node { inode, ..node.clone() });
            }
            EntryKind::HardLink { first } => {
                let node = merged[first].clone();
                merged.insert(entry.path.to_vec(), node);
            }
            EntryKind::Whiteout => {}
        }
    }
    Tree { nodes: merged }
}

#[cfg(test)]
#[path = "delta_tests.rs"]
mod tests;
