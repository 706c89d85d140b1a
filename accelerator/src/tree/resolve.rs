//! Symbolic links, followed as a process does whose root the tree is.

use super::{FileKind, Path, Tree};

/// Links that are followed on the way to one file, as Linux has it.
const MAX_LINKS: usize = 40;

impl Tree {
    /// The path, without links in it, of what a path leads to. Where that begins does not matter: all paths are
    /// from the root. Nothing if it leads nowhere.
    pub fn resolve(&self, path: &[u8]) -> Option<Path> {
        let mut rest: Vec<Vec<u8>> = names(path).rev().collect();
        let (mut at, mut links): (Vec<u8>, usize) = (Vec::new(), 0);
        while let Some(name) = rest.pop() {
            if name == b".." {
                at.truncate(at.iter().rposition(|&byte| byte == b'/').unwrap_or(0));
                continue;
            }
            let before = at.len();
            if before > 0 {
                at.push(b'/');
            }
            at.extend_from_slice(&name);
            match &self.nodes.get(&at)?.kind {
                FileKind::Symlink(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return None;
                    }
                    at.truncate(if target.starts_with(b"/") { 0 } else { before });
                    rest.extend(names(target).rev());
                }
                FileKind::Directory => {}
                _ if rest.is_empty() => {}
                _ => return None,
            }
        }
        (!at.is_empty()).then_some(at)
    }
}

/// The names in a path that mean something.
fn names(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> + '_ {
    let names = path.split(|&byte| byte == b'/');
    names.filter(|name| !name.is_empty() && *name != b".").map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::arbitrary::{dir, file, tree};

    #[test]
    fn links_are_followed_within_the_root() {
        let mut tree = tree(&[dir("usr"), dir("usr/lib"), file("usr/lib/a", 1), dir("etc")]);
        let link = |tree: &mut Tree, path: &str, target: &str| {
            let mut node = tree.nodes[&b"usr"[..]].clone();
            node.kind = FileKind::Symlink(target.as_bytes().to_vec());
            tree.nodes.insert(path.as_bytes().to_vec(), node);
        };
        for (path, target) in [
            ("lib", "usr/lib"),
            ("etc/a", "../lib/./a"),
            ("etc/b", "/etc/a"),
            ("etc/out", "../../../usr/lib/a"),
            ("etc/self", "self"),
            ("etc/none", "/none"),
        ] {
            link(&mut tree, path, target);
        }
        for (path, expected) in [
            ("usr/lib/a", Some("usr/lib/a")),
            ("/lib/a", Some("usr/lib/a")),
            ("etc/b", Some("usr/lib/a")),
            ("etc/out", Some("usr/lib/a")),
            ("lib", Some("usr/lib")),
            ("lib/../a", None),
            ("etc/self", None),
            ("etc/none", None),
            ("usr/lib/a/x", None),
            ("usr/lib/a/..", None),
            ("/", None),
            ("", None),
        ] {
            let found = tree.resolve(path.as_bytes());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{path}");
        }
    }
}
