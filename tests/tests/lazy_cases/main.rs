//! Every way to open a cold file, through a real overlay mount: each waits, and gets the file's own bytes.
//!
//! Each case has an image of its own, pulled lazily, of which nothing has come ([`skiff_tests::startable`]). It is an update,
//! so there are a layer below, a whiteout and an opaque directory, too.
#![allow(clippy::unwrap_used, reason = "tests")]

mod change;
mod execute;
mod read;
mod tree;

use skiff_tests::hard::noise;
use skiff_tests::startable::Startable;
use skiff_tests::tarball::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// A case: what is done with the merged tree.
type Case = (&'static str, fn(&Startable));

#[test]
fn no_way_leads_around_a_lease() {
    let cases: Vec<Case> = [read::CASES, execute::CASES, change::CASES, tree::CASES]
        .into_iter()
        .flatten()
        .copied()
        .collect();
    assert!(cases.len() >= 43, "{} cases", cases.len());
    let (base, entries) = (base(), entries());
    let mut failed = Vec::new();
    for (name, case) in cases {
        println!("{name}");
        let tried = catch_unwind(AssertUnwindSafe(|| {
            let startable = Startable::new(&base, &entries);
            assert!(startable.is_cold("f"), "f is not cold");
            case(&startable);
        }));
        if tried.is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// The bytes of a file.
pub fn bytes(name: &str) -> Vec<u8> {
    match name {
        "f" | "sym" => noise(1, 300_000),
        "d/a" => noise(2, 70_000),
        "d/sub/b" => noise(3, 5_000),
        "d/sub/c" => noise(4, 123_457),
        "hl1" | "hl2" => noise(5, 90_000),
        "op/old" => noise(6, 5_000),
        "small" => b"hello world\n".to_vec(),
        "bin/hello" | "bin/interpreter" => std::fs::read(programs().join("hello")).unwrap(),
        "bin/uses_magic" => std::fs::read(programs().join("uses_magic")).unwrap(),
        "lib/libmagic.so" => std::fs::read(programs().join("libmagic.so")).unwrap(),
        "bin/busybox" => std::fs::read("/bin/busybox").unwrap(),
        "bin/script" => b"#!/bin/interpreter\n".to_vec(),
        _ => panic!("no file {name}"),
    }
}

/// Files to compare after a walk over all.
pub const FILES: [&str; 9] =
    ["f", "d/a", "d/sub/b", "d/sub/c", "hl1", "hl2", "small", "bin/hello", "lib/libmagic.so"];

/// Seconds since 1970 of all files.
pub const MTIME: i64 = 1_600_000_000;

fn base() -> Vec<Entry> {
    let file = |name: &str, text: &str| Entry::file(name, text).mtime(MTIME, 0);
    vec![
        Entry::directory("op/"),
        Entry::directory("wd/"),
        file("f", "the base's"),
        file("op/below", "hidden by an opaque directory"),
        file("wd/gone", "hidden by a whiteout"),
        file("wd/kept", "kept"),
    ]
}

fn entries() -> Vec<Entry> {
    let file = |name: &str, mode: u32| {
        let entry = Entry::file(name, bytes(name)).mtime(MTIME, 0);
        if mode == 0 { entry } else { entry.mode(mode) }
    };
    let kept = Entry::file("wd/kept", "kept").mtime(MTIME, 0);
    let directories = ["bin/", "d/", "d/sub/", "lib/", "op/", "wd/"].map(Entry::directory);
    let mut entries = directories.to_vec();
    for (name, mode) in [
        ("f", 0),
        ("d/a", 0),
        ("d/sub/b", 0),
        ("d/sub/c", 0),
        ("hl1", 0),
        ("op/old", 0),
        ("small", 0),
        ("bin/hello", 0o755),
        ("bin/script", 0o755),
        ("bin/uses_magic", 0o755),
        ("bin/busybox", 0o755),
        ("lib/libmagic.so", 0o755),
    ] {
        entries.push(file(name, mode));
    }
    entries
        .push(Entry::file("bin/interpreter", bytes("bin/interpreter")).mode(0o755).mtime(MTIME, 7));
    entries.push(Entry::file("empty", ""));
    entries.push(Entry::hardlink("hl2", "hl1").mtime(MTIME, 0));
    entries.push(Entry::symlink("sym", "f"));
    entries.push(kept);
    entries
}

/// Where the programs in `tests/programs` are built.
pub fn programs() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
        let to = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("programs");
        std::fs::create_dir_all(&to).unwrap();
        let compile = |arguments: &[&str]| {
            let status = Command::new("cc").args(arguments).current_dir(&to).status();
            assert!(status.is_ok_and(|status| status.success()), "cc {arguments:?} failed");
        };
        let source = |name: &str| sources.join(name).display().to_string();
        compile(&["-O1", "-static", &source("hello.c"), "-o", "hello"]);
        compile(&["-O1", "-shared", "-fPIC", &source("magic.c"), "-o", "libmagic.so"]);
        compile(&["-O1", &source("uses_magic.c"), "-L.", "-lmagic", "-o", "uses_magic"]);
        compile(&["-O1", &source("uring.c"), "-o", "uring"]);
        to
    })
}

/// Runs a program to its end, ten seconds at most; gives its standard output.
#[track_caller]
pub fn run(program: impl AsRef<Path>, arguments: &[&str]) -> Vec<u8> {
    let output = output(program.as_ref(), arguments, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {}: {said}", output.status);
    output.stdout
}

/// Runs a program with more environment; gives what came of it.
pub fn output(program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new("timeout");
    command.arg("10").arg(program).args(arguments).envs(environment.iter().copied());
    command.output().unwrap()
}

/// Fails unless these are the file's bytes; says whether they are zeros.
#[track_caller]
pub fn same(found: &[u8], name: &str) {
    let expected = bytes(name);
    let zeros = found.iter().filter(|&&byte| byte == 0).count();
    assert!(
        found == expected,
        "{name}: {} bytes, {zeros} of them zero, of {}",
        found.len(),
        expected.len()
    );
}
