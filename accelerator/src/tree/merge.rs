//! Stacks a layer on a tree, as overlayfs looks names up.
//!
//! - Anything but a directory hides what lies below at its path, and all under it.
//! - A directory over a directory merges with it, unless it is opaque; its own metadata counts.
//! - A directory over anything else hides it.
//! - A whiteout hides, and is not seen itself.
//!
//! A directory that its layer doesn't name, only needs, takes its metadata from the lower layers'
//! directory at its path, symlinks followed. containerd does that when it unpacks the layer, and asks
//! the lower layers one by one, each on its own; here the merged tree is asked. The two differ where
//! a lower layer hid that directory (containerd may still find it further down), and where a symlink
//! and what it leads to are in different layers (containerd then finds nothing).

use super::{FileKind, Metadata, Node, Path, Tree};
use crate::layer::path::resolve;
use crate::layer::{AppliedLayer, Entry, Inherit};
use std::collections::BTreeMap;

/// The tree of `lower` with `upper` on it. `layer_index` counts layers, base first; it goes into
/// the contents that `upper` brings. The base layer is merged over an empty tree.
pub fn merge(lower: &Tree, upper: &AppliedLayer, layer_index: u32) -> Tree {
    let first = lower.nodes.values().map(|node| node.inode + 1).max().unwrap_or(0);
    let mut nodes = lower.nodes.clone();
    for (path, entry) in &upper.entries {
        let keep = match entry {
            Entry::Directory { opaque, .. } => !opaque && is_directory(nodes.get(path)),
            Entry::Whiteout | Entry::Node(_) => false,
        };
        if !keep && is_directory(nodes.remove(path).as_ref()) {
            for path in below(&nodes, path) {
                nodes.remove(&path);
            }
        }
        let Some(node) = entry.node() else { continue };
        let mut node = Node { inode: first + node.inode, ..node.clone() };
        if let FileKind::File(content) = &mut node.kind {
            content.layer = layer_index;
        }
        if let Entry::Directory { inherit, .. } = entry {
            fill_in(&mut node.meta, *inherit, lower, path);
        }
        nodes.insert(path.clone(), node);
    }
    Tree { nodes }
}

fn fill_in(meta: &mut Metadata, inherit: Inherit, lower: &Tree, path: &[u8]) {
    if inherit == Inherit::Nothing {
        return;
    }
    let link = |path: &[u8]| match &lower.nodes.get(path)?.kind {
        FileKind::Symlink(target) => Some(target.as_slice()),
        _ => None,
    };
    let below = resolve(path, link).and_then(|path| lower.nodes.get(&path));
    let Some(below) = below.filter(|node| node.kind == FileKind::Directory) else { return };
    if inherit == Inherit::All {
        *meta = below.meta.clone();
    } else {
        for (key, value) in &below.meta.xattrs {
            meta.xattrs.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}

fn is_directory(node: Option<&Node>) -> bool {
    node.is_some_and(|node| node.kind == FileKind::Directory)
}

/// The paths of a map that lie below `path`. They need not follow it at once: `a-b` stands between
/// `a` and `a/b`.
pub(crate) fn below<V>(map: &BTreeMap<Path, V>, path: &[u8]) -> Vec<Path> {
    let from = [path, b"/"].concat();
    let to = [path, b"0"].concat(); // the byte after the slash
    map.range(from..to).map(|(path, _)| path.clone()).collect()
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
