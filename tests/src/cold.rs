//! The trees of [`skiff_cold`] as entries of images.

use crate::tarball::Entry;
use skiff_cold::{BASE, File, Kind, MTIME, Programs, files};

/// Where a tree stands in its image: nowhere else, or in the directory of its number.
fn place(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
}

fn root(prefix: &str) -> Option<Entry> {
    (!prefix.is_empty()).then(|| Entry::directory(format!("{prefix}/")))
}

/// What lies below the tree.
pub fn base(prefix: &str) -> Vec<Entry> {
    let entry = |(name, text): (&str, &str)| match name.ends_with('/') {
        true => Entry::directory(place(prefix, name)),
        false => Entry::file(place(prefix, name), text).mtime(MTIME, 0),
    };
    root(prefix).into_iter().chain(BASE.into_iter().map(entry)).collect()
}

/// The tree with this seed.
pub fn tree(prefix: &str, seed: u64, programs: &Programs) -> Vec<Entry> {
    let entry = |File { name, mode, kind }| {
        let path = place(prefix, name);
        match kind {
            Kind::Bytes(bytes) => Entry::file(path, bytes).mode(mode.into()).mtime(MTIME, 0),
            Kind::Hardlink(to) => Entry::hardlink(path, place(prefix, to)).mtime(MTIME, 0),
            Kind::Symlink(to) => Entry::symlink(path, to),
            Kind::Directory => Entry::directory(path),
        }
    };
    root(prefix).into_iter().chain(files(seed, programs).into_iter().map(entry)).collect()
}
