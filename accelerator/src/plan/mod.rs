//! The planner: what a device must be sent, from the trees of what it wants and what it holds.
//!
//! ```text
//! wanted trees ─┬─▶ parent ──▶ bases, joint ──▶ delta ──▶ entries ─┬─▶ contents ──▶ order ──▶ space ──▶ packs
//! held trees  ──┘   (which)    (shared)         (a layer)          └─▶ table (the metadata stream)
//! ```
//!
//! A plan is a function of its inputs alone and is named by a digest of them ([`id`]), so that a
//! device can come back for the rest of it, to this or another accelerator: the plan is made again, from the
//! inputs that were kept ([`inputs`]) or from the request's, and its name compared. All of this works on trees,
//! without I/O.
//!
//! Memory: a plan holds its encoded metadata stream (about 50 bytes an entry, so 5 MB for 100,000)
//! and a line for each content; a pack's bytes are not here but in [`crate::packs`].

mod alike;
#[cfg(test)]
pub(crate) mod arbitrary;
mod bases;
pub mod contents;
pub mod delta;
pub mod id;
pub mod inputs;
mod joint;
mod likely;
pub mod order;
pub mod parent;
pub mod patch_base;
pub mod space;
pub mod table;

use crate::tree::Tree;
use bytes::Bytes;
use contents::Contents;
use delta::{Entry, delta};
use inputs::Terms;
use joint::Own;
use skiff_protocol::Digest;
use skiff_protocol::limits::MAX_PACK;
use skiff_protocol::record::{Parent, Role};
use space::Space;
use std::collections::{HashMap, HashSet};
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
    /// Whether it is a base layer: what several images share, and no image.
    pub is_base: bool,
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
    pub contents: Arc<Contents>,
    /// The space of those that come from packs.
    pub space: Space,
    /// Packs at the beginning that the device needs before it starts anything, or soon after.
    pub first_packs: u32,
    /// The metadata stream, encoded.
    pub metadata: Bytes,
    /// The SHA-256 of the stream before it was compressed.
    pub table: Digest,
    /// The trees of the base layers, by their digests.
    pub bases: Vec<(Digest, Tree)>,
    /// What each layer is in the graph of states and deltas.
    pub deltas: Vec<Delta>,
}

/// An arrow of the graph: what makes one tree of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// The digest of the tree that it is put on; none for a whole tree.
    pub parent: Option<Digest>,
    /// The digest of the tree that it shows.
    pub child: Digest,
    /// Entries.
    pub entries: u64,
    /// Bytes of the distinct contents of its entries.
    pub content_bytes: u64,
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
    /// Index of the wanted image that the layer was made for, or of one that shares it.
    pub(crate) image: usize,
    /// What is below it.
    pub(crate) parent: Below,
    /// Its entries.
    pub(crate) entries: Vec<Entry<'a>>,
    /// The digest of its tree, if it is a base.
    pub(crate) base: Option<Digest>,
}

/// What is below a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Below {
    /// Nothing.
    Nothing,
    /// A held image or base, by index.
    Held(usize),
    /// An earlier layer of the plan, by index.
    Layer(usize),
}

impl Layer<'_> {
    fn delta(&self, child: Digest, held: &[Held], layers: &[Delta]) -> Delta {
        let parent = match self.parent {
            Below::Nothing => None,
            Below::Held(index) => held[index].tree.as_ref().map(|(_, digest)| *digest),
            Below::Layer(index) => Some(layers[index].child),
        };
        let mut contents = HashSet::new();
        let distinct = self.entries.iter().filter_map(Entry::content);
        let distinct = distinct.filter(|content| contents.insert(content.sha256));
        let content_bytes = distinct.map(|content| content.size).sum();
        Delta { parent, child, entries: self.entries.len() as u64, content_bytes }
    }
}

impl Plan {
    /// Plans what turns the held images into the wanted ones; with base layers where they pay, if the
    /// device knows them.
    pub fn make(wanted: &[Wanted], held: &[Held], terms: &Terms) -> Result<Self, PlanError> {
        let (with_bases, cold) = (terms.with_bases, terms.cold.as_ref());
        let is_held = |want: &Wanted| {
            held.iter().any(|held| held.tree.is_some() && held.manifest == want.manifest)
        };
        let first = |want: &Wanted| wanted.iter().position(|other| other.manifest == want.manifest);
        let own: Vec<Own<'_>> = wanted
            .iter()
            .enumerate()
            .filter(|(image, want)| !is_held(want) && first(want) == Some(*image))
            .map(|(image, want)| {
                let tree = &*want.tree;
                Own { image, tree, choice: parent::choose(tree, held, 0) }
            })
            .collect();
        let (bases, below) = match held.iter().any(|held| held.tree.is_some()) {
            _ if !with_bases => (Vec::new(), HashMap::new()),
            true => joint::choose(&own, held),
            false => {
                let trees: Vec<_> = own.iter().map(|own| (own.image, own.tree)).collect();
                let (bases, of_images) = bases::choose(&trees, bases::LEVELS);
                let of_images = of_images.into_iter();
                (bases, of_images.map(|(image, base)| (image, Below::Layer(base))).collect())
            }
        };
        let tree_of = |below: Below| match below {
            Below::Nothing => None,
            Below::Held(index) => held[index].tree.as_ref().map(|(tree, _)| &**tree),
            Below::Layer(index) => Some(&bases[index].tree),
        };

        let mut layers: Vec<Layer<'_>> = Vec::new();
        let mut deltas: Vec<Delta> = Vec::new();
        for base in &bases {
            let (image, parent) = (base.image, base.parent);
            let entries = delta(tree_of(parent), &base.tree);
            let layer = Layer { image, parent, entries, base: Some(base.digest) };
            deltas.push(layer.delta(base.digest, held, &deltas));
            layers.push(layer);
        }
        let mut layer_of: HashMap<Digest, u16> = HashMap::new();
        for Own { image, tree, choice: (parent, entries) } in own {
            let want = &wanted[image];
            let (parent, entries) = match below.get(&image) {
                Some(&parent) => (parent, delta(tree_of(parent), tree)),
                None => (parent.map_or(Below::Nothing, Below::Held), entries),
            };
            let layer = Layer { image, parent, entries, base: None };
            deltas.push(layer.delta(want.tree_digest, held, &deltas));
            layer_of.insert(want.manifest, count(layers.len(), "layers")?);
            layers.push(layer);
        }
        let layers_of_images: Vec<Option<u16>> =
            wanted.iter().map(|want| layer_of.get(&want.manifest).copied()).collect();
        let parents = layers
            .iter()
            .map(|layer| match layer.parent {
                Below::Nothing => Ok(Parent::None),
                Below::Held(held) => Ok(Parent::Held(count(held, "held images")?)),
                Below::Layer(layer) => Ok(Parent::Layer(count(layer, "layers")?)),
            })
            .collect::<Result<Vec<_>, PlanError>>()?;
        let contents = Contents::of(&layers, wanted, held, cold)?;
        let space = Space::new(contents.packed().map(|(number, content)| (number, content.size)));
        let first_packs = contents.first_bytes().div_ceil(MAX_PACK.into());
        let first_packs = u32::try_from(first_packs).unwrap_or(u32::MAX);
        let (metadata, table) =
            table::encode(wanted, &layers, &layers_of_images, &parents, &contents)?;
        let entries = layers.iter().map(|layer| layer.entries.len()).sum();
        let entries = count(entries, "entries")?;
        let made: Vec<_> =
            parents.iter().zip(&layers).map(|(parent, layer)| (*parent, layer.base)).collect();
        drop(layers);
        let bases = bases.into_iter().map(|base| (base.digest, base.tree)).collect();
        Ok(Self {
            id: id::of(wanted, held, &made, cold),
            layers_of_images,
            parents,
            entries,
            contents: Arc::new(contents),
            space,
            first_packs,
            metadata: Bytes::from_owner(metadata),
            table,
            bases,
            deltas,
        })
    }
}

/// A count or index in the width that the protocol has for it.
pub(crate) fn count<N: TryFrom<usize>>(n: usize, what: &'static str) -> Result<N, PlanError> {
    N::try_from(n).map_err(|_| PlanError::TooMany { what })
}
