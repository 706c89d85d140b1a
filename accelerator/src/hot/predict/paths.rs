//! Paths that programs have among their constants, and that configuration names: files that are included, modules that
//! are loaded.
//!
//! ```text
//! constants ─┬─ a file ────────────────▶ configuration ──▶ words: /a/file, /a/*.conf, modules/x.so
//!            ├─ a directory of /etc ──▶ its files ──┘             ├─ text ──▶ its words, and so on
//!            └─ any directory: where relative words begin         └─ ELF ───▶ programs
//! ```

use super::found::{Found, MOST_NAMES, above};
use super::programs::Programs;
use super::reads::Reads;
use crate::packs::cut::ReadContent;
use crate::tree::{Path, Tree};

/// A larger file is data, and is not read.
const TEXT: u64 = 64 << 10;
/// A file that is named by constants alone is no longer than this.
const DATA: u64 = 1 << 20;
/// Files of a directory that is included.
const MOST_PARTS: usize = 64;
/// Files of a program's directory in `/etc`, at any depth.
const MOST_OWN: usize = 128;
/// Words of a file.
const MOST_WORDS: usize = 2048;
/// Directories where relative words begin.
const MOST_BEGINNINGS: usize = 8;
/// The longest path.
const LONGEST: usize = 255;
/// Directories that are everybody's, so that a program that names them says nothing of its own.
const COMMON: [&[u8]; 6] = [b"etc", b"usr/lib", b"usr/share", b"usr/bin", b"var/lib", b"usr/lib64"];

/// The absolute paths that are constants of their own.
pub(super) fn constants(bytes: &[u8]) -> impl Iterator<Item = Path> {
    let is_path = |text: &&[u8]| {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._+-@".contains(byte);
        (4..=LONGEST).contains(&text.len()) && text[0] == b'/' && text.iter().all(allowed)
    };
    bytes.split(|byte| *byte == 0).filter(is_path).map(<[u8]>::to_vec)
}

/// Takes in what programs name, and what is named there.
pub(super) async fn follow<R: ReadContent>(
    found: &mut Found<'_>,
    programs: &mut Programs<'_, R>,
    mut reads: Reads<'_, R>,
) {
    let (mut files, mut beginnings) = (Vec::new(), Vec::new());
    for path in std::mem::take(&mut programs.named) {
        if let Some(file) = found.file(&path) {
            files.push(file);
        } else if let Some(directory) = found.directory(&path).filter(|path| is_own(path)) {
            if directory.starts_with(b"etc/") {
                files.extend(below(found, &directory));
            }
            if !beginnings.contains(&directory) && beginnings.len() < MOST_BEGINNINGS {
                beginnings.push(directory);
            }
        }
    }
    let by_libraries = std::mem::take(&mut programs.named_by_libraries);
    files.extend(by_libraries.iter().filter_map(|path| found.file(path)));
    // A program that is only named may never be run.
    files.retain(|path| is_data(found.tree, path));
    while !files.is_empty() {
        let mut new = Vec::new();
        for path in files {
            if found.add(&path).is_some() {
                new.push(path);
            }
        }
        files = Vec::new();
        let texts = reads.texts(&new, TEXT).await;
        for (path, text) in new.iter().zip(texts) {
            if reads.is_over().await {
                return;
            }
            let Some(text) = text.as_deref().and_then(|text| std::str::from_utf8(text).ok()) else {
                continue;
            };
            for path in named(found, path, text, &beginnings) {
                // Loaded by the program: a module.
                if is_module(&path) {
                    programs.follow(found, path).await;
                } else if is_data(found.tree, &path) {
                    files.push(path);
                }
            }
        }
    }
}

fn is_own(directory: &[u8]) -> bool {
    directory.contains(&b'/') && !COMMON.contains(&directory)
}

fn is_module(path: &[u8]) -> bool {
    path.ends_with(b".so") || path.windows(4).any(|part| part == b".so.")
}

fn is_data(tree: &Tree, path: &[u8]) -> bool {
    let node = tree.nodes.get(path);
    !is_module(path)
        && node.is_some_and(|node| node.meta.mode & 0o111 == 0)
        && tree.content(path).is_some_and(|content| content.size <= DATA)
}

/// The files of a directory, at any depth.
fn below(found: &Found<'_>, directory: &[u8]) -> Vec<Path> {
    let from = [directory, b"/"].concat();
    let names = found.tree.nodes.range(from.clone()..).map(|(path, _)| path);
    let names = names.take_while(|path| path.starts_with(&from)).take(MOST_OWN);
    names.filter_map(|path| found.file(path)).collect()
}

/// The files that configuration names.
fn named(found: &Found<'_>, path: &[u8], text: &str, beginnings: &[Path]) -> Vec<Path> {
    let is_comment = |line: &&str| ["#", ";", "//"].iter().any(|mark| line.starts_with(mark));
    let lines = text.lines().map(str::trim).filter(|line| !is_comment(line));
    let words = lines.flat_map(|line| {
        let includes = line.contains("include");
        line.split([' ', '\t', '"', '\'', ';', '=', ',', '(', ')']).map(move |w| (w, includes))
    });
    let here = above(path).unwrap_or_default();
    let mut files = Vec::new();
    for (word, includes) in words.filter(|(word, _)| is_name(word)).take(MOST_WORDS) {
        if word.starts_with('/') {
            files.extend(matching(found, word.as_bytes(), includes));
            continue;
        }
        // Of patterns only those here, which are few.
        let beginnings = if word.contains('*') { &[] } else { beginnings };
        let begin = std::iter::once(here).chain(beginnings.iter().map(Vec::as_slice));
        let matching =
            |from: &[u8]| matching(found, &[from, b"/", word.as_bytes()].concat(), includes);
        files.extend(begin.map(matching).find(|files| !files.is_empty()).into_iter().flatten());
    }
    files
}

fn is_name(word: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/._+-*@".contains(&byte);
    (3..=LONGEST).contains(&word.len()) && word.contains(['/', '.']) && word.bytes().all(allowed)
}

/// The files of a name, or of a pattern with one `*` at its end, before an ending; those of a directory if it is
/// included.
fn matching(found: &Found<'_>, path: &[u8], includes: bool) -> Vec<Path> {
    if let Some(directory) = found.directory(path).filter(|_| includes) {
        return found.files_in(&directory).take(MOST_PARTS).collect();
    }
    let (directory, name) = (above(path).unwrap_or_default(), path.rsplit(|b| *b == b'/').next());
    let Some(star) = name.and_then(|name| name.iter().position(|byte| *byte == b'*')) else {
        return found.file(path).into_iter().collect();
    };
    let (before, after) = name.unwrap_or_default().split_at(star);
    let Some(directory) = found.directory(directory) else { return Vec::new() };
    let from = [&directory, &b"/"[..]].concat();
    let fits = |path: &&Path| {
        let name = &path[from.len()..];
        !name.contains(&b'/') && name.starts_with(before) && name.ends_with(&after[1..])
    };
    let names = found.tree.nodes.range(from.clone()..).map(|(path, _)| path);
    let names = names.take(MOST_NAMES).take_while(|path| path.starts_with(&from)).filter(fits);
    names.take(MOST_PARTS).filter_map(|path| found.file(path)).collect()
}
