//! One row for each rule of overlayfs.

use super::*;
use crate::layer::tar_builder::{Item, applied, dir, file, hard_link, symlink};

fn stack(layers: &[Vec<Item>]) -> Tree {
    let mut tree = Tree::default();
    for (index, items) in layers.iter().enumerate() {
        tree = merge(&tree, &applied(items), u32::try_from(index).unwrap());
    }
    tree
}

/// Each node as `path mode`, with the layer of a file.
fn brief(tree: &Tree) -> Vec<String> {
    let row = |(path, node): (&Path, &Node)| {
        let path = String::from_utf8_lossy(path);
        match &node.kind {
            FileKind::Directory => format!("{path}/ {:o}", node.meta.mode),
            FileKind::File(content) => format!("{path} {:o} L{}", node.meta.mode, content.layer),
            _ => path.into_owned(),
        }
    };
    tree.nodes.iter().map(row).collect()
}

#[test]
fn rules() {
    let base = || {
        vec![
            dir("d").mode(0o700).owner(1, 2).mtime(77).xattr("user.a", "1"),
            file("d/f", ""),
            file("d-e", ""),
            dir("d/sub"),
            file("d/sub/g", ""),
            symlink("l", "d"),
        ]
    };
    let rows: Vec<(&str, Vec<Item>, &[&str])> = vec![
        (
            "nothing",
            vec![],
            &["d/ 700", "d-e 644 L0", "d/f 644 L0", "d/sub/ 755", "d/sub/g 644 L0", "l"],
        ),
        (
            "a file over a file",
            vec![file("d-e", "")],
            &["d/ 700", "d-e 644 L1", "d/f 644 L0", "d/sub/ 755", "d/sub/g 644 L0", "l"],
        ),
        ("a file over a directory", vec![file("d", "")], &["d 644 L1", "d-e 644 L0", "l"]),
        (
            "a directory over a directory",
            vec![dir("d").mode(0o711)],
            &["d/ 711", "d-e 644 L0", "d/f 644 L0", "d/sub/ 755", "d/sub/g 644 L0", "l"],
        ),
        (
            "an implicit directory",
            vec![file("d/f", "")],
            &["d/ 700", "d-e 644 L0", "d/f 644 L1", "d/sub/ 755", "d/sub/g 644 L0", "l"],
        ),
        (
            "an opaque directory",
            vec![file("d/.wh..wh..opq", ""), file("d/n", "")],
            &["d/ 700", "d-e 644 L0", "d/n 644 L1", "l"],
        ),
        (
            "an opaque directory, its child implicit",
            vec![file("d/.wh..wh..opq", ""), file("d/sub/n", "")],
            &["d/ 700", "d-e 644 L0", "d/sub/ 755", "d/sub/n 644 L1", "l"],
        ),
        ("a whiteout of a directory", vec![file(".wh.d", "")], &["d-e 644 L0", "l"]),
        (
            "a whiteout of a file",
            vec![file("d/.wh.f", "")],
            &["d/ 700", "d-e 644 L0", "d/sub/ 755", "d/sub/g 644 L0", "l"],
        ),
        (
            "a whiteout of nothing",
            vec![file("d/sub/.wh.none", "")],
            &["d/ 700", "d-e 644 L0", "d/f 644 L0", "d/sub/ 755", "d/sub/g 644 L0", "l"],
        ),
        (
            "a directory over a file",
            vec![dir("d/f"), file("d/f/x", "")],
            &[
                "d/ 700",
                "d-e 644 L0",
                "d/f/ 755",
                "d/f/x 644 L1",
                "d/sub/ 755",
                "d/sub/g 644 L0",
                "l",
            ],
        ),
        (
            "an implicit directory over a symlink",
            vec![file("l/x", "")],
            &[
                "d/ 700",
                "d-e 644 L0",
                "d/f 644 L0",
                "d/sub/ 755",
                "d/sub/g 644 L0",
                "l/ 700",
                "l/x 644 L1",
            ],
        ),
        (
            "an implicit directory over a file",
            vec![file("d-e/x", "")],
            &[
                "d/ 700",
                "d-e/ 755",
                "d-e/x 644 L1",
                "d/f 644 L0",
                "d/sub/ 755",
                "d/sub/g 644 L0",
                "l",
            ],
        ),
    ];
    for (name, items, expected) in rows {
        assert_eq!(brief(&stack(&[base(), items])), expected, "{name}");
    }
}

#[test]
fn implicit_directories_take_all_or_attributes_only() {
    let base =
        vec![dir("d").mode(0o700).owner(1, 2).mtime(77).xattr("user.a", "1").xattr("user.b", "1")];
    let implicit = stack(&[base.clone(), vec![file("d/f", "")]]);
    assert_eq!(
        implicit.nodes[&b"d"[..]].meta,
        stack(std::slice::from_ref(&base)).nodes[&b"d"[..]].meta
    );
    let later = vec![file("d/f", ""), dir("d").mode(0o711).xattr("user.b", "2")];
    let meta = &stack(&[base.clone(), later]).nodes[&b"d"[..]].meta;
    assert_eq!((meta.mode, meta.uid, meta.mtime), (0o711, 0, 1));
    let values: Vec<&[u8]> = meta.xattrs.values().map(Vec::as_slice).collect();
    assert_eq!(values, [b"1", b"2"]);
    let first = vec![dir("d").mode(0o711), file("d/f", "")];
    assert!(stack(&[base, first]).nodes[&b"d"[..]].meta.xattrs.is_empty());
}

#[test]
fn hard_links_stay_within_their_layer() {
    let links = || vec![file("a", "x"), hard_link("b", "a")];
    let tree = stack(&[links(), vec![file("a", "x"), hard_link("c", "a")]]);
    let inode = |path: &str| tree.nodes[path.as_bytes()].inode;
    assert_eq!(inode("a"), inode("c"));
    assert_ne!(inode("a"), inode("b"));
    assert_ne!(stack(&[links()]).nodes.len(), 1);
}
