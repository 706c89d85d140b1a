//! How likely programs need a file that nothing is known of, as its path and mode tell.

use crate::tree::{Content, FileKind, Node, Tree};
use std::collections::HashMap;

/// From likely to unlikely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Likely {
    /// A program or a library.
    Code,
    /// Anything else.
    Data,
    /// What is for people and compilers: documentation, other languages, headers, tests.
    Seldom,
}

/// Directories of `/usr/share`, or of a language's packages, that programs have no need of.
const SELDOM: [&[u8]; 18] = [
    b"doc",
    b"docs",
    b"man",
    b"info",
    b"locale",
    b"i18n",
    b"lintian",
    b"bug",
    b"help",
    b"licenses",
    b"common-licenses",
    b"include",
    b"test",
    b"tests",
    b"__tests__",
    b"example",
    b"examples",
    b"benchmark",
];

/// Ends of names that programs have no need of.
const ENDS: [&[u8]; 9] = [b".a", b".h", b".hpp", b".la", b".md", b".map", b".ts", b".pdf", b".po"];

/// The likelihood of each content of the trees; of a content with several files, the highest.
pub(super) fn contents<'a>(trees: impl Iterator<Item = &'a Tree>) -> HashMap<[u8; 32], Likely> {
    let mut contents = HashMap::new();
    for tree in trees {
        for (path, node) in &tree.nodes {
            let FileKind::File(Content { sha256, .. }) = &node.kind else { continue };
            let likely = of(path, node);
            contents
                .entry(*sha256)
                .and_modify(|l: &mut Likely| *l = likely.min(*l))
                .or_insert(likely);
        }
    }
    contents
}

fn of(path: &[u8], node: &Node) -> Likely {
    let mut names = path.split(|byte| *byte == b'/');
    let name = names.next_back().unwrap_or_default();
    let is_library = name.ends_with(b".so") || name.windows(4).any(|part| part == b".so.");
    if ENDS.iter().any(|end| name.ends_with(end)) || names.any(|name| SELDOM.contains(&name)) {
        Likely::Seldom
    } else if is_library || node.meta.mode & 0o111 != 0 {
        Likely::Code
    } else {
        Likely::Data
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::arbitrary::{content, dir, file, tree};

    #[test]
    fn a_path_tells_how_likely_a_file_is_needed() {
        let mut tree = tree(&[dir("lib"), dir("doc"), dir("x"), dir("x/tests")]);
        let rows: [(&str, u16, Likely); 8] = [
            ("lib/a.so", 0o644, Likely::Code),
            ("lib/a.so.1.2", 0o644, Likely::Code),
            ("lib/soso", 0o644, Likely::Data),
            ("x/run", 0o755, Likely::Code),
            ("x/readme.md", 0o755, Likely::Seldom),
            ("doc/run", 0o755, Likely::Seldom),
            ("x/tests/a.so", 0o644, Likely::Seldom),
            ("test", 0o644, Likely::Data),
        ];
        for (n, (path, mode, _)) in (1..).zip(rows) {
            let made = super::super::arbitrary::tree(&[file("f", n)]);
            let mut node = made.nodes[&b"f"[..]].clone();
            node.meta.mode = mode;
            tree.nodes.insert(path.as_bytes().to_vec(), node);
        }
        let found = contents([&tree].into_iter());
        for (n, (path, _, likely)) in (1..).zip(rows) {
            assert_eq!(found[&content(n).sha256], likely, "{path}");
        }
        let again = super::super::arbitrary::tree(&[dir("doc"), file("doc/copy", 3)]);
        let both = contents([&again, &tree].into_iter());
        assert_eq!(both[&content(3).sha256], Likely::Data, "also somewhere else");
    }
}
