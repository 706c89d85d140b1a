//! A guess at what an image starts with, where nothing is known: from its config, its tree, and what its files name.
//!
//! ```text
//! Entrypoint, Cmd ──▶ words ──▶ programs ─┬─ `#!` ──▶ interpreter, what the script names
//!                                 ▲       └─ ELF ──▶ dynamic linker, libraries, their libraries
//!                                 │             └──▶ constants that are paths
//!                                 │                         ▼
//!                                 └── modules ◀── configuration, what that includes       (paths)
//!                scripts for Node.js ──▶ modules that they load, and so on                (node)
//!                scripts for Python ──▶ the standard library's, and what they import      (python)
//!                whatever it is ──▶ /etc, the locale                                      (basics)
//! ```
//!
//! A wrong guess costs the time of its bytes. What a program opens by names that it makes itself is not found: recorded sets have that.
//!
//! Reads are bounded in number, size and time, for each part alone; what is found by then is the guess.

mod basics;
mod elf;
mod found;
mod node;
mod paths;
mod programs;
mod python;
mod reads;
mod words;

use crate::packs::cut::ReadContent;
use crate::tree::{Path, Tree};
use found::Found;
use programs::Programs;
use reads::Reads;
use tokio::time::Instant;
use words::Start;

/// Of what is found: raised when more or other things are.
pub const VERSION: i64 = 2;

/// Most files that are read for each part, and their bytes.
const PROGRAMS: (usize, u64) = (512, 128 << 20);
const CONFIGURATION: (usize, u64) = (256, 4 << 20);
const MODULES: (usize, u64) = (8192, 64 << 20);

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Paths of the files that programs of this image use while they start, about in order. Contents are read as
/// those of image 0.
pub async fn predict<R: ReadContent>(
    config: &[u8],
    tree: &Tree,
    reader: &R,
    until: Instant,
) -> Vec<Path> {
    let start = Start::of(config);
    let reads = Reads::new(tree, reader, until);
    let mut found = Found::new(tree, start.list("PATH", PATH), start.directory());
    let own = start.list("LD_LIBRARY_PATH", "");
    if start.words().iter().all(|word| found.named(word).is_none()) {
        return Vec::new();
    }
    basics::add(&mut found, &start);
    let mut programs = Programs::new(reads.with(PROGRAMS.0, PROGRAMS.1), &found, own).await;
    for word in start.words() {
        if let Some(path) = found.named(&word) {
            programs.follow(&mut found, path).await;
        }
    }
    basics::add_conversions(&mut found, &start);
    let configuration = reads.with(CONFIGURATION.0, CONFIGURATION.1);
    paths::follow(&mut found, &mut programs, configuration).await;
    let scripts = |interpreter: &str, is_source: fn(&[u8]) -> bool| -> Vec<Path> {
        let named = programs.scripts.iter().filter(|(name, _)| name.starts_with(interpreter));
        let named = named.map(|(_, path)| path);
        let others = found.paths().iter().filter(|path| is_source(path));
        others
            .filter(|path| !named.clone().any(|n| n == *path))
            .chain(named.clone())
            .cloned()
            .collect()
    };
    let (of_node, of_python) =
        (scripts("node", node::is_source), scripts("python", python::is_source));
    let modules = || reads.with(MODULES.0, MODULES.1);
    node::follow(&mut found, modules(), of_node).await;
    python::follow(&mut found, &mut programs, modules(), &start, of_python).await;
    found.in_order()
}

#[cfg(test)]
mod tests;
