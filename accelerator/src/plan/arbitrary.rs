//! Small trees for tests: by hand and by chance.

use crate::sha256::sha256;
use crate::tree::{Content, FileKind, Metadata, Node, Tree};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What a test tree has under a path.
#[derive(Debug, Clone)]
pub(crate) enum What {
    Directory,
    File(u8),
    Symlink,
    Fifo,
    Link(String),
}

pub(crate) type Name = (String, What, u8);

pub(crate) fn dir(path: &str) -> Name {
    (path.to_owned(), What::Directory, 0)
}

/// A file with [`content`] `n`.
pub(crate) fn file(path: &str, n: u8) -> Name {
    (path.to_owned(), What::File(n), 0)
}

pub(crate) fn link(path: &str, first: &str) -> Name {
    (path.to_owned(), What::Link(first.to_owned()), 0)
}

/// The content of [`file`]. From 100 on it is 100 bytes shorter, so that contents of one size differ.
pub(crate) fn content(n: u8) -> Content {
    let size = u64::from(n % 100);
    let bytes: Vec<u8> = (0..size).map(|_| n).collect();
    Content { sha256: sha256(&bytes).0, size, layer: 0, extents: Vec::new() }
}

/// A tree with these names. What has no directory above it, or links to no file, is left out.
pub(crate) fn tree(names: &[Name]) -> Tree {
    let mut tree = Tree::default();
    for (inode, (path, what, flavour)) in (1..).zip(names) {
        let above = path.rsplit_once('/').map(|(above, _)| above.as_bytes());
        let is_dir =
            |path: &[u8]| tree.nodes.get(path).is_some_and(|n| n.kind == FileKind::Directory);
        if !above.is_none_or(is_dir) || tree.nodes.contains_key(path.as_bytes()) {
            continue;
        }
        let meta = Metadata {
            mode: 0o644,
            uid: u32::from(*flavour),
            gid: 0,
            mtime: 0,
            mtime_nanos: 0,
            xattrs: BTreeMap::new(),
        };
        let kind = match what {
            What::Directory => FileKind::Directory,
            What::File(n) => FileKind::File(content(*n)),
            What::Symlink => FileKind::Symlink(vec![b'a' + flavour]),
            What::Fifo => FileKind::Fifo,
            What::Link(first) => {
                let first = tree.nodes.get(first.as_bytes()).cloned();
                if let Some(first) = first.filter(|node| node.kind != FileKind::Directory) {
                    tree.nodes.insert(path.clone().into_bytes(), first);
                }
                continue;
            }
        };
        tree.nodes.insert(path.clone().into_bytes(), Node { meta, kind, inode });
    }
    tree
}

/// The same with contents of as many MiB as they have bytes there.
pub(crate) fn large(names: &[Name]) -> Tree {
    enlarged(tree(names))
}

fn enlarged(mut tree: Tree) -> Tree {
    for node in tree.nodes.values_mut() {
        if let FileKind::File(content) = &mut node.kind {
            content.size <<= 20;
        }
    }
    tree
}

fn path() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "b-", "c"]);
    prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"))
}

fn name() -> impl Strategy<Value = Name> {
    let what = prop_oneof![
        5 => Just(What::Directory),
        4 => prop::sample::select(vec![0, 1, 101]).prop_map(What::File),
        1 => Just(What::Symlink),
        1 => Just(What::Fifo),
        3 => path().prop_map(What::Link),
    ];
    (path(), what, 0..2u8)
}

fn names() -> impl Strategy<Value = Vec<Name>> {
    prop::collection::vec(name(), 0..24).prop_map(|mut names| {
        names.sort_by_key(|(path, what, _)| {
            (path.matches('/').count(), matches!(what, What::Link(_)))
        });
        names
    })
}

/// Two trees that have much in common.
pub(crate) fn trees() -> impl Strategy<Value = (Tree, Tree)> {
    (names(), names(), names()).prop_map(|(common, old, new)| {
        let of = |own: &[Name]| {
            let mut all = [own, &common].concat();
            all.sort_by_key(|(path, ..)| path.matches('/').count());
            tree(&all)
        };
        (of(&old), of(&new))
    })
}

/// What two images were and are: trees with large contents that have much in common, in this order: the one as it was
/// and is, the other as it was and is.
pub(crate) fn updates() -> impl Strategy<Value = [Tree; 4]> {
    let names = [names(), names(), names(), names(), names(), names()];
    names.prop_map(|[kept, old, new, one, other, own]| {
        let of = |parts: [&[Name]; 3]| {
            let mut all = parts.concat();
            all.sort_by_key(|(path, ..)| path.matches('/').count());
            large(&all)
        };
        [
            of([&old, &one, &kept]),
            of([&new, &one, &kept]),
            of([&old, &other, &kept]),
            of([&new, &own, &kept]),
        ]
    })
}
