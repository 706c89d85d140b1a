//! Tables and properties of [`delta`].

use super::*;
use crate::plan::arbitrary::{dir, file, link, tree, trees};
use proptest::prelude::*;

fn brief(entries: &[Entry<'_>]) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    entries
        .iter()
        .map(|entry| match entry.kind {
            EntryKind::Node { opaque: true, .. } => format!("{} opaque", text(entry.path)),
            EntryKind::Node { .. } => text(entry.path),
            EntryKind::HardLink { first } => format!("{} = {}", text(entry.path), text(first)),
            EntryKind::Whiteout => format!("-{}", text(entry.path)),
        })
        .collect()
}

#[test]
fn a_layer_has_what_changed_and_no_more() {
    let rows: [(&str, Tree, Tree, &[&str]); 11] = [
        ("equal", tree(&[dir("d"), file("d/a", 1)]), tree(&[dir("d"), file("d/a", 1)]), &[]),
        (
            "the way to a change",
            tree(&[dir("d"), dir("d/e"), file("d/e/a", 1), file("d/b", 1)]),
            tree(&[dir("d"), dir("d/e"), file("d/e/a", 2), file("d/b", 1)]),
            &["d", "d/e", "d/e/a"],
        ),
        (
            "a whole directory is gone",
            tree(&[dir("d"), dir("d/e"), file("d/e/a", 1), file("d/b", 1)]),
            tree(&[dir("d"), file("d/b", 1)]),
            &["d", "-d/e"],
        ),
        (
            "nothing stays in a directory",
            tree(&[dir("d"), file("d/a", 1), file("d/b", 1)]),
            tree(&[dir("d"), file("d/c", 1)]),
            &["d opaque", "d/c"],
        ),
        (
            "a directory is emptied",
            tree(&[dir("d"), file("d/a", 1)]),
            tree(&[dir("d")]),
            &["d opaque"],
        ),
        (
            "replaced children need no opaque directory",
            tree(&[dir("d"), file("d/a", 1)]),
            tree(&[dir("d"), file("d/a", 2)]),
            &["d", "d/a"],
        ),
        (
            "directory becomes file",
            tree(&[dir("d"), file("d/a", 1)]),
            tree(&[file("d", 1)]),
            &["d"],
        ),
        (
            "file becomes directory",
            tree(&[file("d", 1)]),
            tree(&[dir("d"), file("d/a", 1)]),
            &["d opaque", "d/a"],
        ),
        (
            "a link is added",
            tree(&[file("a", 1), file("c", 9)]),
            tree(&[file("a", 1), link("b", "a"), file("c", 9)]),
            &["a", "b = a"],
        ),
        (
            "a link is gone",
            tree(&[file("a", 1), link("b", "a")]),
            tree(&[file("b", 1)]),
            &["-a", "b"],
        ),
        (
            "a name that sorts between a directory and its children",
            tree(&[dir("d"), file("d-x", 1), file("d/a", 1), file("d/b", 1)]),
            tree(&[dir("d"), file("d-x", 2), file("d/b", 1)]),
            &["d", "d-x", "-d/a"],
        ),
    ];
    for (row, parent, want, expected) in rows {
        assert_eq!(brief(&delta(Some(&parent), &want)), expected, "{row}");
    }
}

#[test]
fn without_a_parent_the_layer_is_the_tree() {
    let want = tree(&[dir("d"), file("d/a", 1), link("e", "d/a")]);
    assert_eq!(brief(&delta(None, &want)), ["d", "d/a", "e = d/a"]);
}

/// Inodes renamed to the first path of their group.
fn normal(tree: &Tree) -> BTreeMap<Vec<u8>, (Node, Vec<u8>)> {
    let mut firsts: HashMap<u64, Vec<u8>> = HashMap::new();
    for (path, node) in &tree.nodes {
        firsts.entry(node.inode).or_insert_with(|| path.clone());
    }
    let nodes = tree.nodes.iter();
    nodes
        .map(|(path, node)| {
            (path.clone(), (Node { inode: 0, ..node.clone() }, firsts[&node.inode].clone()))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_delta_over_its_parent_shows_the_wanted_tree((parent, want) in trees()) {
        let layer = delta(Some(&parent), &want);
        prop_assert_eq!(normal(&overlay(&parent, &layer)), normal(&want));
        prop_assert_eq!(normal(&overlay(&Tree::default(), &delta(None, &want))), normal(&want));
        prop_assert!(delta(Some(&want), &want).is_empty());
    }

    #[test]
    fn a_layer_is_well_formed((parent, want) in trees()) {
        let layer = delta(Some(&parent), &want);
        let mut seen: HashMap<&[u8], EntryKind<'_>> = HashMap::new();
        let mut last: &[u8] = b"";
        for entry in &layer {
            prop_assert!(last < entry.path, "byte order");
            last = entry.path;
            for above in ancestors(entry.path) {
                let directory = matches!(seen.get(above), Some(EntryKind::Node { node, .. })
                    if node.kind == FileKind::Directory);
                prop_assert!(directory, "the way is there");
                let opaque = matches!(seen[above], EntryKind::Node { opaque: true, .. });
                prop_assert!(!(opaque && entry.kind == EntryKind::Whiteout), "hidden already");
            }
            match entry.kind {
                EntryKind::HardLink { first } => {
                    let node = matches!(seen.get(first), Some(EntryKind::Node { .. }));
                    prop_assert!(node, "the first name is there");
                }
                EntryKind::Whiteout => prop_assert!(parent.nodes.contains_key(entry.path)),
                EntryKind::Node { .. } => {}
            }
            seen.insert(entry.path, entry.kind);
        }
    }
}
