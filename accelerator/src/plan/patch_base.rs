//! What a content is likely to be much like: then a patch may be sent in its place.
//!
//! In held images by name, as it costs nothing: a file of the same path, or else one whose path (or, failing that, whose file name) is the
//! same but for digits, as `libssl.so.3.0.11` and `libssl.so.3.0.15` are. Of several the one with the nearest size. What has no such
//! namesake, or one that is nothing like it, is looked for by resemblance ([`super::alike`]). Whether a patch
//! pays is found out when it is made ([`crate::patch`]).

use super::contents::Place;
use super::{Held, PlanError, count};
use crate::tree::{Content, FileKind};
use std::collections::HashMap;

/// A content with fewer bytes is not worth a look at another.
const SMALLEST: u64 = 512;

/// What a patch is put on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatchBase {
    /// A file of a held image.
    Held {
        /// Where the device has it.
        place: Place,
        /// Its content, in a layer of that image.
        content: Content,
    },
    /// A content that comes earlier in the stream, by number.
    Earlier(u32),
}

/// The files of held images by name.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    held: &'a [Held],
    /// Of each image, if it was asked for: paths and file names without digits, and the files that have them.
    indexes: Vec<Option<Index<'a>>>,
}

type Index<'a> = HashMap<Vec<u8>, Vec<(&'a [u8], &'a Content)>>;

impl<'a> Names<'a> {
    /// Those of these images.
    pub(crate) fn of(held: &'a [Held]) -> Self {
        Self { held, indexes: held.iter().map(|_| None).collect() }
    }

    /// The file that a content of this size is likely to be much like, whose first entry has this path, in the first of these
    /// images that has one.
    pub(crate) fn like(
        &mut self,
        path: &[u8],
        size: u64,
        images: &[usize],
    ) -> Result<Option<PatchBase>, PlanError> {
        if size < SMALLEST {
            return Ok(None);
        }
        for &image in images {
            if let Some((found, content)) = self.find(path, size, image) {
                let other = if found == path { &b""[..] } else { found };
                let place = Place { image: count(image, "held images")?, path: other.to_vec() };
                return Ok(Some(PatchBase::Held { place, content: content.clone() }));
            }
        }
        Ok(None)
    }

    fn find(&mut self, path: &[u8], size: u64, image: usize) -> Option<(&'a [u8], &'a Content)> {
        let held: &'a [Held] = self.held;
        // What a base layer has lies in the layers of images that are not known any more.
        let held = held.get(image).filter(|held| !held.is_base)?;
        let (tree, _) = held.tree.as_ref()?;
        if let Some((path, node)) = tree.nodes.get_key_value(path)
            && let FileKind::File(content) = &node.kind
            && content.size >= SMALLEST
        {
            return Some((path, content));
        }
        let index = self.indexes.get_mut(image)?.get_or_insert_with(|| {
            let mut index: Index<'a> = HashMap::new();
            for (path, node) in &tree.nodes {
                let FileKind::File(content) = &node.kind else { continue };
                if content.size >= SMALLEST {
                    for name in names(path) {
                        index.entry(name).or_default().push((path, content));
                    }
                }
            }
            index
        });
        names(path).into_iter().find_map(|name| {
            let found = index.get(&name)?;
            found.iter().copied().min_by_key(|(_, content)| content.size.abs_diff(size))
        })
    }
}

/// The path and the file name, without digits.
fn names(path: &[u8]) -> [Vec<u8>; 2] {
    let without_digits = |name: &[u8]| -> Vec<u8> {
        name.iter().copied().filter(|byte| !byte.is_ascii_digit()).collect()
    };
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    // A file at the top has a path that is no other file's name.
    [[b"/", path].concat(), name.to_vec()].map(|name| without_digits(&name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::arbitrary::{dir, file, tree};
    use skiff_protocol::Digest;
    use std::sync::Arc;

    fn held(names: &[(&str, u64)], is_base: bool) -> Held {
        let files: Vec<_> = names.iter().map(|(path, _)| file(path, 1)).collect();
        let mut tree = tree(&[&[dir("d"), dir("e")], &files[..]].concat());
        for (path, size) in names {
            if let Some(FileKind::File(content)) =
                tree.nodes.get_mut(path.as_bytes()).map(|node| &mut node.kind)
            {
                content.size = *size;
            }
        }
        let zero = Digest([0; 32]);
        Held { manifest: zero, depth: 1, is_base, tree: Some((Arc::new(tree), zero)) }
    }

    #[test]
    fn the_same_path_then_the_same_but_for_digits_then_the_nearest_size() {
        let files = [
            ("d/lib1.so", 9000),
            ("d/lib22.so", 5000),
            ("d/tiny", 3),
            ("e/other.so.9", 4000),
            ("e/same", 700),
        ];
        let held = [held(&files, true), held(&files, false)];
        let mut names = Names::of(&held);
        let rows = [
            ("d/lib1.so", 1000, Some("")),
            ("d/lib3.so", 6000, Some("d/lib22.so")),
            ("d/lib3.so", 8000, Some("d/lib1.so")),
            ("d/lib3.so", 100, None),
            ("d/other.so.10", 4000, Some("e/other.so.9")),
            ("d/tiny", 4000, None),
            ("new", 4000, None),
        ];
        for (path, size, expected) in rows {
            let found = names.like(path.as_bytes(), size, &[0, 1]).unwrap();
            let found = found.map(|base| match base {
                PatchBase::Held { place, .. } => (place.image, place.path),
                PatchBase::Earlier(_) => unreachable!("by name"),
            });
            assert_eq!(found, expected.map(|path| (1, path.as_bytes().to_vec())), "{path} {size}");
        }
    }
}
