//! One row for each rule of overlayfs.

use super::*;
use crate::layer::tar_builder::{Item, applied, dir, file, hard_link, symlink};
use crate::tree::Path;

fn stack(layers: &[Vec<Item>]) -> Tree {
    merge(layers.iter().map(|items| applied(items)))
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
fn implicit_directories_ask_the_lower_layers_one_by_one() {
    type Layers = Vec<Vec<Item>>;
    let rows: [(&str, Layers, &str, u16); 5] = [
        (
            "past an opaque mark",
            vec![
                vec![dir("a"), dir("a/b").mode(0o711)],
                vec![dir("a"), file("a/.wh..wh..opq", "")],
                vec![file("a/b/c", "")],
            ],
            "a/b",
            0o711,
        ),
        (
            "a symlink alone in its layer leads nowhere",
            vec![vec![dir("b").mode(0o711)], vec![symlink("a", "b")], vec![file("a/n", "")]],
            "a",
            0o755,
        ),
        (
            "a symlink beside its target",
            vec![vec![symlink("a", "b"), dir("b").mode(0o711)], vec![file("a/n", "")]],
            "a",
            0o711,
        ),
        (
            "a whiteout ends the search",
            vec![vec![dir("a").mode(0o711)], vec![file(".wh.a", "")], vec![file("a/n", "")]],
            "a",
            0o755,
        ),
        (
            "what was implicit itself",
            vec![vec![dir("a").mode(0o711)], vec![file("a/m", "")], vec![file("a/n", "")]],
            "a",
            0o711,
        ),
    ];
    for (name, layers, path, mode) in rows {
        assert_eq!(stack(&layers).nodes[path.as_bytes()].meta.mode, mode, "{name}");
    }
}

#[test]
fn marks_in_the_lowest_layer_delete_what_it_held() {
    let marks = || {
        vec![
            file("a", ""),
            file(".wh.a", ""),
            dir("d"),
            file("d/x", ""),
            file("d/i/y", ""),
            file("d/.wh..wh..opq", ""),
        ]
    };
    assert_eq!(brief(&stack(&[marks()])), ["d/ 755", "d/x 644 L0"]);
    assert_eq!(
        brief(&stack(&[vec![file("d/z", "")], marks()])),
        ["a 644 L1", "d/ 755", "d/i/ 755", "d/i/y 644 L1", "d/x 644 L1"]
    );
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
