use super::*;
use crate::layer::merge;
use crate::layer::tar_builder::{Item, applied, dir, file, hard_link, symlink};

fn items() -> Vec<Item> {
    vec![
        dir("usr/lib/").owner(3, 4),
        file("usr/lib/a", "x").xattr("user.x", "\0\u{ff}").pax("mtime", b"5.25"),
        hard_link("usr/lib/b", "usr/lib/a").pax("mtime", b"5.25"),
        symlink("lib", "usr/lib"),
        file(".wh.gone", ""),
        file("opaque/.wh..wh..opq", ""),
    ]
}

fn tree(items: &[Item]) -> Tree {
    merge([applied(items)])
}

#[test]
fn round_trip() {
    for tree in [Tree::default(), tree(&items())] {
        assert_eq!(Tree::decode(&tree.encode()).unwrap(), tree);
    }
}

#[test]
fn damaged_bytes() {
    let bytes = tree(&items()).encode();
    for len in 0..bytes.len() {
        assert!(Tree::decode(&bytes[..len]).is_err(), "{len}");
    }
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        let _ = Tree::decode(&bytes); // may be another valid tree; must not panic
    }
}

#[test]
fn values_that_no_tree_has() {
    type Edit = fn(&mut Tree);
    let rows: [(&str, Edit); 7] = [
        ("parent", |t| drop(t.nodes.remove(&b"usr"[..]))),
        ("clean path", |t| drop(t.nodes.insert(b"a/../b".to_vec(), t.nodes[&b"usr"[..]].clone()))),
        ("clean path", |t| drop(t.nodes.insert(b"a\0".to_vec(), t.nodes[&b"usr"[..]].clone()))),
        ("inode", |t| drop(t.nodes.insert(b"v".to_vec(), t.nodes[&b"usr"[..]].clone()))),
        ("mode", |t| t.nodes.get_mut(&b"usr"[..]).unwrap().meta.mode = 0o10000),
        ("extents", |t| match &mut t.nodes.get_mut(&b"usr/lib/a"[..]).unwrap().kind {
            FileKind::File(content) => content.size = 0,
            other => panic!("{other:?}"),
        }),
        ("symlink", |t| t.nodes.get_mut(&b"lib"[..]).unwrap().kind = FileKind::Symlink(vec![])),
    ];
    for (expected, edit) in rows {
        let mut tree = tree(&items());
        edit(&mut tree);
        let error = Tree::decode(&tree.encode()).map_err(|error| error.to_string());
        assert!(error.as_ref().is_err_and(|text| text.contains(expected)), "{expected}: {error:?}");
    }
}

#[test]
fn digests() {
    let base = tree(&items());
    // Layers, extents and inode numbers are no part of it.
    let twice = merge([applied(&[dir("x")]), applied(&items())]);
    let mut moved = twice.clone();
    moved.nodes.remove(&b"x"[..]);
    assert_ne!(moved, base);
    assert_eq!(moved.digest(), base.digest());
    assert_ne!(twice.digest(), base.digest());
    // Links are.
    let mut unlinked = base.clone();
    unlinked.nodes.get_mut(&b"usr/lib/b"[..]).unwrap().inode = 1000;
    assert_ne!(unlinked.digest(), base.digest());
    // Fixed, so that a change of the form shows.
    let hex: String = Tree::default().digest().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, "6e8dd1982e8ef254d4c6531fb93a8a0ab4876f3d2e0053b773762ad3bce1d5cc");
}
