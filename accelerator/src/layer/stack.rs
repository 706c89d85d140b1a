//! Stacks layers to a tree, as overlayfs looks names up.
//!
//! - Anything but a directory hides what lies below at its path, and all under it.
//! - A directory over a directory merges with it, unless it is opaque; its own metadata counts.
//! - A directory over anything else hides it.
//! - A whiteout hides, and is not seen itself.
//!
//! A directory that its layer doesn't name, only needs, takes its metadata from below when
//! containerd unpacks the layer (`mkparent` in `archive/tar.go`): from the topmost lower layer that
//! has the path *by itself*, through that layer's own symlinks and past the whiteouts and opaque
//! marks of others. The merged tree can't answer that, so the layers are kept until the end.
//! Where a lower layer has something else than a directory above the path, containerd refuses the
//! image; this goes on with the next lower layer.

use super::path::resolve;
use super::{AppliedLayer, Entries, Entry, Inherit};
use crate::tree::{FileKind, Metadata, Node, Tree, below};

/// An image's layers so far, merged.
#[derive(Debug, Default)]
pub struct Stack {
    tree: Tree,
    layers: Vec<Entries>,
    next_inode: u64,
}

/// The tree of an image's layers, the lowest first.
pub fn merge(layers: impl IntoIterator<Item = AppliedLayer>) -> Tree {
    let mut stack = Stack::default();
    layers.into_iter().for_each(|layer| stack.push(layer));
    stack.into_tree()
}

impl Stack {
    /// Puts a layer on top.
    pub fn push(&mut self, layer: AppliedLayer) {
        let lowest = self.layers.is_empty();
        let mut entries = layer.base.filter(|_| lowest).unwrap_or(layer.entries);
        let index = u32::try_from(self.layers.len()).unwrap_or(u32::MAX);
        let first = self.next_inode;
        let nodes = &mut self.tree.nodes;
        for (path, entry) in &mut entries {
            if let Entry::Directory { node, inherit, .. } = entry {
                fill_in(&mut node.meta, *inherit, &self.layers, path);
            }
            let keep = match entry {
                Entry::Directory { opaque, .. } => !*opaque && is_directory(nodes.get(path)),
                Entry::Whiteout | Entry::Node(_) => false,
            };
            if !keep && is_directory(nodes.remove(path).as_ref()) {
                for path in below(nodes, path) {
                    nodes.remove(&path);
                }
            }
            let Some(node) = entry.node() else { continue };
            let mut node = Node { inode: first + node.inode, ..node.clone() };
            self.next_inode = self.next_inode.max(node.inode + 1);
            if let FileKind::File(content) = &mut node.kind {
                content.layer = index;
            }
            nodes.insert(path.clone(), node);
        }
        self.layers.push(entries);
    }

    /// The merged tree.
    pub fn into_tree(self) -> Tree {
        self.tree
    }
}

fn fill_in(meta: &mut Metadata, inherit: Inherit, lower: &[Entries], path: &[u8]) {
    if inherit == Inherit::Nothing {
        return;
    }
    let Some(below) = directory(lower, path) else { return };
    if inherit == Inherit::All {
        *meta = below.clone();
    } else {
        for (key, value) in &below.xattrs {
            meta.xattrs.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// The directory that the topmost layer which has the path by itself has there.
fn directory<'l>(layers: &'l [Entries], path: &[u8]) -> Option<&'l Metadata> {
    for entries in layers.iter().rev() {
        let link = |path: &[u8]| match &entries.get(path)?.node()?.kind {
            FileKind::Symlink(target) => Some(target.as_slice()),
            _ => None,
        };
        match entries.get(&resolve(path, link)?) {
            Some(Entry::Directory { node, .. }) => return Some(&node.meta),
            Some(_) => return None,
            None => {}
        }
    }
    None
}

fn is_directory(node: Option<&Node>) -> bool {
    node.is_some_and(|node| node.kind == FileKind::Directory)
}

#[cfg(test)]
#[path = "stack_tests.rs"]
mod tests;
