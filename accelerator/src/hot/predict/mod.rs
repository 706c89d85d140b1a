//! A guess at what an image starts with, where nothing is known: from its config and its tree.
//!
//! ```text
//! Entrypoint, Cmd ──▶ words ──▶ files of the tree ─┬─ `#!` ──▶ interpreter, what the script names
//!                                    ▲             └─ ELF ──▶ dynamic linker, libraries, their libraries
//!                                    └──────────────────────────────────┘
//! ```
//!
//! and the files of `/etc` that nearly every program reads. What a program opens by names that it makes itself (an
//! interpreter's modules, plug-ins) is not found: recorded sets have that.
//!
//! Reads are bounded in number, size and time; what is found by then is the guess.

mod elf;
mod words;

use crate::packs::cut::ReadContent;
use crate::tree::{Content, FileKind, Path, Tree};
use elf::{Asks, Pieces};
use std::collections::{HashSet, VecDeque};
use tokio::time::Instant;
use words::Start;

/// Of what is found: raised when more or other things are.
pub const VERSION: i64 = 1;

/// Files that are looked into.
const MOST_READ: usize = 256;
/// Larger files are not looked into.
const MOST_BYTES: u64 = 64 << 20;
/// What is read of a file first, and of a script at all.
const HEAD: u64 = 16 << 10;
/// Pieces of an ELF file.
const MOST_PIECES: usize = 8;
/// Files of a directory `NAME.d` that a script names.
const MOST_PARTS: usize = 32;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where dynamic linkers look at last; musl's has the third, too.
const LIBRARIES: [&str; 5] = ["/lib64", "/usr/lib64", "/usr/local/lib", "/lib", "/usr/lib"];

/// What the C library and nearly all programs read.
const BASICS: [&str; 9] = [
    "/etc/ld.so.cache",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/resolv.conf",
    "/etc/localtime",
    "/usr/lib/locale/C.utf8/LC_CTYPE",
];

/// Paths of the files that programs of this image use while they start, about in order. Contents are read as
/// those of image 0.
pub async fn predict<R: ReadContent>(
    config: &[u8],
    tree: &Tree,
    reader: &R,
    until: Instant,
) -> Vec<Path> {
    let start = Start::of(config);
    let mut predictor = Predictor {
        tree,
        reader,
        until,
        programs: start.list("PATH", PATH),
        libraries: Vec::new(),
        directory: start.directory().to_owned(),
        found: Vec::new(),
        seen: HashSet::new(),
        read: 0,
    };
    let configured = predictor.configured().await;
    predictor.libraries = start.list("LD_LIBRARY_PATH", "");
    predictor.libraries.extend(configured);
    predictor.libraries.retain(|directory| !directory.is_empty());
    predictor.libraries.extend(LIBRARIES.map(str::to_owned));
    for word in start.words() {
        if let Some(path) = predictor.named(&word) {
            predictor.follow(path).await;
        }
    }
    if !predictor.found.is_empty() {
        for basic in BASICS {
            predictor.add(tree.resolve(basic.as_bytes()));
        }
    }
    predictor.found
}

struct Predictor<'a, R> {
    tree: &'a Tree,
    reader: &'a R,
    until: Instant,
    /// Directories of programs.
    programs: Vec<String>,
    /// Directories of libraries.
    libraries: Vec<String>,
    /// The working directory.
    directory: String,
    found: Vec<Path>,
    seen: HashSet<Path>,
    read: usize,
}

impl<R: ReadContent> Predictor<'_, R> {
    /// Takes a file in; whether it is a new one.
    fn add(&mut self, path: Option<Path>) -> Option<Path> {
        let path = path.filter(|path| self.tree.content(path).is_some_and(|c| c.size > 0))?;
        if !self.seen.insert(path.clone()) {
            return None;
        }
        self.found.push(path.clone());
        Some(path)
    }

    /// The file that a word names: a path, or a program on the way of `PATH`.
    fn named(&self, word: &str) -> Option<Path> {
        let file = |path: String| {
            let path = self.tree.resolve(path.as_bytes())?;
            self.tree.content(&path).is_some().then_some(path)
        };
        if word.starts_with('/') {
            return file(word.to_owned());
        }
        let program = |directory: &String| {
            let path = file(format!("{directory}/{word}"))?;
            (self.tree.nodes[&path].meta.mode & 0o111 != 0).then_some(path)
        };
        // A word with a dot may be a script that an interpreter is given.
        let here = || {
            word.contains(['/', '.']).then(|| file(format!("{}/{word}", self.directory))).flatten()
        };
        let on_the_way = || self.programs.iter().find_map(program);
        if word.contains('/') { here() } else { on_the_way().or_else(here) }
    }

    /// Takes in a file, what that asks for, and so on.
    async fn follow(&mut self, path: Path) {
        let mut queue = VecDeque::from([path]);
        while let Some(path) = queue.pop_front() {
            let Some(path) = self.add(Some(path)) else { continue };
            let Some(content) = self.tree.content(&path) else { continue };
            let head = self.piece(content, 0, HEAD.min(content.size)).await;
            let Some(head) = head.filter(|_| content.size <= MOST_BYTES) else { continue };
            self.read += 1;
            if head.starts_with(b"\x7fELF") {
                let asks = self.elf(content, head).await;
                queue.extend(self.wanted(&path, &asks));
            } else if let Some((interpreter, run)) = words::interpreter(&head) {
                let is_shell = interpreter.ends_with("sh");
                let named = [Some(interpreter), run].into_iter().flatten();
                queue.extend(named.filter_map(|word| self.named(&word)));
                queue.extend(self.beside(&path));
                if is_shell {
                    queue.extend(self.script(&String::from_utf8_lossy(&head)));
                }
            } else {
                queue.extend(self.beside(&path));
            }
        }
    }

    /// What a shell script names.
    fn script(&self, text: &str) -> Vec<Path> {
        let mut found = Vec::new();
        for word in words::commands(text) {
            found.extend(self.named(&word));
            let directory = self.tree.resolve(word.as_bytes());
            let parts = directory.filter(|path| path.ends_with(b".d") && self.is_directory(path));
            found.extend(parts.iter().flat_map(|path| self.files_in(path)).take(MOST_PARTS));
        }
        found
    }

    fn is_directory(&self, path: &[u8]) -> bool {
        self.tree.nodes.get(path).is_some_and(|node| node.kind == FileKind::Directory)
    }

    /// The files that stand in a directory, not below it.
    fn files_in(&self, directory: &[u8]) -> impl Iterator<Item = Path> {
        let from = [directory, b"/"].concat();
        let names = self.tree.nodes.range(from.clone()..).map(|(path, _)| path);
        let names = names.take_while(move |path| path.starts_with(&from));
        let len = directory.len() + 1;
        names.filter(move |path| !path[len..].contains(&b'/')).cloned()
    }

    /// What an interpreter looks for beside a script.
    fn beside(&self, path: &[u8]) -> Option<Path> {
        let is_script = [&b".js"[..], b".mjs", b".cjs"].iter().any(|end| path.ends_with(end));
        let mut directory = path;
        while let Some(slash) =
            directory.iter().rposition(|byte| *byte == b'/').filter(|_| is_script)
        {
            directory = &directory[..slash];
            let package = [directory, b"/package.json"].concat();
            if self.tree.content(&package).is_some() {
                return Some(package);
            }
        }
        None
    }

    /// The files that an ELF file asks for.
    fn wanted(&self, path: &[u8], asks: &Asks) -> Vec<Path> {
        let origin = path.iter().rposition(|byte| *byte == b'/').map_or(&b""[..], |at| &path[..at]);
        let origin = format!("/{}", String::from_utf8_lossy(origin));
        let own: Vec<String> = asks
            .search
            .iter()
            .map(|list| String::from_utf8_lossy(list).replace("${ORIGIN}", "$ORIGIN"))
            .flat_map(|list| {
                list.split(':').map(|one| one.replace("$ORIGIN", &origin)).collect::<Vec<_>>()
            })
            .collect();
        let library = |name: &Vec<u8>| {
            if name.contains(&b'/') {
                return self.tree.resolve(name);
            }
            own.iter().chain(&self.libraries).find_map(|directory| {
                let path = self.tree.resolve(&[directory.as_bytes(), b"/", name].concat())?;
                self.tree.content(&path).is_some().then_some(path)
            })
        };
        let interpreter = asks.interpreter.iter().filter_map(|path| self.tree.resolve(path));
        interpreter.chain(asks.needed.iter().filter_map(library)).collect()
    }

    async fn elf(&self, content: &Content, head: Vec<u8>) -> Asks {
        let mut file = Pieces::new(content.size, head);
        for _ in 0..MOST_PIECES {
            let piece = match file.asks() {
                Ok(asks) => return asks,
                Err(None) => break,
                Err(Some(piece)) => piece,
            };
            let len = piece.end - piece.start;
            let Some(bytes) = self.piece(content, piece.start, len).await else { break };
            file.add(piece.start, bytes);
        }
        Asks::default()
    }

    /// Directories that the dynamic linker is told of.
    async fn configured(&mut self) -> Vec<String> {
        let mut directories = Vec::new();
        let mut files = vec![b"etc/ld.so.conf".to_vec()];
        files.extend(self.files_in(b"etc/ld.so.conf.d"));
        let of_musl = self.files_in(b"etc").filter(|path| path.starts_with(b"etc/ld-musl-"));
        files.extend(of_musl.collect::<Vec<_>>());
        for path in files.iter().filter_map(|path| self.tree.resolve(path)).take(MOST_PARTS) {
            let Some(content) = self.tree.content(&path) else { continue };
            self.read += 1;
            let text = self.piece(content, 0, HEAD.min(content.size)).await.unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let lines = text.split(['\n', ':']).map(str::trim);
            directories.extend(lines.filter(|line| line.starts_with('/')).map(str::to_owned));
        }
        directories
    }

    /// A piece of a file, if it may still be read.
    async fn piece(&self, content: &Content, offset: u64, len: u64) -> Option<Vec<u8>> {
        if self.read >= MOST_READ {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        let reading = self.reader.read(0, content, offset, &mut bytes);
        match tokio::time::timeout_at(self.until, reading).await {
            Ok(Ok(())) => Some(bytes),
            Ok(Err(error)) => {
                tracing::warn!(
                    "a file can't be looked into for what its image starts with: {error}"
                );
                None
            }
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
