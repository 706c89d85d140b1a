//! Bases by resemblance, for contents whose names tell of none.
//!
//! Looked for in all that the device holds and in all that the stream brings before, by the sketches that were made at ingest
//! ([`crate::sketch`]). So a dozen tools that link one library are sent once and eleven times as patches, also to a device that
//! holds nothing. A content is a base of what lies in later packs than its last byte: by then the device has written it.

use super::contents::Place;
use super::patch_base::PatchBase;
use super::{Held, Plan};
use crate::sketch::{ENOUGH, Sketch, Sketched, Sketches};
use crate::tree::{Content, FileKind};
use skiff_protocol::limits::MAX_PACK;
use std::collections::HashSet;
use std::sync::Arc;

/// Contents that are looked at for one, the most alike first.
const NEAREST: usize = 4;

/// What a base may be.
enum Candidate<'a> {
    /// A file of a held image: its index, path and content.
    Held(u16, &'a [u8], &'a Content),
    /// An earlier content, and the pack in which it ends.
    Earlier(u32, u64),
}

/// All of them, by what they resemble.
#[derive(Default)]
struct Candidates<'a> {
    all: Vec<Candidate<'a>>,
    sketches: Sketches<usize>,
}

impl<'a> Candidates<'a> {
    fn add(&mut self, sketch: &Sketch, candidate: Candidate<'a>) {
        self.sketches.insert(sketch, self.all.len());
        self.all.push(candidate);
    }

    /// The most alike that can be a base of a content that ends in this pack.
    fn nearest(&self, sketch: &Sketch, last_pack: u64) -> Option<PatchBase> {
        let nearest = self.sketches.nearest(sketch, NEAREST).into_iter();
        nearest.filter_map(|(index, _)| self.all.get(index)).find_map(
            |candidate| match *candidate {
                Candidate::Held(image, path, content) => {
                    let place = Place { image, path: path.to_vec() };
                    Some(PatchBase::Held { place, content: content.clone() })
                }
                Candidate::Earlier(number, its_last) if its_last < last_pack => {
                    Some(PatchBase::Earlier(number))
                }
                Candidate::Earlier(..) => None,
            },
        )
    }
}

impl Plan {
    /// Finds bases within the plan alone.
    pub fn find_bases_within(&mut self, sketched: &Sketched) {
        let Some(contents) = Arc::get_mut(&mut self.contents) else { return };
        for (_, needed) in contents.packed_mut() {
            needed.base = None;
        }
        self.find_bases(&[], sketched);
    }

    /// Finds bases in what the device holds (the images that the plan was made with) and within the plan.
    pub fn find_bases(&mut self, held: &[Held], sketched: &Sketched) {
        let Some(contents) = Arc::get_mut(&mut self.contents) else { return };
        let mut candidates = Candidates::default();
        let mut seen = HashSet::new();
        for (image, held) in (0..).zip(held).filter(|(_, held)| !held.is_base) {
            for (path, node) in held.tree.iter().flat_map(|(tree, _)| &tree.nodes) {
                let FileKind::File(content) = &node.kind else { continue };
                if let Some(sketch) = sketched.get(&content.sha256)
                    && seen.insert(content.sha256)
                {
                    candidates.add(sketch, Candidate::Held(image, path, content));
                }
            }
        }
        let mut end = 0;
        for (number, needed) in contents.packed_mut() {
            end += needed.content.size;
            let Some(sketch) = sketched.get(&needed.content.sha256) else { continue };
            let last_pack = end.saturating_sub(1) / u64::from(MAX_PACK);
            // A file of the same name may have become another.
            let is_alike = needed.base.as_ref().is_some_and(|base| match base {
                PatchBase::Held { content, .. } => {
                    sketched.get(&content.sha256).is_none_or(|named| named.shared(sketch) >= ENOUGH)
                }
                PatchBase::Earlier(_) => true,
            });
            if !is_alike && let Some(base) = candidates.nearest(sketch, last_pack) {
                needed.base = Some(base);
            }
            candidates.add(sketch, Candidate::Earlier(number, last_pack));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::arbitrary::{content, dir, file, tree};
    use crate::plan::inputs::Terms;
    use crate::plan::{Blob, Wanted};
    use crate::sketch::SLOTS;
    use skiff_protocol::Digest;

    /// The bases of contents of half as many MiB as their numbers say.
    fn plan(held: &[Held], files: &[(&str, u8)], sketched: &Sketched) -> Vec<Option<PatchBase>> {
        let names: Vec<_> = files.iter().map(|(path, number)| file(path, *number)).collect();
        let mut tree = tree(&[&[dir("d")], &names[..]].concat());
        for (at, (path, _)) in (0..).zip(files) {
            if let Some(FileKind::File(content)) =
                tree.nodes.get_mut(path.as_bytes()).map(|node| &mut node.kind)
            {
                content.size <<= 19;
                // Their order is that of their places.
                content.extents =
                    vec![crate::tree::Extent { offset: 0, tar_offset: at, len: content.size }];
            }
        }
        let zero = Digest([0; 32]);
        let wanted = Wanted {
            reference: "a".to_owned(),
            target: zero,
            manifest: Digest([1; 32]),
            tree: Arc::new(tree),
            tree_digest: zero,
            blobs: Vec::<Blob>::new(),
        };
        let mut plan = Plan::make(&[wanted], held, &Terms::default()).unwrap();
        plan.find_bases(held, sketched);
        plan.contents.iter().map(|(_, needed)| needed.base.clone()).collect()
    }

    /// Of these contents, sketches that have this in the first slots and nothing else in common.
    fn sketched(contents: &[(u8, u32, usize)]) -> Sketched {
        let mut sketched = Sketched::default();
        for &(number, common, slots) in contents {
            let mut sketch = Sketch([u32::from(number) + 1000; SLOTS]);
            sketch.0[..slots].fill(common);
            sketched.insert(content(number).sha256, sketch);
        }
        sketched
    }

    #[test]
    fn a_later_content_may_be_made_of_an_earlier_one() {
        let files = [("d/x", 3), ("d/y", 4), ("d/z", 5), ("d/other", 6)];
        let sketched = sketched(&[(3, 7, 9), (4, 7, 8), (5, 7, 9), (6, 8, 9)]);
        let earlier = |number| Some(PatchBase::Earlier(number));
        let found = plan(&[], &files, &sketched);
        assert_eq!(found, [None, earlier(0), earlier(0), None]);
        assert_eq!(plan(&[], &files, &Sketched::default()), [None, None, None, None]);
    }

    #[test]
    fn what_ends_in_the_same_pack_is_no_base() {
        let mut sketched = Sketched::default();
        for number in [1, 101, 2, 102] {
            sketched.insert(content(number).sha256, Sketch([7; SLOTS]));
        }
        let found =
            |numbers: [u8; 2]| plan(&[], &[("d/a", numbers[0]), ("d/b", numbers[1])], &sketched);
        assert_eq!(found([2, 102]), [None, Some(PatchBase::Earlier(0))]);
        assert_eq!(found([1, 101]), [None, None]);
        assert_eq!(found([1, 102]), [None, Some(PatchBase::Earlier(0))], "its end is in the next");
    }

    #[test]
    fn a_held_file_that_is_alike_wins_over_one_that_has_the_name() {
        let zero = Digest([0; 32]);
        let mut tree = tree(&[dir("d"), file("d/was", 60), file("d/x", 61), file("d/y", 62)]);
        for node in tree.nodes.values_mut() {
            if let FileKind::File(content) = &mut node.kind {
                content.size <<= 10;
            }
        }
        let held = |is_base| Held {
            manifest: zero,
            depth: 1,
            is_base,
            tree: Some((Arc::new(tree.clone()), zero)),
        };
        let sketched = sketched(&[(60, 7, 9), (61, 8, 9), (62, 9, 9), (3, 7, 9), (4, 9, 9)]);
        let files = [("d/x", 3), ("d/y", 4)];
        let paths = |held: &[Held]| -> Vec<_> {
            let found = plan(held, &files, &sketched).into_iter();
            let path = |base| match base {
                Some(PatchBase::Held { place, .. }) => Some((place.image, place.path)),
                _ => None,
            };
            found.map(path).collect()
        };
        let found = paths(&[held(true), held(false)]);
        assert_eq!(found, [Some((1, b"d/was".to_vec())), Some((1, Vec::new()))]);
        assert_eq!(paths(&[held(true)]), [None, None], "a base layer can't be read");
    }
}
