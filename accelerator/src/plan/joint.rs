//! Bases for images that are deployed together onto a device that holds something.
//!
//! Each image has a choice of its own: a layer on the best parent that is held, or on nothing. What several of them
//! have new in common is sent once then, but lies in the layer of each. The other way is a new base, which
//! shows what they share and lies on the best parent that *it* has, and a layer for each image on that:
//!
//! ```text
//!     each on its own              on a new base
//!
//!   a: new, own    b: new, own     a: own    b: own
//!      │              │               └──┬─────┘
//!      a before       b before         base: new
//!                                        │
//!                                      base before
//! ```
//!
//! The new base saves the second copy of what is new; it costs, for each image, what is its own and was not new. Which is
//! less, [`super::parent`]'s cost says: entries, bytes that are written on the device, depth. Layers that have
//! [`bases`] of new names in common are put together as trees are there, and for each group, from within to without, the
//! cheaper of the two ways is taken: the base of all its images, or the best of its parts. So an update is two layers for
//! an image at most, and no group is dearer than its images alone.

use super::bases::{self, Base, Group, Member};
use super::delta::{Entry, EntryKind, delta};
use super::parent::{self, Choice};
use super::{Below, Held};
use crate::tree::Tree;
use skiff_protocol::Digest;
use std::collections::HashMap;

/// An image that gets a layer.
#[derive(Debug)]
pub(crate) struct Own<'a> {
    /// Its index among those that are wanted.
    pub(crate) image: usize,
    /// Its tree.
    pub(crate) tree: &'a Tree,
    /// Its parent and its entries, if it is alone.
    pub(crate) choice: Choice<'a>,
}

/// The bases that pay, and for each image that is not on its own what it lies on.
pub(crate) fn choose(own: &[Own<'_>], held: &[Held]) -> (Vec<Base>, HashMap<usize, Below>) {
    let news: Vec<Tree> = own.iter().map(|own| news(&own.choice.1, own.tree)).collect();
    let (groups, outermost) = bases::groups(&news.iter().collect::<Vec<_>>());
    let joint = Joint { own, held, groups };
    let shared: Vec<Common> =
        outermost.into_iter().flat_map(|member| joint.cheapest(member).shared).collect();
    let (mut bases, mut of_images) = (Vec::new(), HashMap::new());
    for Common { tree, members } in shared {
        let (parent, entries) = parent::choose(&tree, held, 1);
        // What is held shows just that: no layer is needed for it.
        let below = match parent {
            Some(index) if entries.is_empty() => Below::Held(index),
            _ => Below::Layer(bases.len()),
        };
        of_images.extend(members.iter().map(|&member| (own[member].image, below)));
        if below == Below::Layer(bases.len()) {
            let digest = Digest(tree.digest());
            let parent = parent.map_or(Below::Nothing, Below::Held);
            let image = members.first().map_or(0, |&member| own[member].image);
            bases.push(Base { tree, digest, image, parent });
        }
    }
    (bases, of_images)
}

/// The names of a layer that are no whiteouts.
fn news(entries: &[Entry<'_>], tree: &Tree) -> Tree {
    let names = entries.iter().filter(|entry| entry.kind != EntryKind::Whiteout);
    let nodes = names.filter_map(|entry| tree.nodes.get_key_value(entry.path));
    Tree { nodes: nodes.map(|(path, node)| (path.clone(), node.clone())).collect() }
}

struct Joint<'a> {
    own: &'a [Own<'a>],
    held: &'a [Held],
    groups: Vec<Group>,
}

/// What some images share, by index into those that get a layer.
struct Common {
    tree: Tree,
    members: Vec<usize>,
}

/// A way to bring some images.
#[derive(Default)]
struct Way {
    cost: u64,
    shared: Vec<Common>,
}

impl Joint<'_> {
    /// The cheapest way for the images of a member; of equal ones that with fewer bases.
    fn cheapest(&self, member: Member) -> Way {
        match member {
            Member::Image(index) => {
                let (parent, entries) = &self.own[index].choice;
                let cost = parent::cost(entries, parent::depth(*parent, self.held));
                Way { cost, shared: Vec::new() }
            }
            Member::Group(index) => {
                let parts = self.groups[index].members.map(|member| self.cheapest(member));
                let cost = parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.cost));
                let together = self.together(self.images(member));
                if together.cost < cost {
                    return together;
                }
                Way { cost, shared: parts.into_iter().flat_map(|part| part.shared).collect() }
            }
        }
    }

    /// A base, and these images on it.
    fn together(&self, mut members: Vec<usize>) -> Way {
        members.sort_unstable();
        let tree = bases::common(members.iter().map(|&member| self.own[member].tree));
        let (parent, entries) = parent::choose(&tree, self.held, 1);
        let depth = parent::depth(parent, self.held);
        let mut cost = parent::cost(&entries, depth);
        let depth = depth + u16::from(parent.is_none() || !entries.is_empty());
        for &member in &members {
            let entries = delta(Some(&tree), self.own[member].tree);
            cost = cost.saturating_add(parent::cost(&entries, depth));
        }
        drop(entries);
        Way { cost, shared: vec![Common { tree, members }] }
    }

    fn images(&self, member: Member) -> Vec<usize> {
        match member {
            Member::Image(index) => vec![index],
            Member::Group(index) => {
                self.groups[index].members.iter().flat_map(|&part| self.images(part)).collect()
            }
        }
    }
}

#[cfg(test)]
#[path = "joint_tests.rs"]
mod tests;
