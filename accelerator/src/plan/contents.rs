//! The contents that a plan's layers need: each once, numbered, with its source.
//!
//! Numbers: first the contents that come from packs, in the order of [`super::order`], then those
//! that the device copies from a held image, in the order in which entries need them.

use super::order::{self, Cold};
use super::patch_base::{Names, PatchBase};
use super::{Below, Held, Layer, PlanError, Wanted, count};
use crate::tree::{Content, FileKind, Tree};
use skiff_protocol::Digest;
use std::collections::HashMap;

/// A content and where it can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// Index of a wanted image that has it.
    pub image: usize,
    /// SHA-256, size, and place in a layer of that image.
    pub content: Content,
    /// Where the device has it; `None` if it comes from packs.
    pub held: Option<Place>,
    /// What is likely to be much like it, if it comes from packs.
    pub base: Option<PatchBase>,
}

/// A file of a held image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Index of the held image.
    pub image: u16,
    /// The file's path; empty if it is the path of the first entry that needs the content.
    pub path: Vec<u8>,
}

/// All contents of a plan, by number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    needed: Vec<Needed>,
    packed: u32,
    first: u32,
    numbers: HashMap<[u8; 32], u32>,
}

impl Contents {
    /// The contents of these layers, for a device that keeps files cold or fetches all.
    pub(crate) fn of(
        layers: &[Layer<'_>],
        wanted: &[Wanted],
        held: &[Held],
        cold: Option<&Cold>,
    ) -> Result<Self, PlanError> {
        let mut indexes: Vec<Option<HashMap<[u8; 32], &[u8]>>> = vec![None; held.len()];
        let mut names = Names::of(held);
        let mut numbers: HashMap<[u8; 32], u32> = HashMap::new();
        let mut files: HashMap<[u8; 32], u32> = HashMap::new();
        let mut packed: Vec<Needed> = Vec::new();
        let mut copied: Vec<Needed> = Vec::new();
        for layer in layers {
            let parent = match layer.parent {
                Below::Held(index) => Some(index),
                Below::Nothing | Below::Layer(_) => None,
            };
            let others = (0..held.len()).filter(|&index| Some(index) != parent);
            let sources: Vec<usize> = parent.into_iter().chain(others).collect();
            for entry in &layer.entries {
                let Some(content) = entry.content() else { continue };
                *files.entry(content.sha256).or_default() += 1;
                if numbers.insert(content.sha256, 0).is_some() {
                    continue;
                }
                let place = find(content, entry.path, &sources, held, &mut indexes)?;
                let base = match place {
                    None => names.like(entry.path, content.size, &sources)?,
                    Some(_) => None,
                };
                let content = content.clone();
                let needed = Needed { image: layer.image, content, held: place, base };
                match needed.held {
                    Some(_) => copied.push(needed),
                    None => packed.push(needed),
                }
            }
        }
        let with_files = |needed: Needed| {
            let files = files.get(&needed.content.sha256).copied().unwrap_or(0);
            (needed, files)
        };
        let packed = packed.into_iter().map(with_files).collect();
        let (packed, first) = order::sort(packed, wanted, cold);
        let count_packed = count(packed.len(), "contents")?;
        let needed: Vec<Needed> = packed.into_iter().chain(copied).collect();
        for (number, needed) in needed.iter().enumerate() {
            numbers.insert(needed.content.sha256, count(number, "contents")?);
        }
        Ok(Self { needed, packed: count_packed, first: count(first, "contents")?, numbers })
    }

    /// What a patch of a content may be put on.
    pub fn base_of<'a>(&'a self, needed: &'a Needed) -> Option<&'a Content> {
        match needed.base.as_ref()? {
            PatchBase::Held { content, .. } => Some(content),
            PatchBase::Earlier(number) => Some(&self.get(*number)?.content),
        }
    }

    /// How many there are.
    pub fn len(&self) -> u32 {
        u32::try_from(self.needed.len()).unwrap_or(u32::MAX)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.needed.is_empty()
    }

    /// The content with this number.
    pub fn get(&self, number: u32) -> Option<&Needed> {
        self.needed.get(usize::try_from(number).ok()?)
    }

    /// The number of a content.
    pub fn number(&self, sha256: &[u8; 32]) -> Option<u32> {
        self.numbers.get(sha256).copied()
    }

    /// All contents in ascending number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Needed)> + Clone {
        (0..).zip(&self.needed)
    }

    /// The contents that come from packs.
    pub fn packed(&self) -> impl Iterator<Item = (u32, &Content)> {
        self.iter().take_while(|(number, _)| *number < self.packed).map(|(n, c)| (n, &c.content))
    }

    /// The same, to be given bases.
    pub(super) fn packed_mut(&mut self) -> impl Iterator<Item = (u32, &mut Needed)> {
        let packed = usize::try_from(self.packed).unwrap_or(usize::MAX);
        (0..).zip(self.needed.iter_mut().take(packed))
    }

    /// Bytes of the contents that go first, because the device needs them before it starts anything, or
    /// soon after.
    pub fn first_bytes(&self) -> u64 {
        let first = self.packed().take_while(|(number, _)| *number < self.first);
        first.map(|(_, content)| content.size).sum()
    }
}

/// Where the device has a content: the same path before any other, the first source before others.
fn find<'a>(
    content: &Content,
    path: &[u8],
    sources: &[usize],
    held: &'a [Held],
    indexes: &mut [Option<HashMap<[u8; 32], &'a [u8]>>],
) -> Result<Option<Place>, PlanError> {
    for &image in sources {
        let Some((tree, _)) = &held[image].tree else { continue };
        let found = if has(tree, path, content) {
            Some(Vec::new())
        } else {
            let index = indexes[image].get_or_insert_with(|| index(tree));
            index.get(&content.sha256).map(|path| path.to_vec())
        };
        if let Some(path) = found {
            return Ok(Some(Place { image: count(image, "held images")?, path }));
        }
    }
    Ok(None)
}

fn has(tree: &Tree, path: &[u8], content: &Content) -> bool {
    tree.nodes.get(path).is_some_and(|node| {
        matches!(&node.kind, FileKind::File(c) if c.sha256 == content.sha256 && c.size == content.size)
    })
}

/// Each content's first path in a tree.
fn index(tree: &Tree) -> HashMap<[u8; 32], &[u8]> {
    let mut index: HashMap<[u8; 32], &[u8]> = HashMap::new();
    for (path, node) in &tree.nodes {
        if let FileKind::File(content) = &node.kind {
            index.entry(content.sha256).or_insert(path);
        }
    }
    index
}

/// A content's digest in the protocol's type.
pub(crate) fn digest(content: &Content) -> Digest {
    Digest(content.sha256)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::arbitrary::{content, dir, file, tree};
    use crate::plan::parent::choose;
    use std::sync::Arc;

    #[test]
    fn what_any_held_image_has_is_not_sent() {
        let held_tree = |names| Held {
            manifest: Digest([0; 32]),
            depth: 1,
            is_base: false,
            tree: Some((Arc::new(tree(names)), Digest([0; 32]))),
        };
        let held = [
            held_tree(&[file("far", 5), file("away", 6)]),
            held_tree(&[dir("d"), file("d/a", 1), file("d/b", 2), file("d/c", 3)]),
        ];
        let mut moded = file("d/b", 2);
        moded.2 = 1;
        let names = [dir("d"), file("d/a", 1), moded, file("d/new", 9), file("d/twice", 9)];
        let names =
            [&names[..], &[file("d/moved", 3), file("d/z", 6), file("d/empty", 0)]].concat();
        let want = tree(&names);
        let (parent, entries) = choose(&want, &held, 0);
        assert_eq!(parent, Some(1));
        let layer = Layer { image: 0, parent: Below::Held(1), entries, base: None };
        let contents = Contents::of(&[layer], &[], &held, None).unwrap();
        let found: Vec<_> =
            contents.iter().map(|(_, c)| (c.content.size, c.held.clone())).collect();
        let place = |image, path: &str| Some(Place { image, path: path.as_bytes().to_vec() });
        let expected = [(9, None), (2, place(1, "")), (3, place(1, "d/c")), (6, place(0, "away"))];
        assert_eq!(found, expected);
        assert_eq!(contents.packed().count(), 1);
        assert_eq!(contents.number(&content(3).sha256), Some(2));
        assert_eq!(contents.number(&content(1).sha256), None, "the parent shows it");
    }
}
