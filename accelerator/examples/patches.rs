//! What packs of patches would take: `patches [OLD] NEW`, directories with an image unpacked in each.
//!
//! The contents of NEW's files that no file of OLD has are packed by path, 1 MiB each. The base of each is OLD's file
//! of the same path, or of the same name but for its digits, or one that resembles it, of NEW's before it, too.
//! The numbers are MB of packs, as they are and of patches, by libdeflate's level 6 and 9 and by zstd's level 7 and 19. Each
//! patch is checked.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use skiff_accelerator::packs::deflate;
use skiff_accelerator::patch::{Patch, make};
use skiff_accelerator::sketch::{Sketches, sketch};
use skiff_protocol::script::{Operation, Script, Step};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

/// Bytes of a pack.
const PACK: usize = 1 << 20;

type Files = BTreeMap<Vec<u8>, Vec<u8>>;

fn read(root: &Path, directory: &Path, files: &mut Files) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            read(root, &entry.path(), files);
        } else if kind.is_file() {
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
            files.insert(name, std::fs::read(&path).unwrap());
        }
    }
}

/// The path with one `#` for each run of digits and points.
fn without_digits(path: &[u8]) -> Vec<u8> {
    let mut short = Vec::new();
    for &byte in path {
        let digit = byte.is_ascii_digit() || (byte == b'.' && short.last() == Some(&b'#'));
        if !(digit && short.last() == Some(&b'#')) {
            short.push(if digit { b'#' } else { byte });
        }
    }
    short
}

/// What a base may be: a file of OLD, or an earlier content of NEW.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Place<'a> {
    Held(&'a [u8]),
    Earlier(&'a [u8]),
}

/// The files that may be bases, and ways to find one.
struct Known<'a> {
    old: &'a Files,
    new: &'a Files,
    names: HashMap<Vec<u8>, &'a [u8]>,
    sketches: Sketches<Place<'a>>,
}

impl<'a> Known<'a> {
    fn new(old: &'a Files, new: &'a Files) -> Self {
        let (mut names, mut sketches) = (HashMap::new(), Sketches::default());
        for (path, bytes) in old {
            names.entry(without_digits(path)).or_insert(&path[..]);
            if let Some(sketch) = sketch(bytes) {
                sketches.insert(&sketch, Place::Held(path));
            }
        }
        Self { old, new, names, sketches }
    }

    fn base(&self, path: &[u8], bytes: &[u8]) -> Option<(Place<'a>, &'a [u8])> {
        let same = self.old.get_key_value(path).map(|(path, _)| &path[..]);
        let named = same.or_else(|| self.names.get(&without_digits(path)).copied());
        let alike = || Some(self.sketches.nearest(&sketch(bytes)?, 1).first()?.0);
        let found = named.map(Place::Held).or_else(alike)?;
        let bytes = match found {
            Place::Held(path) => self.old.get(path),
            Place::Earlier(path) => self.new.get(path),
        };
        Some((found, bytes?))
    }

    /// What came before may be a base.
    fn add(&mut self, path: &'a [u8], bytes: &[u8]) {
        if let Some(sketch) = sketch(bytes) {
            self.sketches.insert(&sketch, Place::Earlier(path));
        }
    }
}

fn check(script: &[u8], base: &[u8], expected: &[u8]) {
    let (mut decoder, mut input) = (Script::new(expected.len() as u64), script);
    let mut made = Vec::new();
    let at = |at: u64| usize::try_from(at).unwrap();
    while let Some(step) = decoder.next(&mut input).unwrap() {
        match step {
            Step::Insert(bytes) => made.extend_from_slice(bytes),
            Step::Copy { at: from, len } => {
                made.extend_from_slice(&base[at(from)..at(from + len)]);
            }
            Step::Add { at: from, bytes } => {
                made.extend(base[at(from)..].iter().zip(bytes).map(|(a, b)| a.wrapping_add(*b)));
            }
            Step::BaseHeld { .. } | Step::BaseContent { .. } => {}
        }
    }
    assert!(made == expected && decoder.is_complete());
}

fn main() {
    let directories: Vec<String> = std::env::args().skip(1).collect();
    let (mut olds, mut news) = (Files::new(), Files::new());
    match &directories[..] {
        [new] => read(new.as_ref(), new.as_ref(), &mut news),
        [old, new] => {
            read(old.as_ref(), old.as_ref(), &mut olds);
            read(new.as_ref(), new.as_ref(), &mut news);
        }
        _ => {
            println!("patches [OLD] NEW");
            return;
        }
    }
    let mut known: HashSet<&[u8]> = olds.values().map(|bytes| &bytes[..]).collect();
    let mut sources = Known::new(&olds, &news);
    let (mut scripts, mut plain) = (vec![Vec::new()], vec![Vec::new()]);
    let (mut patched, mut read, mut took) = (0, 0, 0.0);
    for (path, bytes) in news.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        if !known.insert(bytes) {
            continue;
        }
        let base = sources.base(path, bytes);
        let begun = Instant::now();
        let patch: Option<Patch> = base.and_then(|(_, base)| make(base, bytes));
        took += begun.elapsed().as_secs_f64();
        read += base.map_or(0, |(_, base)| base.len() + bytes.len());
        let mut done = 0;
        while done < bytes.len() {
            if plain.last().unwrap().len() == PACK {
                scripts.push(Vec::new());
                plain.push(Vec::new());
            }
            let (script, pack) = (scripts.last_mut().unwrap(), plain.last_mut().unwrap());
            let piece = &bytes[done..bytes.len().min(done + PACK - pack.len())];
            pack.extend_from_slice(piece);
            match (&patch, base) {
                (Some(patch), Some((place, base))) => {
                    let begin = script.len();
                    let base_is = match place {
                        Place::Held(path) => Operation::BaseHeld { image: 0, path },
                        Place::Earlier(_) => Operation::BaseContent(1000),
                    };
                    base_is.write(|bytes| script.extend_from_slice(bytes));
                    patch.slice(done as u64, (done + piece.len()) as u64, 0, script);
                    check(&script[begin..], base, piece);
                    patched += piece.len();
                }
                _ => Operation::Insert(piece).write(|bytes| script.extend_from_slice(bytes)),
            }
            done += piece.len();
        }
        sources.add(path, bytes);
    }
    let mb = |bytes: usize| format!("{:.2} MB", bytes as f64 / 1e6);
    println!("changed: {}, patched: {}", mb(plain.iter().map(Vec::len).sum()), mb(patched));
    println!("patches: {:.1} MB of bases and targets a second", read as f64 / 1e6 / took);
    for (name, level) in [("deflate", 6), ("deflate", 9), ("zstd", 7), ("zstd", 19)] {
        let encoded = |packs: &[Vec<u8>]| {
            let len = |pack: &Vec<u8>| match name {
                "zstd" => zstd::bulk::compress(pack, level).unwrap().len(),
                _ => deflate::encode(pack, level).unwrap().len(),
            };
            packs.iter().map(len).sum()
        };
        println!(
            "{name} {level}: packs {}, of patches {}",
            mb(encoded(&plain)),
            mb(encoded(&scripts))
        );
    }
}
