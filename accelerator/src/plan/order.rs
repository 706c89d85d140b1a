//! The order of contents in the content space.
//!
//! For a device that fetches everything before it starts anything: as they lie in the layers.
//! A tar has its files by directory, so what is alike stands together, which a pack's window of 32 KiB
//! needs; and packs that are made one after the other read the registry's blobs from one end to the
//! other, each segment once. Tried on real images (Debian's nginx and MariaDB, Node-RED from npm; MB of
//! packs, deflate level 6; `pack_bytes` of a pull, with [`place`] changed), other orders gain nothing:
//!
//! | order | nginx, fresh | nginx, update | Node-RED, update |
//! |---|---|---|---|
//! | place in the layers | 65.38 | 11.00 | 34.56 |
//! | path | 65.38 | 11.00 | 34.56 |
//! | extension, path | 65.40 | 11.00 | |
//! | extension, name, path | 65.53 | 11.03 | 34.54 |
//! | extension, size, path | | 10.99 | |
//!
//! For a device that keeps files cold, in five parts:
//!
//! ```text
//! │ eager            │ hot                   │ small            │ rest            │ seldom              │
//!   more files than    in order of first use   < 16 KiB, each a   code, then data   documentation, tests
//!   can be cold        ([`crate::hot`])        round trip if a    ([`super::likely`])
//!                                              program asks for it
//! ```
//!
//! Eager are the smallest contents, as many as there are files too many: a lease costs the same for a small file
//! as for a large one. Within the parts that are not hot the order is that of the layers, too.

use super::Wanted;
use super::contents::Needed;
use super::likely::{self, Likely};
use crate::hot::Item;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// Part of a plan's ID: to be raised with every change of the order.
pub const VERSION: u8 = 4;

/// A content with fewer bytes is small.
pub const SMALL: u64 = 16 << 10;

/// A device that keeps files cold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cold {
    /// How many it can, at least 1.
    pub files: u32,
    /// What its programs use while they start, of the wanted images.
    pub hot: Vec<Item>,
}

/// Where a content lies: image, layer, and offset in the layer's tar.
pub fn place(needed: &Needed) -> (usize, u32, u64) {
    let offset = needed.content.extents.first().map_or(0, |extent| extent.tar_offset);
    (needed.image, needed.content.layer, offset)
}

/// Puts contents in order. Each comes with the number of files that have it. Gives how many of the contents are
/// eager or hot.
pub(crate) fn sort(
    mut contents: Vec<(Needed, u32)>,
    wanted: &[Wanted],
    cold: Option<&Cold>,
) -> (Vec<Needed>, usize) {
    contents.sort_by_cached_key(|(needed, _)| place(needed));
    let Some(cold) = cold else {
        return (contents.into_iter().map(|(needed, _)| needed).collect(), 0);
    };
    let eager = eager(&contents, cold.files);
    let hot = ranks(&cold.hot, wanted);
    let likely = likely::contents(wanted.iter().map(|want| &*want.tree));
    let part = |needed: &Needed| {
        let sha256 = &needed.content.sha256;
        match hot.get(sha256) {
            _ if eager.contains(sha256) => (0, 0),
            Some(rank) => (1, *rank),
            None => match likely.get(sha256) {
                Some(Likely::Seldom) => (5, 0),
                _ if needed.content.size < SMALL => (2, 0),
                Some(Likely::Code) => (3, 0),
                _ => (4, 0),
            },
        }
    };
    // A stable sort: of equals the place decides.
    contents.sort_by_cached_key(|(needed, _)| part(needed));
    let first = contents.partition_point(|(needed, _)| part(needed).0 < 2);
    (contents.into_iter().map(|(needed, _)| needed).collect(), first)
}

/// The smallest contents, until no more files than `most` are left.
fn eager(contents: &[(Needed, u32)], most: u32) -> HashSet<[u8; 32]> {
    let mut left: u64 = contents.iter().map(|(_, files)| u64::from(*files)).sum();
    let mut by_size: Vec<&(Needed, u32)> = contents.iter().collect();
    by_size.sort_by_key(|(needed, _)| needed.content.size);
    let mut eager = HashSet::new();
    for (needed, files) in by_size {
        if left <= most.into() {
            break;
        }
        left -= u64::from(*files);
        eager.insert(needed.content.sha256);
    }
    eager
}

/// The place of each hot content in the order of first use.
fn ranks(hot: &[Item], wanted: &[Wanted]) -> HashMap<[u8; 32], usize> {
    let mut ranks = HashMap::new();
    for (rank, item) in hot.iter().enumerate() {
        let tree = wanted.get(usize::from(item.image)).map(|want| &want.tree);
        if let Some(content) = tree.and_then(|tree| tree.content(&item.path)) {
            ranks.entry(content.sha256).or_insert(rank);
        }
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::arbitrary::{content, dir, file, tree};
    use crate::tree::{Content, FileKind};
    use skiff_protocol::Digest;
    use std::sync::Arc;

    /// Files of an image with the sizes that their contents have by number, `k` of them KiB.
    fn contents(sizes: &[(u8, u64, u32)]) -> Vec<(Needed, u32)> {
        let needed = |&(n, size, files): &(u8, u64, u32)| {
            let content = Content { size, layer: u32::from(n), ..content(n) };
            (Needed { image: 0, content, held: None, base: None }, files)
        };
        sizes.iter().map(needed).collect()
    }

    fn wanted(names: &[(&str, u8)]) -> Vec<Wanted> {
        let names: Vec<_> = names.iter().map(|(path, n)| file(path, *n)).collect();
        let zero = Digest([0; 32]);
        vec![Wanted {
            reference: "a:1".to_owned(),
            target: zero,
            manifest: zero,
            tree: Arc::new(tree(&[&[dir("d")], &names[..]].concat())),
            tree_digest: zero,
            blobs: Vec::new(),
        }]
    }

    #[test]
    fn eager_hot_small_and_the_rest() {
        let large = 1 << 20;
        // In another order than that of their places, which are their numbers.
        let all = [(4, large, 1), (1, large, 1), (2, 7, 1), (3, 5, 3), (5, 9, 1), (6, large, 1)];
        let wanted = wanted(&[("d/six", 6), ("d/five", 5), ("d/three", 3), ("gone", 9)]);
        let hot = ["d/none", "d/six", "d", "d/three", "d/five", "d/six"];
        let hot = hot.map(|path| Item::file(0, path)).to_vec();
        let hot = [hot, vec![Item::file(7, "d/six")]].concat();
        let rows: [(&str, Option<u32>, &[u8], usize); 5] = [
            ("everything is fetched", None, &[1, 2, 3, 4, 5, 6], 0),
            ("all may be cold", Some(8), &[6, 3, 5, 2, 1, 4], 3),
            ("one too many, the smallest is three files", Some(7), &[3, 6, 5, 2, 1, 4], 3),
            ("the two smallest go first, by place", Some(4), &[2, 3, 6, 5, 1, 4], 4),
            ("one may be cold", Some(1), &[1, 2, 3, 4, 5, 6], 6),
        ];
        for (row, files, order, first) in rows {
            let cold = files.map(|files| Cold { files, hot: hot.clone() });
            let (sorted, count) = sort(contents(&all), &wanted, cold.as_ref());
            let numbers: Vec<u32> = sorted.iter().map(|needed| needed.content.layer).collect();
            let order: Vec<u32> = order.iter().map(|&n| n.into()).collect();
            assert_eq!((numbers, count), (order, first), "{row}");
        }
    }

    #[test]
    fn what_is_likely_comes_before_what_is_not() {
        let large = 1 << 20;
        let all = [(1, 7, 1), (2, 7, 1), (3, large, 1), (4, large, 1), (5, large, 1)];
        let names = [("d/a.md", 1), ("d/b", 2), ("d/c.md", 3), ("d/d", 4), ("d/e.so", 5)];
        let cold = Cold { files: 9, hot: Vec::new() };
        let (sorted, _) = sort(contents(&all), &wanted(&names), Some(&cold));
        let numbers: Vec<u32> = sorted.iter().map(|needed| needed.content.layer).collect();
        assert_eq!(numbers, [2, 5, 4, 1, 3]);
    }

    #[test]
    fn a_directory_is_no_content() {
        let tree = &wanted(&[("d/a", 1)])[0].tree;
        assert!(matches!(tree.nodes[&b"d"[..]].kind, FileKind::Directory));
        assert_eq!(tree.content(b"d"), None);
        assert!(tree.content(b"d/a").is_some());
    }
}
