//! Modules of programs for Node.js: what sources load by name, and packages that are named nowhere but in `package.json`.
//!
//! ```text
//! main.js ──▶ require('./a'), import('b'), from "c/d" ──▶ a.js, node_modules/b/package.json ──▶ "main", "exports"
//!    ▲                                                      │
//!    └──────────────────────────────────────────────────────┘
//! package.json ──▶ "dependencies" ──▶ those of which nothing was found: their files
//! ```
//!
//! Sources are not parsed: a name in quotes behind such a word counts, also in a comment. A level of modules is read at
//! once, in the order in which it lies in the image.

use super::found::{Found, MOST_NAMES, above, is_directory};
use super::reads::Reads;
use crate::packs::cut::ReadContent;
use crate::tree::{Path, Tree};
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap, HashSet};

/// A longer source is a bundle, which has what it loads in it.
const TEXT: u64 = 1 << 20;
/// Names of a source.
const MOST_NAMED: usize = 1024;
/// The longest name.
const LONGEST: usize = 255;
/// How deep a package's `exports` are looked at.
const MOST_DEPTH: usize = 8;
/// Files of a package that loads by names it makes itself.
const MOST_OWN: usize = 512;
/// A longer file of such a package is data.
const OWN: u64 = 128 << 10;

/// Endings that a name may lack.
const ENDINGS: [&str; 6] = ["", ".js", ".json", ".node", ".cjs", ".mjs"];

/// Directories of a package that are not for who uses it.
const OTHERS: [&[u8]; 14] = [
    b"node_modules",
    b"test",
    b"tests",
    b"__tests__",
    b"docs",
    b"doc",
    b"example",
    b"examples",
    b"public",
    b"man",
    b"benchmark",
    b"umd",
    b"esm",
    b"types",
];

/// What of a `package.json` matters.
#[derive(Debug, Default)]
struct Package {
    main: Option<String>,
    exports: Value,
    dependencies: Vec<String>,
}

/// What is to be read.
enum Step {
    Source(Path),
    /// What a name in a package leads to: its directory, and the name below it.
    Package(Path, String),
}

/// Whether this is a source that Node.js runs.
pub(super) fn is_source(path: &[u8]) -> bool {
    [&b".js"[..], b".mjs", b".cjs"].iter().any(|end| path.ends_with(end))
}

/// Takes in what these sources load, and so on.
pub(super) async fn follow<R: ReadContent>(
    found: &mut Found<'_>,
    mut reads: Reads<'_, R>,
    sources: Vec<Path>,
) {
    let mut modules = Modules::default();
    let roots: BTreeSet<Path> =
        sources.iter().filter_map(|path| package_of(found.tree, path)).collect();
    modules.load(found, &mut reads, sources.into_iter().map(Step::Source).collect()).await;
    modules.unnamed(found, &mut reads, roots).await;
}

#[derive(Default)]
struct Modules {
    /// The `package.json` files that were read, by directory.
    packages: HashMap<Path, Package>,
    /// The files that sources lead to.
    loaded: HashSet<Path>,
}

impl Modules {
    /// Takes in what these steps lead to.
    async fn load<R: ReadContent>(
        &mut self,
        found: &mut Found<'_>,
        reads: &mut Reads<'_, R>,
        mut steps: Vec<Step>,
    ) {
        while !steps.is_empty() {
            let named = steps.iter().filter_map(|step| match step {
                Step::Package(directory, _) => Some(directory.clone()),
                Step::Source(_) => None,
            });
            self.read_packages(reads, named.collect()).await;
            let mut sources = Vec::new();
            for step in steps {
                let path = match step {
                    Step::Source(path) => Some(path),
                    Step::Package(directory, name) => {
                        found.add(&file_of(&directory));
                        self.entry(found.tree, &directory, &name)
                    }
                };
                let Some(path) = path.filter(|path| self.loaded.insert(path.clone())) else {
                    continue;
                };
                if let Some(directory) = package_of(found.tree, &path) {
                    found.add(&file_of(&directory));
                }
                found.add(&path);
                if !path.ends_with(b".json") && !path.ends_with(b".node") {
                    sources.push(path);
                }
            }
            let texts = reads.texts(&sources, TEXT).await;
            let mut next = Vec::new();
            for (path, text) in sources.iter().zip(texts) {
                if reads.is_over().await {
                    return;
                }
                let names = names(text.as_deref().unwrap_or_default());
                next.extend(names.iter().filter_map(|name| step(found.tree, path, name)));
            }
            steps = next;
        }
    }

    /// What the application loads by names that it makes itself: files of its own packages, which are those of its
    /// maker, and of packages that these need, but of which no source was found.
    async fn unnamed<R: ReadContent>(
        &mut self,
        found: &mut Found<'_>,
        reads: &mut Reads<'_, R>,
        roots: BTreeSet<Path>,
    ) {
        let scopes: HashSet<Vec<u8>> = roots.iter().filter_map(|root| scope(root)).collect();
        let mut seen = roots.clone();
        let mut own = roots;
        let mut unnamed = BTreeSet::new();
        while !own.is_empty() {
            self.read_packages(reads, own.clone()).await;
            let mut next = BTreeSet::new();
            for directory in own {
                let needed = self.packages.get(&directory).map(|package| &package.dependencies);
                let needed = needed.into_iter().flatten();
                for needed in needed.filter_map(|name| find(found.tree, &directory, name)) {
                    if !seen.insert(needed.clone()) {
                        continue;
                    }
                    found.add(&file_of(&needed));
                    if scope(&needed).is_some_and(|scope| scopes.contains(&scope)) {
                        next.insert(needed);
                    } else if !self.loaded.iter().any(|path| is_source_of(path, &needed)) {
                        unnamed.insert(needed);
                    }
                }
                unnamed.insert(directory);
            }
            own = next;
        }
        let mut sources = Vec::new();
        for directory in unnamed {
            for path in own_files(found.tree, &directory) {
                found.add(&path);
                if is_source(&path) {
                    sources.push(Step::Source(path));
                }
            }
        }
        self.load(found, reads, sources).await;
    }

    async fn read_packages<R: ReadContent>(
        &mut self,
        reads: &mut Reads<'_, R>,
        directories: BTreeSet<Path>,
    ) {
        let new = |directory: &Path| !self.packages.contains_key(directory);
        let directories: Vec<Path> = directories.into_iter().filter(new).collect();
        let files: Vec<Path> = directories.iter().map(|directory| file_of(directory)).collect();
        let texts = reads.texts(&files, TEXT).await;
        for (directory, text) in directories.into_iter().zip(texts) {
            self.packages.insert(directory, Package::read(&text.unwrap_or_default()));
        }
    }

    /// The file that a name in a package leads to; the package's own if it is empty.
    fn entry(&self, tree: &Tree, directory: &[u8], name: &str) -> Option<Path> {
        let package = self.packages.get(directory)?;
        let exported = package.exported(name);
        let at = |name: &str| module(tree, &join(directory, name));
        let main = || package.main.as_deref().filter(|_| name.is_empty()).and_then(at);
        exported.iter().find_map(|name| at(name)).or_else(main).or_else(|| at(name))
    }
}

impl Package {
    /// What is none has nothing.
    fn read(text: &[u8]) -> Self {
        let Ok(Value::Object(mut all)) = serde_json::from_slice(text) else {
            return Self::default();
        };
        let main = all.get("main").and_then(Value::as_str).map(str::to_owned);
        let dependencies = ["dependencies", "optionalDependencies"];
        let names = dependencies.iter().filter_map(|key| all.get(*key)?.as_object());
        let dependencies = names.flat_map(Map::keys).take(MOST_NAMED).cloned().collect();
        Self { main, exports: all.remove("exports").unwrap_or_default(), dependencies }
    }

    /// The files that `exports` may lead to from a name, those for programs first.
    fn exported(&self, name: &str) -> Vec<&str> {
        let key = if name.is_empty() { ".".to_owned() } else { format!("./{name}") };
        let is_map =
            self.exports.as_object().is_some_and(|map| map.keys().any(|k| k.starts_with('.')));
        let target = match is_map {
            true => self.exports.get(&key),
            false => Some(&self.exports).filter(|_| name.is_empty()),
        };
        let mut files = Vec::new();
        if let Some(target) = target {
            conditions(target, 0, &mut files);
        }
        files
    }
}

/// The files of a target, in the order in which Node.js would want them.
fn conditions<'a>(target: &'a Value, depth: usize, files: &mut Vec<&'a str>) {
    if depth > MOST_DEPTH || files.len() > MOST_DEPTH {
        return;
    }
    match target {
        Value::String(file) => files.push(file),
        Value::Array(all) => all.iter().for_each(|one| conditions(one, depth + 1, files)),
        Value::Object(map) => {
            for key in ["node", "require", "import", "default"] {
                if let Some(target) = map.get(key) {
                    conditions(target, depth + 1, files);
                }
            }
        }
        _ => {}
    }
}

/// The names that a source loads.
fn names(source: &[u8]) -> Vec<&str> {
    const BEFORE: [&[u8]; 6] =
        [b"require", b"resolve", b"import", b"from", b"requireModule", b"importModule"];
    let mut names = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.iter().position(|byte| b"'\"`".contains(byte)) {
        let before = rest[..at].trim_ascii_end();
        let before = before.strip_suffix(b"(").unwrap_or(before).trim_ascii_end();
        let quoted = &rest[at + 1..];
        let loads = BEFORE.iter().any(|word| {
            let stem = before.strip_suffix(*word);
            stem.is_some_and(|stem| !stem.last().is_some_and(u8::is_ascii_alphanumeric))
        });
        rest = quoted;
        if !loads {
            continue;
        }
        let most = &quoted[..quoted.len().min(LONGEST)];
        let Some(end) = most.iter().position(|byte| b"'\"`\n$ ".contains(byte)) else { continue };
        let name = std::str::from_utf8(&quoted[..end]).ok();
        names.extend(name.filter(|name| !name.is_empty() && !name.starts_with("node:")));
        rest = &quoted[end..];
        if names.len() >= MOST_NAMED {
            break;
        }
    }
    names
}

/// Where a name in a source leads.
fn step(tree: &Tree, source: &[u8], name: &str) -> Option<Step> {
    let here = above(source)?;
    if name.starts_with('.') || name.starts_with('/') {
        let path = if name.starts_with('/') { name.as_bytes().to_vec() } else { join(here, name) };
        if let Some(file) = module(tree, &path) {
            return Some(Step::Source(file));
        }
        let directory = tree.resolve(&path).filter(|path| has_package(tree, path))?;
        return Some(Step::Package(directory, String::new()));
    }
    let end = match name.starts_with('@') {
        true => name.match_indices('/').nth(1),
        false => name.match_indices('/').next(),
    };
    let (package, below) = end.map_or((name, ""), |(at, _)| (&name[..at], &name[at + 1..]));
    Some(Step::Package(find(tree, here, package)?, below.to_owned()))
}

/// The directory of a package that is needed from a directory.
fn find(tree: &Tree, from: &[u8], package: &str) -> Option<Path> {
    let mut at = Some(from);
    while let Some(directory) = at {
        let path = join(directory, &format!("node_modules/{package}"));
        if let Some(found) = tree.resolve(&path).filter(|path| is_directory(tree, path)) {
            return Some(found);
        }
        at = above(directory);
    }
    let shared = ["usr/share/nodejs", "usr/local/lib/node_modules", "usr/lib/node_modules"];
    shared.iter().find_map(|directory| {
        let found = tree.resolve(&join(directory.as_bytes(), package))?;
        is_directory(tree, &found).then_some(found)
    })
}

/// The file of a name without its ending, or of a directory.
fn module(tree: &Tree, path: &[u8]) -> Option<Path> {
    let file = |ending: &[u8]| {
        let path = tree.resolve(&[path, ending].concat())?;
        tree.content(&path).is_some().then_some(path)
    };
    let index =
        || ["/index.js", "/index.json", "/index.node"].iter().find_map(|e| file(e.as_bytes()));
    ENDINGS.iter().find_map(|ending| file(ending.as_bytes())).or_else(index)
}

/// The directory of the package that a file is of.
fn package_of(tree: &Tree, path: &[u8]) -> Option<Path> {
    let mut at = above(path);
    while let Some(directory) = at {
        if has_package(tree, directory) {
            return Some(directory.to_vec());
        }
        at = above(directory);
    }
    None
}

fn has_package(tree: &Tree, directory: &[u8]) -> bool {
    tree.content(&file_of(directory)).is_some()
}

fn file_of(directory: &[u8]) -> Path {
    join(directory, "package.json")
}

fn join(directory: &[u8], name: &str) -> Path {
    if directory.is_empty() {
        return name.as_bytes().to_vec();
    }
    [directory, b"/", name.as_bytes()].concat()
}

/// Who made a package, as far as its name tells: `@x` of `@x/y`, and of `x`.
fn scope(package: &[u8]) -> Option<Vec<u8>> {
    let mut names = package.rsplit(|byte| *byte == b'/');
    let (name, before) = (names.next()?, names.next().unwrap_or_default());
    let is_scope = before.starts_with(b"@");
    Some(if is_scope { before.to_vec() } else { [b"@", name].concat() })
}

/// Whether this is a source of a package, and not of one within it.
fn is_source_of(path: &[u8], package: &[u8]) -> bool {
    let below = path.strip_prefix(package).and_then(|below| below.strip_prefix(b"/"));
    is_source(path) && below.is_some_and(|below| !below.starts_with(b"node_modules/"))
}

/// A package's short files, without those that only its makers need.
fn own_files(tree: &Tree, package: &[u8]) -> Vec<Path> {
    let from = join(package, "");
    let names = tree.nodes.range(from.clone()..).map(|(path, _)| path).take(MOST_NAMES);
    let own = names.take_while(|path| path.starts_with(&from)).filter(|path| {
        let mut below = path[from.len()..].split(|byte| *byte == b'/');
        let content = tree.content(path);
        let name = below.next_back().unwrap_or_default();
        let is_code = is_source(name)
            || [&b".json"[..], b".html", b".node"].iter().any(|e| name.ends_with(e));
        is_code
            && content.is_some_and(|c| c.size <= OWN)
            && !below.any(|part| OTHERS.contains(&part))
    });
    own.take(MOST_OWN).cloned().collect()
}
