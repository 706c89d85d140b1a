//! Every way to open a cold file ([`skiff_cold`]), on this machine: each case has an image of its own, pulled lazily, of which
//! nothing has come ([`skiff_tests::startable`]). It is an update, so there are a layer below, a whiteout and an opaque
//! directory, too.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_cold::{Ground, Needs, Programs, cases};
use skiff_tests::cold::{base, tree};
use skiff_tests::startable::Startable;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn no_way_leads_around_a_lease() {
    let cases = cases();
    assert!(cases.len() >= 43, "{} cases", cases.len());
    let compiled = compile();
    let read = |name: &str| fs::read(compiled.join(name)).unwrap();
    let small = Programs {
        hello: read("hello"),
        busybox: None,
        library: Some(["uses_magic", "libmagic.so"].map(read)),
    };
    let whole = Programs { busybox: Some(fs::read("/bin/busybox").unwrap()), ..small.clone() };
    let mut failed = Vec::new();
    for case in cases {
        println!("{}", case.name);
        let tried = catch_unwind(AssertUnwindSafe(|| {
            let programs = match case.needs {
                Needs::Busybox | Needs::Runc => &whole,
                Needs::Nothing | Needs::Compiled => &small,
            };
            let startable = Startable::new(&base(""), &tree("", 0, programs));
            let ground = Ground {
                merged: startable.merged.clone(),
                upper: startable.upper.clone(),
                layer: startable.layer.clone(),
                scratch: startable.sandbox.directory("scratch"),
                seed: 0,
                compiled: compiled.clone(),
            };
            assert!(ground.is_cold("f"), "f is not cold");
            (case.run)(&ground);
        }));
        if tried.is_err() {
            failed.push(case.name);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// Builds the programs in `tests/programs`.
fn compile() -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
    let to = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("programs");
    fs::create_dir_all(&to).unwrap();
    let compile = |arguments: &[&str]| {
        let status = Command::new("cc").args(arguments).current_dir(&to).status();
        assert!(status.is_ok_and(|status| status.success()), "cc {arguments:?} failed");
    };
    let source = |name: &str| sources.join(name).display().to_string();
    compile(&["-O1", "-static", &source("hello.c"), "-o", "hello"]);
    compile(&["-O1", "-shared", "-fPIC", &source("magic.c"), "-o", "libmagic.so"]);
    compile(&["-O1", &source("uses_magic.c"), "-L.", "-lmagic", "-o", "uses_magic"]);
    for name in ["uring", "mapped"] {
        compile(&["-O1", &source(&format!("{name}.c")), "-o", name]);
    }
    to
}
