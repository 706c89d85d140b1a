//! The choice of a delta layer's parent among the images that the device holds.
//!
//! Contents that any held image has are never sent, whatever the parent, and contents that none
//! has are sent whatever the parent. So parents differ only in the entries that the layer needs
//! and in the bytes that the device copies from one place of its disk to another, and in the depth of the
//! overlay stack. All are put into one number, [`cost`]; of equal costs the fewer entries win, then the
//! earlier image. Nothing else goes in: two accelerators must come to the same plan. What deltas took on
//! the wire (the store remembers it) is not in it for the same two reasons: packs are the same whatever the parent, and
//! each accelerator remembers something else. It is for estimates ([`crate::serve`]).
//!
//! A delta with each held image would take as long as there are many of them, so the images are
//! first ranked by how many equal names they have, and only the best few are tried.

use super::Held;
use super::delta::{Entry, delta};
use crate::tree::Tree;
use skiff_protocol::limits::MAX_DEPTH;
use std::cmp::Reverse;

/// How many held images are tried with a whole delta.
const TRIED: usize = 4;

/// Bytes that an entry takes in the encoded metadata stream, about.
const ENTRY_BYTES: u64 = 20;

/// What a layer more below is worth, in bytes on the link: each lookup asks it, and a stack that gets
/// too deep is laid into one on the device. It decides between parents that are nearly the same.
const LAYER_BYTES: u64 = ENTRY_BYTES;

/// Bytes that a device copies on its disk in the time in which a link carries one: 40 MB/s (an SD
/// card or eMMC that reads and writes) by 160 kB/s.
const COPIED_PER_SENT: u64 = 256;

/// A parent, as index into the held images, and the entries of a layer on it.
pub type Choice<'a> = (Option<usize>, Vec<Entry<'a>>);

/// The best parent of a layer that shows `want` and will have so many layers above it, and the layer's entries.
pub fn choose<'a>(want: &'a Tree, held: &'a [Held], above: u16) -> Choice<'a> {
    let mut known: Vec<(usize, &Tree)> = held
        .iter()
        .enumerate()
        .filter(|(_, held)| held.depth.saturating_add(above) < MAX_DEPTH)
        .filter_map(|(index, held)| Some((index, &*held.tree.as_ref()?.0)))
        .collect();
    if known.len() > TRIED {
        known.sort_by_cached_key(|(index, tree)| (Reverse(equal_names(tree, want)), *index));
        known.truncate(TRIED);
    }
    let without = (None, delta(None, want));
    let with = known.into_iter().map(|(index, tree)| (Some(index), delta(Some(tree), want)));
    std::iter::once(without)
        .chain(with)
        .min_by_key(|(index, entries)| {
            (cost(entries, depth(*index, held)), entries.len(), index.unwrap_or(usize::MAX))
        })
        .unwrap_or_default()
}

/// Layers of the stack below a layer with this parent.
pub(super) fn depth(parent: Option<usize>, held: &[Held]) -> u16 {
    parent.map_or(0, |index| held[index].depth)
}

/// What a layer on a stack of this depth costs, in bytes on the link. Contents count as if all were copied on the device:
/// those that must be sent are the same for each parent.
pub(super) fn cost(entries: &[Entry<'_>], depth: u16) -> u64 {
    let mut bytes = u64::from(depth.saturating_sub(1)) * LAYER_BYTES;
    for entry in entries {
        let copied = entry.content().map_or(0, |content| content.size);
        bytes = bytes.saturating_add(ENTRY_BYTES + copied / COPIED_PER_SENT);
    }
    bytes
}

/// Names with the same node in both trees, hard links aside.
fn equal_names(a: &Tree, b: &Tree) -> usize {
    let same = |(path, node): &(&Vec<u8>, &crate::tree::Node)| {
        b.nodes.get(*path).is_some_and(|other| node.meta == other.meta && node.kind == other.kind)
    };
    a.nodes.iter().filter(same).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::arbitrary::{dir, file, large};
    use skiff_protocol::Digest;
    use std::sync::Arc;

    fn held(tree: Tree, depth: u16) -> Held {
        let tree = Some((Arc::new(tree), Digest([0; 32])));
        Held { manifest: Digest([0; 32]), depth, is_base: false, tree }
    }

    /// Its name, what is held, layers above, the parent, entries on it.
    type Row = (&'static str, Vec<Held>, u16, Option<usize>, usize);

    #[test]
    fn the_nearest_image_that_has_room_is_the_parent() {
        let names = [dir("d"), file("d/a", 1), file("d/b", 2), file("d/c", 3)];
        let want = large(&names);
        let near = large(&names[..3]);
        let far = large(&[file("x", 1), file("y", 2), file("z", 3)]);
        let unknown = Held { tree: None, ..held(Tree::default(), 1) };
        let full = vec![held(near.clone(), MAX_DEPTH - 1)];
        let rows: [Row; 8] = [
            ("nothing is held", vec![], 0, None, 4),
            ("one is unknown", vec![unknown.clone()], 0, None, 4),
            ("one is far", vec![held(far.clone(), 1)], 0, None, 4),
            ("one is near", vec![held(far.clone(), 1), held(near.clone(), 2)], 0, Some(1), 2),
            ("its stack is full", vec![held(near.clone(), MAX_DEPTH)], 0, None, 4),
            ("its stack has room for one", full.clone(), 0, Some(0), 2),
            ("its stack has room for one, and two come", full, 1, None, 4),
            (
                "more than are tried",
                [vec![unknown; 3], vec![held(far, 1); 9], vec![held(near, 1)]].concat(),
                0,
                Some(12),
                2,
            ),
        ];
        for (row, held, above, parent, entries) in rows {
            let (found, layer) = choose(&want, &held, above);
            assert_eq!((found, layer.len()), (parent, entries), "{row}");
        }
    }
}
