//! Decoded trees that are kept in memory: those that were used last, bounded by their names.
//!
//! To decode a tree takes time for each of its names, and a planner wants all that a device holds, at most 64. So a
//! bound by number would be wrong either way: a device with nine small images would have them decoded at
//! each request, and eight huge ones would fill the memory.

use crate::tree::Tree;
use skiff_protocol::Digest;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Names of all trees together, about 350 bytes each. An image has some thousand.
const NAMES: usize = 200_000;

/// The trees.
#[derive(Debug, Default)]
pub(super) struct Trees(Mutex<VecDeque<Remembered>>);

#[derive(Debug)]
struct Remembered {
    /// The image's manifest, or the digest of a base's tree.
    name: Digest,
    tree: Arc<Tree>,
    digest: Digest,
}

impl Trees {
    fn list(&self) -> MutexGuard<'_, VecDeque<Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tree with this name and its digest; it becomes the last to be forgotten.
    pub(super) fn get(&self, name: Digest) -> Option<(Arc<Tree>, Digest)> {
        let mut list = self.list();
        let at = list.iter().position(|tree| tree.name == name)?;
        let found = list.remove(at)?;
        let answer = (Arc::clone(&found.tree), found.digest);
        list.push_back(found);
        Some(answer)
    }

    /// Keeps a tree, and forgets others for it.
    pub(super) fn put(&self, name: Digest, tree: Tree, digest: Digest) -> (Arc<Tree>, Digest) {
        let tree = Arc::new(tree);
        let mut list = self.list();
        // Somebody else may have been as fast.
        list.retain(|tree| tree.name != name);
        list.push_back(Remembered { name, tree: Arc::clone(&tree), digest });
        let mut names: usize = list.iter().map(|tree| tree.tree.nodes.len()).sum();
        while names > NAMES && list.len() > 1 {
            let Some(oldest) = list.pop_front() else { break };
            names -= oldest.tree.nodes.len();
        }
        (tree, digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::arbitrary::{file, tree};

    fn of(names: usize) -> Tree {
        let names: Vec<_> = (0..names).map(|n| file(&n.to_string(), 0)).collect();
        tree(&names)
    }

    #[test]
    fn trees_are_kept_by_their_names() {
        let trees = Trees::default();
        let name = |n: u8| Digest([n; 32]);
        let kept = || (0..=100).filter(|n| trees.get(name(*n)).is_some()).collect::<Vec<u8>>();
        for n in 0..64 {
            trees.put(name(n), of(100), name(n + 100));
        }
        assert_eq!(kept().len(), 64, "as many as a device may hold");
        let (tree, digest) = trees.get(name(7)).unwrap();
        assert_eq!((tree.nodes.len(), digest), (100, name(107)));
        trees.put(name(7), of(100), name(107));
        assert_eq!(kept().len(), 64, "each once");

        assert!(trees.get(name(0)).is_some());
        trees.put(name(64), of(NAMES - 200), name(1));
        assert_eq!(kept(), [0, 63, 64], "those that were used last");
        trees.put(name(65), of(NAMES + 1), name(1));
        assert_eq!(kept(), [65], "one stays, however large");
    }
}
