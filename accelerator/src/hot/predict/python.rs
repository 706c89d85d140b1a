//! Modules of programs for Python: what starts with the interpreter, and what sources import.
//!
//! A module's bytecode is opened where there is some, and its source only where there is none; but names stand in the source.
//! Sources are not parsed: a line that begins with `import` or `from` counts, outside of functions and classes.

use super::found::{Found, MOST_NAMES, above};
use super::programs::Programs;
use super::reads::Reads;
use super::words::Start;
use crate::packs::cut::ReadContent;
use crate::tree::Path;
use std::collections::HashSet;

/// A longer source is data.
const TEXT: u64 = 512 << 10;
/// Names of a source.
const MOST_NAMED: usize = 1024;
/// The longest name.
const LONGEST: usize = 255;

/// What the interpreter imports itself.
const FIRST: [&str; 14] = [
    "encodings",
    "encodings.aliases",
    "encodings.utf_8",
    "codecs",
    "io",
    "abc",
    "site",
    "os",
    "stat",
    "posixpath",
    "genericpath",
    "_collections_abc",
    "_sitebuiltins",
    "sitecustomize",
];

/// Whether this is a source that Python runs.
pub(super) fn is_source(path: &[u8]) -> bool {
    path.ends_with(b".py")
}

/// Where modules are.
struct Modules {
    /// Directories, in the order in which they are looked at.
    directories: Vec<Path>,
    /// Part of bytecode's names: `cpython-311`.
    tag: String,
}

/// Takes in what the interpreter, these scripts and modules that the config names import, if there is an interpreter.
pub(super) async fn follow<R: ReadContent>(
    found: &mut Found<'_>,
    programs: &mut Programs<'_, R>,
    mut reads: Reads<'_, R>,
    start: &Start,
    scripts: Vec<Path>,
) {
    let Some(mut modules) = Modules::of(found, start) else { return };
    let beside = scripts.iter().filter_map(|path| above(path)).map(<[u8]>::to_vec);
    modules.directories.splice(0..0, beside.collect::<HashSet<_>>());
    let mut seen: HashSet<Path> = scripts.iter().cloned().collect();
    let mut sources = scripts;
    let first = FIRST.iter().map(|name| (*name).to_owned()).chain(start.modules());
    let mut named: Vec<Path> = first.flat_map(|name| modules.find(found, &name, None)).collect();
    loop {
        for path in std::mem::take(&mut named) {
            if !seen.insert(path.clone()) {
                continue;
            }
            if path.ends_with(b".so") {
                programs.follow(found, path).await;
                continue;
            }
            let opened = modules.bytecode(found, &path);
            found.add(opened.as_deref().unwrap_or(&path));
            sources.push(path);
        }
        if sources.is_empty() {
            return;
        }
        let texts = reads.texts(&sources, TEXT).await;
        for (path, text) in std::mem::take(&mut sources).iter().zip(texts) {
            if reads.is_over().await {
                return;
            }
            for name in imports(&String::from_utf8_lossy(&text.unwrap_or_default())) {
                named.extend(modules.find(found, &name, above(path)));
            }
        }
    }
}

impl Modules {
    /// Of the interpreter that was found: `usr/lib/python3.11` of `usr/bin/python3.11`.
    fn of(found: &Found<'_>, start: &Start) -> Option<Self> {
        let (path, minor) = found.paths().iter().find_map(|path| {
            let text = std::str::from_utf8(path).ok()?;
            let (_, minor) = text.rsplit_once("bin/python3.")?;
            minor.parse::<u16>().ok().map(|minor| (text, minor))
        })?;
        let prefix = path.rsplit_once("bin/").map_or("", |(prefix, _)| prefix);
        let library = format!("{prefix}lib/python3.{minor}");
        let mut names = start.list("PYTHONPATH", "");
        names.push(found.directory.clone());
        names.push(library.clone());
        for below in ["lib-dynload", "site-packages", "dist-packages"] {
            names.push(format!("{library}/{below}"));
        }
        names.push(format!("{prefix}lib/python3/dist-packages"));
        names.retain(|name| !name.is_empty());
        let directories = names.iter().filter_map(|name| found.directory(name.as_bytes()));
        Some(Self { directories: directories.collect(), tag: format!("cpython-3{minor}") })
    }

    /// The files of a module and of the packages that it is in; with a dot before it, from the directory of the
    /// source that names it.
    fn find(&self, found: &Found<'_>, name: &str, here: Option<&[u8]>) -> Vec<Path> {
        let dots = name.bytes().take_while(|byte| *byte == b'.').count();
        let mut from = here;
        for _ in 1..dots {
            from = from.and_then(above);
        }
        let directories: Vec<&[u8]> = match dots {
            0 => self.directories.iter().map(Vec::as_slice).collect(),
            _ => from.into_iter().collect(),
        };
        let parts: Vec<&str> = name[dots..].split('.').filter(|part| !part.is_empty()).collect();
        let Some(first) = parts.first() else { return Vec::new() };
        let mut files = Vec::new();
        for directory in directories {
            let mut at = directory.to_vec();
            for part in &parts {
                let base = [&at[..], b"/", part.as_bytes()].concat();
                let package = found.file(&[&base[..], b"/__init__.py"].concat());
                let module = || found.file(&[&base[..], b".py"].concat());
                let native = || self.native(found, &at, part);
                files.extend(package.or_else(module).or_else(native));
                at = base;
            }
            // A directory without `__init__.py` is a package, too.
            let is_package = || found.directory(&[directory, b"/", first.as_bytes()].concat());
            if !files.is_empty() || is_package().is_some() {
                break;
            }
        }
        files
    }

    /// A module that is a library: `_x.cpython-311-x86_64-linux-gnu.so`, `_x.abi3.so`, `_x.so`.
    fn native(&self, found: &Found<'_>, directory: &[u8], name: &str) -> Option<Path> {
        let from = [directory, b"/", name.as_bytes(), b"."].concat();
        let names = found.tree.nodes.range(from.clone()..).map(|(path, _)| path).take(MOST_NAMES);
        let mut names = names.take_while(|path| path.starts_with(&from));
        let fits = |path: &&Path| {
            let rest = &path[from.len()..];
            let other = rest.starts_with(b"cpython-") && !rest.starts_with(self.tag.as_bytes());
            rest.ends_with(b"so") && !rest.contains(&b'/') && !other
        };
        found.file(names.find(fits)?)
    }

    fn bytecode(&self, found: &Found<'_>, source: &[u8]) -> Option<Path> {
        let directory = above(source)?;
        let name = source.get(directory.len() + 1..)?.strip_suffix(b".py")?;
        let tag = self.tag.as_bytes();
        found.file(&[directory, b"/__pycache__/", name, b".", tag, b".pyc"].concat())
    }
}

/// The modules that a source imports while it is loaded.
fn imports(source: &str) -> Vec<String> {
    let (mut names, mut is_later) = (Vec::new(), false);
    for line in source.lines() {
        if !line.starts_with([' ', '\t', ')', '#']) && !line.is_empty() {
            is_later = ["def ", "class ", "async "].iter().any(|word| line.starts_with(word));
        }
        let line = line.trim_start();
        if is_later {
            continue;
        }
        let list = |text: &str| -> Vec<String> {
            let text = text.split('#').next().unwrap_or_default();
            let words = text.split(',').map(|one| one.trim_matches([' ', '\t', '(', ')', '\\']));
            let words = words.filter_map(|one| one.split_whitespace().next());
            words.filter(|word| is_name(word)).map(str::to_owned).collect()
        };
        if let Some(modules) = line.strip_prefix("import ") {
            names.extend(list(modules));
        } else if let Some((module, of_it)) =
            line.strip_prefix("from ").and_then(|rest| rest.split_once(" import"))
            && is_name(module.trim())
        {
            let module = module.trim();
            let separator = if module.ends_with('.') { "" } else { "." };
            names.push(module.to_owned());
            names.extend(list(of_it).iter().map(|name| format!("{module}{separator}{name}")));
        }
        if names.len() >= MOST_NAMED {
            break;
        }
    }
    names.truncate(MOST_NAMED);
    names
}

/// Whether a word names a module.
pub(super) fn is_name(word: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    (1..=LONGEST).contains(&word.len()) && word.bytes().all(allowed)
}
