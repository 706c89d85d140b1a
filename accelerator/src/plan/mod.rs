//! The planner: what a device must be sent, from the trees of what it wants and what it holds.
//!
//! ```text
//! wanted trees ─┬─▶ parent ──▶ delta ──▶ entries ─┬─▶ contents ──▶ order ──▶ space ──▶ packs
//! held trees  ──┘   (which)    (a layer)          └─▶ table (the metadata stream)
//! ```
//!
//! A plan is a function of its inputs alone and is named by a digest of them ([`id`]), so that a
//! device can come back for the rest of it, to this or another accelerator: the plan is made again
//! and its name compared. All of this works on trees, without I/O.
//!
//! Memory: a plan holds its encoded metadata stream (about 50 bytes an entry, so 5 MB for 100,000)
//! and a line for each content; a pack's bytes are not here but in [`crate::packs`].

#[cfg(test)]
pub(crate) mod arbitrary;
pub mod contents;
pub mod delta;
pub mod id;
pub mod order;
pub mod parent;
pub mod space;
pub mod table;

use crate::mapped::Mapped;
use crate::tree::Tree;
use contents::Contents;
use delta::Entry;
use skiff_protocol::Digest;
use skiff_protocol::record::{Parent, Role};
use space::Space;
use std::sync::Arc;

/// An image that is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The reference as it was asked for.
    pub reference: String,
    /// The index or, where there is none, the manifest.
    pub target: Digest,
    /// The manifest.
    pub manifest: Digest,
    /// Its tree.
    pub tree: Arc<Tree>,
    /// The tree's digest.
    pub tree_digest: Digest,
    /// The index (where there is one), manifest and config, in this order.
    pub blobs: Vec<Blob>,
}

/// A blob that goes to the device as it is.
#[derive(Debug, Clone)]
pub struct Blob {
    /// What it is to its image.
    pub role: Role,
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// An image that the device holds, in the order of the request.
#[derive(Debug, Clone)]
pub struct Held {
    /// Its manifest.
    pub manifest: Digest,
    /// Layers in its overlay stack on the device.
    pub depth: u16,
    /// Its tree and the tree's digest, unless it is unknown here: then it counts as not held.
    pub tree: Option<(Arc<Tree>, Digest)>,
}

/// What to send.
#[derive(Debug)]
pub struct Plan {
    /// The digest of all inputs.
    pub id: Digest,
    /// For each wanted image its layer; `None` where the very same manifest is held.
    pub layers_of_images: Vec<Option<u16>>,
    /// What each layer lies on.
    pub parents: Vec<Parent>,
    /// Entries in all layers.
    pub entries: u32,
    /// The contents that the layers need.
    pub contents: Contents,
    /// The space of those that come from packs.
    pub space: Space,
    /// The metadata stream, encoded.
    pub metadata: Mapped,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A path, link target or attribute list of an image is more than the protocol carries.
    #[error(
        "{reference}: the entry {path:?} can't be sent, because its {what} is longer than Linux \
         allows or contains a zero byte; rebuild the image without it"
    )]
    Entry {
        /// The image.
        reference: String,
        /// The entry, with odd bytes replaced.
        path: String,
        /// The part that is too long.
        what: &'static str,
    },
    /// The system has no memory for it.
    #[error("there is no memory for a plan")]
    Memory(#[source] std::io::Error),
    /// There are more images, layers, entries or contents than the protocol can count.
    #[error("the request needs more {what} than the protocol can count; ask for fewer images")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
    },
}

/// A layer of the plan while it is made.
#[derive(Debug)]
pub(crate) struct Layer<'a> {
    /// Index of the wanted image that the layer was made for.
    pub(crate) image: usize,
    /// Index of the held image below it.
    pub(crate) parent: Option<usize>,
    /// Its entries.
    pub(crate) entries: Vec<Entry<'a>>,
}

impl Plan {
    /// Plans what turns the held images into the wanted ones.
    pub fn make(wanted: &[Wanted], held: &[Held]) -> Result<Self, PlanError> {
        let mut layers: Vec<Layer<'_>> = Vec::new();
        let mut layers_of_images = Vec::with_capacity(wanted.len());
        for (image, want) in wanted.iter().enumerate() {
            let known = |held: &Held| held.tree.is_some() && held.manifest == want.manifest;
            if held.iter().any(known) {
                layers_of_images.push(None);
                continue;
            }
            let same = |layer: &Layer<'_>| wanted[layer.image].manifest == want.manifest;
            let number = layers.iter().position(same).unwrap_or_else(|| {
                let (parent, entries) = parent::choose(&want.tree, held);
                layers.push(Layer { image, parent, entries });
                layers.len() - 1
            });
            layers_of_images.push(Some(count(number, "layers")?));
        }
        let parents = layers
            .iter()
            .map(|layer| match layer.parent {
                Some(held) => Ok(Parent::Held(count(held, "held images")?)),
                None => Ok(Parent::None),
            })
            .collect::<Result<Vec<_>, PlanError>>()?;
        let contents = Contents::of(&layers, held)?;
        let space = Space::new(contents.packed().map(|(number, content)| (number, content.size)));
        let metadata = table::encode(wanted, &layers, &layers_of_images, &parents, &contents)?;
        let entries = layers.iter().map(|layer| layer.entries.len()).sum();
        Ok(Self {
            id: id::of(wanted, held, &parents),
            layers_of_images,
            parents,
            entries: count(entries, "entries")?,
            contents,
            space,
            metadata,
        })
    }
}

/// A count or index in the width that the protocol has for it.
pub(crate) fn count<N: TryFrom<usize>>(n: usize, what: &'static str) -> Result<N, PlanError> {
    N::try_from(n).map_err(|_| PlanError::TooMany { what })
}
