//! What one layer's own directory holds after containerd unpacked it: overlayfs's upper directory.

use crate::tree::{Node, Path};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Path → entry. Every entry's parent is here and is a directory, or is the root.
pub type Entries = BTreeMap<Path, Entry>;

/// A layer unpacked on its own: what it adds and what it hides.
///
/// containerd unpacks an image's lowest layer otherwise than those above: there a whiteout deletes
/// what the same layer wrote before, above it is kept for overlayfs. Images share layers in any
/// place, so both results are here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedLayer {
    /// Unpacked above other layers.
    pub entries: Entries,
    /// Unpacked as the lowest layer, if that differs in more than marks. (If containerd refuses
    /// the layer there, then this is absent too, and `entries` stand in.)
    pub base: Option<Entries>,
}

/// One path of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// The path, and all below it, is gone.
    Whiteout,
    /// Anything but a directory. Its `layer` numbers are 0 until it is merged.
    Node(Node),
    /// A directory.
    Directory {
        /// Its node.
        node: Node,
        /// Hides all that lower layers have below it.
        opaque: bool,
        /// What it takes from the lower layers' directory at its path, if there is one.
        inherit: Inherit,
    },
}

/// What an implicitly made directory takes from the lower layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Inherit {
    /// Nothing: the layer has an entry for it.
    Nothing,
    /// Extended attributes that it doesn't set itself: first made as a missing parent, then given
    /// an entry.
    Xattrs,
    /// Mode, owner, time and extended attributes: only made as a missing parent.
    All,
}

impl Entry {
    /// The node, if the path isn't a whiteout.
    pub fn node(&self) -> Option<&Node> {
        match self {
            Self::Whiteout => None,
            Self::Node(node) | Self::Directory { node, .. } => Some(node),
        }
    }
}
