//! Programs, and what they need before they begin: interpreters, libraries, what shell scripts name.

use super::elf::{Asks, Pieces};
use super::found::Found;
use super::reads::Reads;
use super::{paths, words};
use crate::packs::cut::ReadContent;
use crate::tree::{Content, Path};
use std::collections::VecDeque;

/// Larger files are not looked into.
const MOST_BYTES: u64 = 64 << 20;
/// What is read of a file first.
const HEAD: u64 = 16 << 10;
/// What is read of a script.
const SCRIPT: u64 = 128 << 10;
/// Pieces of an ELF file.
const MOST_PIECES: usize = 16;
/// Constants of an ELF file; a larger file's are data, not names.
const CONSTANTS: u64 = 16 << 20;
/// Files of a directory `NAME.d` that a script names, and lines of the dynamic linker's configuration.
const MOST_PARTS: usize = 32;
/// Paths that programs and scripts name.
const MOST_NAMED: usize = 4096;

/// Where dynamic linkers look at last; musl's has the third, too.
const LIBRARIES: [&str; 5] = ["/lib64", "/usr/lib64", "/usr/local/lib", "/lib", "/usr/lib"];

/// A file to follow, and how far it is from the program that it is for: 0 is the program.
struct Step(Path, u8);

/// What programs are made of.
#[derive(Debug)]
pub(super) struct Programs<'a, R> {
    reads: Reads<'a, R>,
    /// Directories of libraries.
    libraries: Vec<String>,
    /// Absolute paths that programs name.
    pub(super) named: Vec<Path>,
    /// The same of libraries that programs need.
    pub(super) named_by_libraries: Vec<Path>,
    /// Scripts, by the names of their interpreters.
    pub(super) scripts: Vec<(String, Path)>,
}

impl<'a, R: ReadContent> Programs<'a, R> {
    /// Looks where libraries are. `own` comes first.
    pub(super) async fn new(reads: Reads<'a, R>, found: &Found<'_>, own: Vec<String>) -> Self {
        let mut all = Self {
            reads,
            libraries: own,
            named: Vec::new(),
            named_by_libraries: Vec::new(),
            scripts: Vec::new(),
        };
        let configured = all.configured(found).await;
        all.libraries.extend(configured);
        all.libraries.retain(|directory| !directory.is_empty());
        all.libraries.extend(LIBRARIES.map(str::to_owned));
        all
    }

    /// Takes in a file, what that asks for, and so on.
    pub(super) async fn follow(&mut self, found: &mut Found<'_>, path: Path) {
        let mut queue = VecDeque::from([Step(path, 0)]);
        while let Some(Step(path, depth)) = queue.pop_front() {
            let Some(content) = found.add(&path) else { continue };
            let Some(head) = self.reads.head(content, HEAD).await else { continue };
            if content.size > MOST_BYTES {
                continue;
            }
            if head.starts_with(b"\x7fELF") {
                let asks = self.elf(content, head).await;
                self.constants(content, &asks, depth).await;
                let needed = self.needed(found, &path, &asks);
                queue.extend(needed.into_iter().map(|path| Step(path, depth.saturating_add(1))));
            } else if let Some((interpreter, run)) = words::interpreter(&head) {
                let mut next = Vec::new();
                let name = run.as_deref().unwrap_or(&interpreter).rsplit('/').next();
                self.scripts.push((name.unwrap_or_default().to_owned(), path));
                let is_shell = interpreter.ends_with("sh");
                let named = [Some(interpreter), run].into_iter().flatten();
                next.extend(named.filter_map(|word| found.named(&word)));
                if is_shell {
                    let script = match content.size > HEAD {
                        true => self.reads.piece(content, 0, SCRIPT.min(content.size)).await,
                        false => None,
                    };
                    let script = script.unwrap_or(head);
                    next.extend(self.script(found, &String::from_utf8_lossy(&script)));
                }
                queue.extend(next.into_iter().map(|path| Step(path, 0)));
            }
        }
    }

    /// What a shell script names.
    fn script(&mut self, found: &Found<'_>, text: &str) -> Vec<Path> {
        let mut files = Vec::new();
        for word in words::commands(text) {
            files.extend(found.named(&word));
            let directory = found.directory(word.as_bytes()).filter(|path| path.ends_with(b".d"));
            let parts = directory.iter().flat_map(|path| found.files_in(path));
            files.extend(parts.take(MOST_PARTS));
        }
        let values = words::values(text);
        let mut directories: Vec<Path> =
            values.iter().filter_map(|value| found.directory(value.absolute()?)).collect();
        directories.sort();
        directories.dedup();
        for value in values {
            match value {
                words::Value::Absolute(path) => files.extend(found.file(path.as_bytes())),
                words::Value::Below(rest) => {
                    let below = |directory: &Path| {
                        found.file(&[directory, &b"/"[..], rest.as_bytes()].concat())
                    };
                    let program = || {
                        let (directory, name) = rest.rsplit_once('/').unwrap_or(("bin", &rest));
                        found.program(name).filter(|_| directory.ends_with("bin"))
                    };
                    files.extend(directories.iter().find_map(below).or_else(program));
                }
            }
        }
        files
    }

    /// The files that an ELF file asks for.
    fn needed(&self, found: &Found<'_>, path: &[u8], asks: &Asks) -> Vec<Path> {
        let origin = super::found::above(path).unwrap_or_default();
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
                return found.file(name);
            }
            own.iter()
                .chain(&self.libraries)
                .find_map(|directory| found.file(&[directory.as_bytes(), b"/", name].concat()))
        };
        let interpreter = asks.interpreter.iter().filter_map(|path| found.file(path));
        interpreter.chain(asks.needed.iter().filter_map(library)).collect()
    }

    async fn elf(&mut self, content: &Content, head: Vec<u8>) -> Asks {
        let mut file = Pieces::new(content.size, head);
        for _ in 0..MOST_PIECES {
            let piece = match file.asks() {
                Ok(asks) => return asks,
                Err(None) => break,
                Err(Some(piece)) => piece,
            };
            let len = piece.end - piece.start;
            let Some(bytes) = self.reads.piece(content, piece.start, len).await else { break };
            file.add(piece.start, bytes);
        }
        Asks::default()
    }

    /// Notes the paths that a program, or a library that it needs itself, has among its constants.
    async fn constants(&mut self, content: &Content, asks: &Asks, depth: u8) {
        let named = match depth {
            0 => &mut self.named,
            1 => &mut self.named_by_libraries,
            _ => return,
        };
        for range in &asks.constants {
            let len = range.end.min(content.size).saturating_sub(range.start);
            if len > CONSTANTS {
                continue;
            }
            let Some(bytes) = self.reads.piece(content, range.start, len).await else { continue };
            let left = MOST_NAMED.saturating_sub(named.len());
            named.extend(paths::constants(&bytes).take(left));
        }
    }

    /// Directories that the dynamic linker is told of.
    async fn configured(&mut self, found: &Found<'_>) -> Vec<String> {
        let mut files = vec![b"etc/ld.so.conf".to_vec()];
        files.extend(found.files_in(b"etc/ld.so.conf.d"));
        files.extend(found.files_in(b"etc").filter(|path| path.starts_with(b"etc/ld-musl-")));
        files.truncate(MOST_PARTS);
        let mut directories = Vec::new();
        for text in self.reads.texts(&files, HEAD).await.into_iter().flatten() {
            let text = String::from_utf8_lossy(&text).into_owned();
            let lines = text.split(['\n', ':']).map(str::trim);
            directories.extend(lines.filter(|line| line.starts_with('/')).map(str::to_owned));
        }
        directories
    }
}
