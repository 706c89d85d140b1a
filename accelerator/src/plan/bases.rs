//! Base layers: what images that are deployed together share, as a layer below theirs.
//!
//! Contents that are equal are sent once whatever the layers are. A base saves entries on the link, and on the
//! device the second copy on disk and in memory. It needs no common registry layer: names are
//! compared one by one, so images that were rebuilt independently share what came out equal.
//!
//! ```text
//!            ┌───────── a, b, c share ─────────┐     a base
//!      ┌── a, b share ──┐                      │     a base on it, if that pays
//!      a                b                      c     the images' own layers
//! ```
//!
//! Of all groups, the two that share most are put together, again and again, until none share
//! [`WORTH`]. A group that adds less than that to the one around it gets no layer.
//!
//! This is for a device that holds nothing. Where images are there already, [`super::joint`] takes the groups.

use super::Below;
use crate::tree::{FileKind, Node, Tree};
use skiff_protocol::Digest;
use std::collections::{BTreeMap, HashMap};

/// What a base must save on the device's disk, in bytes.
const WORTH: u64 = 1 << 20;

/// What a name takes on the device beside its content, in bytes: an inode.
const NAME: u64 = 256;

/// Layers of bases below an image where nothing is held.
pub(crate) const LEVELS: usize = 3;

/// What several images share.
#[derive(Debug)]
pub(crate) struct Base {
    /// The names.
    pub(crate) tree: Tree,
    /// The tree's digest, which names the base.
    pub(crate) digest: Digest,
    /// One of the images that share it, by index; contents are found in its layers.
    pub(crate) image: usize,
    /// What is below it: a base that stands before it, something held, or nothing.
    pub(crate) parent: Below,
}

/// The bases of these images, and for each image that has one the base that it lies on.
pub(crate) fn choose(
    trees: &[(usize, &Tree)],
    levels: usize,
) -> (Vec<Base>, HashMap<usize, usize>) {
    let (groups, outermost) = groups(&trees.iter().map(|(_, tree)| *tree).collect::<Vec<_>>());
    let mut chosen = Chosen { groups: groups.into_iter().map(Some).collect(), ..Chosen::default() };
    for member in outermost {
        chosen.descend(trees, member, None, 0, levels);
    }
    (chosen.bases, chosen.of_images)
}

/// Trees put together, as long as what they share is worth a base: the groups, each behind those that it has, and
/// what is in no other group.
pub(super) fn groups(trees: &[&Tree]) -> (Vec<Group>, Vec<Member>) {
    let mut groups: Vec<Group> = Vec::new();
    let mut alive: Vec<Member> = (0..trees.len()).map(Member::Image).collect();
    let mut shared: BTreeMap<(Member, Member), u64> = BTreeMap::new();
    loop {
        for (at, &a) in alive.iter().enumerate() {
            for &b in &alive[at + 1..] {
                shared.entry((a, b)).or_insert_with(|| {
                    let (a, b) = (tree_of(trees, &groups, a), tree_of(trees, &groups, b));
                    a.names(&b).map(|path| cost(&a.tree.nodes[path])).sum()
                });
            }
        }
        let most = alive
            .iter()
            .enumerate()
            .flat_map(|(at, &a)| alive[at + 1..].iter().map(move |&b| (a, b)))
            .max_by_key(|pair| (shared[pair], std::cmp::Reverse(*pair)));
        let Some((a, b)) = most.filter(|pair| shared[pair] >= WORTH) else { break };
        let tree = tree_of(trees, &groups, a).and(&tree_of(trees, &groups, b));
        groups.push(Group { tree, saved: shared[&(a, b)], members: [a, b] });
        alive.retain(|member| *member != a && *member != b);
        alive.push(Member::Group(groups.len() - 1));
    }
    (groups, alive)
}

/// What all these trees share.
pub(super) fn common<'a>(mut trees: impl Iterator<Item = &'a Tree>) -> Tree {
    let Some(first) = trees.next() else { return Tree::default() };
    trees.fold(first.clone(), |common, tree| Shared::new(&common).and(&Shared::new(tree)))
}

fn tree_of<'a>(trees: &[&'a Tree], groups: &'a [Group], member: Member) -> Shared<'a> {
    match member {
        Member::Image(index) => Shared::new(trees[index]),
        Member::Group(index) => Shared::new(&groups[index].tree),
    }
}

/// An image or a group, by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Member {
    Image(usize),
    Group(usize),
}

/// Images, or other groups, that share something.
pub(super) struct Group {
    /// What they share.
    tree: Tree,
    /// What that takes on the device.
    saved: u64,
    /// Those two.
    pub(super) members: [Member; 2],
}

#[derive(Default)]
struct Chosen {
    groups: Vec<Option<Group>>,
    bases: Vec<Base>,
    of_images: HashMap<usize, usize>,
}

impl Chosen {
    /// Gives the groups in `member` their layers, above `base`, which saves `saved`.
    fn descend(
        &mut self,
        trees: &[(usize, &Tree)],
        member: Member,
        mut base: Option<usize>,
        mut saved: u64,
        levels: usize,
    ) {
        let index = match member {
            Member::Group(index) => index,
            Member::Image(index) => {
                self.of_images.extend(base.map(|base| (trees[index].0, base)));
                return;
            }
        };
        let Some(group) = self.groups[index].take() else { return };
        let mut below = levels;
        if levels > 0 && group.saved >= saved + WORTH {
            let digest = Digest(group.tree.digest());
            let image = trees[self.first_image(group.members[0])].0;
            let parent = base.map_or(Below::Nothing, Below::Layer);
            self.bases.push(Base { tree: group.tree, digest, image, parent });
            base = Some(self.bases.len() - 1);
            saved = group.saved;
            below -= 1;
        }
        for member in group.members {
            self.descend(trees, member, base, saved, below);
        }
    }

    /// The image whose nodes a group has.
    fn first_image(&self, mut member: Member) -> usize {
        loop {
            match member {
                Member::Image(index) => return index,
                Member::Group(index) => match &self.groups[index] {
                    Some(group) => member = group.members[0],
                    None => return 0,
                },
            }
        }
    }
}

/// What a name that is shared saves: the content and an inode. Directories are needed anyway.
fn cost(node: &Node) -> u64 {
    match &node.kind {
        FileKind::Directory => 0,
        FileKind::File(content) => content.size + NAME,
        _ => NAME,
    }
}

/// A tree with its hard links, for comparison with others.
struct Shared<'a> {
    tree: &'a Tree,
    links: HashMap<u64, Vec<&'a [u8]>>,
}

impl<'a> Shared<'a> {
    fn new(tree: &'a Tree) -> Self {
        Self { tree, links: super::delta::links(tree) }
    }

    /// The names that are equal in both.
    fn names(&self, other: &Self) -> impl Iterator<Item = &'a Vec<u8>> {
        self.tree.nodes.iter().filter_map(|(path, node)| {
            let twin = other.tree.nodes.get(path)?;
            let equal = node.meta == twin.meta
                && super::delta::same_kind(&node.kind, &twin.kind)
                && self.links.get(&node.inode) == other.links.get(&twin.inode);
            equal.then_some(path)
        })
    }

    /// A tree of the names that are equal in both, and of this tree's directories on the way to them.
    fn and(&self, other: &Self) -> Tree {
        let mut nodes: BTreeMap<Vec<u8>, Node> = BTreeMap::new();
        for path in self.names(other) {
            let mut at = &path[..];
            while let Some(slash) = at.iter().rposition(|&byte| byte == b'/') {
                at = &at[..slash];
                let Some((path, node)) = self.tree.nodes.get_key_value(at) else { break };
                if nodes.insert(path.clone(), node.clone()).is_some() {
                    break;
                }
            }
            nodes.insert(path.clone(), self.tree.nodes[path].clone());
        }
        Tree { nodes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::arbitrary::{dir, file, large as large_tree};
    use crate::plan::delta::{delta, overlay};

    /// A tree whose files have these contents, each of them as many MiB as its number.
    fn large(names: &[(&'static str, u8)]) -> Tree {
        let files: Vec<_> = names.iter().map(|(path, seed)| file(path, *seed)).collect();
        large_tree(&[&[dir("d"), dir("only")], &files[..]].concat())
    }

    #[test]
    fn what_is_shared_is_a_layer_if_it_is_worth_one() {
        let all = [("d/all", 9)];
        let a = large(&[&all[..], &[("d/ab", 5), ("only/a", 3)]].concat());
        let b = large(&[&all[..], &[("d/ab", 5), ("only/b", 4)]].concat());
        let c = large(&[&all[..], &[("d/ab", 6)]].concat());
        let trees = [(3, &a), (5, &b), (7, &c)];
        let (bases, of_images) = choose(&trees, LEVELS);
        let parents: Vec<_> = bases.iter().map(|base| base.parent).collect();
        assert_eq!(parents, [Below::Nothing, Below::Layer(0)]);
        assert_eq!(of_images, HashMap::from([(3, 1), (5, 1), (7, 0)]));
        let names = |base: &Base| base.tree.nodes.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&bases[0]), [&b"d"[..], b"d/all", b"only"]);
        assert_eq!(names(&bases[1]), [&b"d"[..], b"d/ab", b"d/all", b"only"]);

        let (bases, of_images) = choose(&trees, 1);
        assert_eq!((bases.len(), of_images.len()), (1, 3), "one level");
        let (bases, of_images) = choose(&trees[..1], LEVELS);
        assert_eq!((bases.len(), of_images.len()), (0, 0), "one image");
        let far = large(&[("d/else", 8)]);
        assert_eq!(choose(&[(0, &a), (1, &far)], LEVELS).0.len(), 0, "nothing is shared");
    }

    proptest::proptest! {
        #[test]
        fn an_image_is_its_layer_on_its_base(
            pair in crate::plan::arbitrary::trees(),
        ) {
            let (a, b) = &pair;
            let base = Shared::new(a).and(&Shared::new(b));
            for want in [a, b] {
                let shown = overlay(&base, &delta(Some(&base), want));
                proptest::prop_assert_eq!(shown.digest(), want.digest());
            }
        }
    }
}
