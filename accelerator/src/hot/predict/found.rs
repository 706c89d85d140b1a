//! The files that are found, each once, and how names lead to them.

use crate::hot::MOST;
use crate::tree::{Content, FileKind, Path, Tree};
use std::collections::HashSet;

/// Names of a directory's tree that are looked at for the directory's files.
pub(super) const MOST_NAMES: usize = 4096;

/// A file with fewer bytes is short.
const SHORT: u64 = 256 << 10;
/// Bytes of short files that come first: they delay the others, which may be surer.
const MOST_SHORT: u64 = 32 << 20;

/// Files in the order in which they were found.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) tree: &'a Tree,
    /// Directories of programs.
    pub(super) programs: Vec<String>,
    /// Where relative paths begin.
    pub(super) directory: String,
    paths: Vec<Path>,
    seen: HashSet<Path>,
}

impl<'a> Found<'a> {
    pub(super) fn new(tree: &'a Tree, programs: Vec<String>, directory: &str) -> Self {
        let directory = directory.to_owned();
        Self { tree, programs, directory, paths: Vec::new(), seen: HashSet::new() }
    }

    /// Takes a file in; gives its content if it is a new one.
    pub(super) fn add(&mut self, path: &[u8]) -> Option<&'a Content> {
        let content = self.tree.content(path).filter(|content| content.size > 0)?;
        if self.paths.len() >= MOST || !self.seen.insert(path.to_vec()) {
            return None;
        }
        self.paths.push(path.to_vec());
        Some(content)
    }

    pub(super) fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// The files in the order in which they are to come: the short ones, and then the long ones, each as they were
    /// found. A program that opens a file before its turn waits for two round trips: with a short file that is nearly all
    /// that it waits for, and there may be thousands; a long one's own bytes take longer than that.
    pub(super) fn in_order(self) -> Vec<Path> {
        let mut left = MOST_SHORT;
        let (mut first, mut then) = (Vec::new(), Vec::new());
        for path in self.paths {
            let size = self.tree.content(&path).map_or(0, |content| content.size);
            if size < SHORT && size <= left {
                left -= size;
                first.push(path);
            } else {
                then.push(path);
            }
        }
        first.extend(then);
        first
    }

    /// The file that a path leads to.
    pub(super) fn file(&self, path: &[u8]) -> Option<Path> {
        let path = self.tree.resolve(path)?;
        self.tree.content(&path).is_some().then_some(path)
    }

    /// The directory that a path leads to.
    pub(super) fn directory(&self, path: &[u8]) -> Option<Path> {
        self.tree.resolve(path).filter(|path| is_directory(self.tree, path))
    }

    /// The program of a name on the way of `PATH`.
    pub(super) fn program(&self, name: &str) -> Option<Path> {
        let executable = |path: &Path| self.tree.nodes[path].meta.mode & 0o111 != 0;
        let in_directory = |directory: &String| {
            self.file(format!("{directory}/{name}").as_bytes()).filter(executable)
        };
        self.programs.iter().find_map(in_directory)
    }

    /// The file that a word names: a path, or a program on the way of `PATH`.
    pub(super) fn named(&self, word: &str) -> Option<Path> {
        if word.starts_with('/') {
            return self.file(word.as_bytes());
        }
        // A word with a dot may be a script that an interpreter is given.
        let here = || {
            let is_name = word.contains(['/', '.']);
            is_name.then(|| self.file(format!("{}/{word}", self.directory).as_bytes())).flatten()
        };
        if word.contains('/') { here() } else { self.program(word).or_else(here) }
    }

    /// The files that stand in a directory, not below it, in the order of their names. What its links lead to
    /// counts as standing there.
    pub(super) fn files_in(&self, directory: &[u8]) -> impl Iterator<Item = Path> {
        let from = [directory, b"/"].concat();
        let (len, tree) = (from.len(), self.tree);
        let names = tree.nodes.range(from.clone()..).map(|(path, _)| path);
        let names = names.take(MOST_NAMES).take_while(move |path| path.starts_with(&from));
        names.filter(move |path| !path[len..].contains(&b'/')).filter_map(|path| {
            let path = tree.resolve(path)?;
            tree.content(&path).is_some().then_some(path)
        })
    }
}

/// Whether a path, without links in it, is a directory.
pub(super) fn is_directory(tree: &Tree, path: &[u8]) -> bool {
    tree.nodes.get(path).is_some_and(|node| node.kind == FileKind::Directory)
}

/// The directory that a path is in; nothing above the root.
pub(super) fn above(path: &[u8]) -> Option<&[u8]> {
    if path.is_empty() {
        return None;
    }
    Some(path.iter().rposition(|byte| *byte == b'/').map_or(b"", |slash| &path[..slash]))
}
