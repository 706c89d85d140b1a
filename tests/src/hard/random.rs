//! Random trees, for the property that a delta of any two of them, applied to the one, is the other. Names, contents
//! and layers are few, so that trees have much in common.

use super::Repository;
use crate::random::SplitMix64;
use crate::tarball::{Entry, Kind};
use std::collections::BTreeMap;

/// Versions of one repository, as different and as alike as chance makes them.
pub fn random(seed: u64, versions: usize) -> Repository {
    let mut chance = Chance(SplitMix64(seed));
    let mut lowest: Vec<Made> = Vec::new();
    let mut all = Vec::new();
    for _ in 0..versions {
        let mut layers = Vec::new();
        let mut tree = Tree::new();
        // Half of the versions have a layer that another one has.
        let shared = if lowest.is_empty() { 2 } else { chance.below(4) };
        let (first, below) = match shared {
            0 | 1 => lowest[chance.below(lowest.len())].clone(),
            _ => {
                let first = layer(&mut chance, &mut tree);
                (first, tree)
            }
        };
        lowest.push((first.clone(), below.clone()));
        tree = below;
        layers.push(first);
        for _ in 0..chance.below(3) {
            layers.push(layer(&mut chance, &mut tree));
        }
        all.push(layers);
    }
    Repository::of("random", all)
}

/// A layer, and the tree up to it.
type Made = (Vec<Entry>, Tree);
/// Paths, and which are directories.
type Tree = BTreeMap<String, bool>;

#[derive(Debug)]
struct Chance(SplitMix64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.0.next() % end as u64).unwrap_or(0)
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// The next layer on a tree.
fn layer(chance: &mut Chance, tree: &mut Tree) -> Vec<Entry> {
    let mut entries = Vec::new();
    // What this layer made, and which of it are files.
    let mut own: BTreeMap<String, bool> = BTreeMap::new();
    if !tree.is_empty() {
        hide(chance, tree, &mut own, &mut entries);
    }
    for _ in 0..2 + chance.below(10) {
        let directories: Vec<&String> =
            tree.iter().filter(|(_, directory)| **directory).map(|(path, _)| path).collect();
        let name = *chance.pick(&["a", "b", "b-", "c.txt", "d", "é", "lib"]);
        let path = match chance.below(directories.len() + 2) {
            n if n < directories.len() => format!("{}/{name}", directories[n]),
            _ => name.to_owned(),
        };
        let above = path.rsplit_once('/').map(|(above, _)| above);
        if own.contains_key(&path) || above.is_some_and(|above| own.get(above) == Some(&true)) {
            continue;
        }
        let Some((entry, directory, file)) = entry(chance, &path, &own, &entries) else { continue };
        let was_directory = tree.get(&path) == Some(&true);
        if was_directory && !directory {
            tree.retain(|other, _| !other.starts_with(&format!("{path}/")));
            // What of this layer lies there would go, too.
            if own.keys().any(|other| other.starts_with(&format!("{path}/"))) {
                continue;
            }
        }
        tree.insert(path.clone(), directory);
        own.insert(path, file);
        entries.push(dressed(chance, entry));
    }
    entries
}

/// Whiteouts, and marks of opaque directories, before all else.
fn hide(chance: &mut Chance, tree: &mut Tree, own: &mut Tree, entries: &mut Vec<Entry>) {
    for _ in 0..chance.below(4) {
        let paths: Vec<(String, bool)> = tree.iter().map(|(p, d)| (p.clone(), *d)).collect();
        if paths.is_empty() {
            return;
        }
        let (path, directory) = chance.pick(&paths).clone();
        let inside = format!("{path}/");
        if own.keys().any(|other| other.starts_with(&inside)) {
            continue;
        }
        tree.retain(|other, _| !other.starts_with(&inside));
        if directory && chance.below(2) == 0 {
            if own.insert(path.clone(), false).is_none() {
                entries.push(Entry::directory(&inside));
                entries.push(Entry::opaque(&path));
            }
        } else if !own.contains_key(&path) {
            own.insert(path.clone(), true);
            tree.remove(&path);
            entries.push(Entry::whiteout(&path));
        }
    }
}

/// An entry, whether it is a directory, and whether nothing can lie below it.
fn entry(
    chance: &mut Chance,
    path: &str,
    own: &Tree,
    entries: &[Entry],
) -> Option<(Entry, bool, bool)> {
    Some(match chance.below(12) {
        0..=3 => (Entry::directory(format!("{path}/")), true, false),
        4 => (Entry::symlink(path, *chance.pick(&["a", "../b", "/etc", "no/where"])), false, true),
        5 => {
            // Not whiteouts, whose names are others.
            let is_file = |entry: &&Entry| {
                let name = String::from_utf8_lossy(&entry.name);
                matches!(entry.kind, Kind::File(_)) && own.contains_key(&*name)
            };
            let files: Vec<&Entry> = entries.iter().filter(is_file).collect();
            if files.is_empty() {
                return None;
            }
            (Entry::hardlink(path, &chance.pick(&files).name), false, true)
        }
        6 => (Entry::character(path, 1, 3), false, true),
        7 => (Entry::fifo(path), false, true),
        n => {
            let size = *chance.pick(&[0, 1, 300, 5000, 70_000]);
            let same = chance.below(3) as u64;
            let seed = if n == 8 { chance.0.next() } else { same };
            (Entry::file(path, super::noise(seed, size)), false, true)
        }
    })
}

/// With mode, owner, time and an attribute that chance gives it.
fn dressed(chance: &mut Chance, entry: Entry) -> Entry {
    let mode = *chance.pick(&[0o644, 0o755, 0o4755, 0o600, 0o1777]);
    let owner = *chance.pick(&[0, 1000]);
    let second = i64::try_from(chance.below(3)).unwrap_or(0);
    let plain = matches!(entry.kind, Kind::File(_) | Kind::Directory);
    let link = matches!(entry.kind, Kind::Hardlink(_));
    let entry = entry.owner(owner, 7).mtime(1_700_000_000 + second, 5);
    let entry = if link || !plain { entry } else { entry.mode(mode) };
    if plain && chance.below(4) == 0 { entry.xattr("user.x", [7; 3]) } else { entry }
}
