//! The program: what it writes, and how it fails.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use skiff_compare::Tree;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output};

fn program(arguments: &[&OsStr]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_skiff-compare")).args(arguments).output().unwrap()
}

#[test]
fn it_writes_the_tree() {
    let sandbox = tempfile::tempdir().unwrap();
    let root = sandbox.path().join(OsStr::from_bytes(b"root\xff"));
    fs::create_dir(&root).unwrap();
    fs::write(root.join(OsStr::from_bytes(b"file\xfe")), "content").unwrap();
    let output = program(&[root.as_os_str()]);
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"".as_slice()));
    assert_eq!(Tree::from_bytes(&output.stdout).unwrap(), Tree::read(&root).unwrap());
}

#[test]
fn failures_are_sentences() {
    let sandbox = tempfile::tempdir().unwrap();
    let (missing, file) = (sandbox.path().join("missing"), sandbox.path().join("file"));
    fs::write(&file, "").unwrap();
    let usage = "it takes one argument, the directory to read".to_owned();
    let cannot = |path: &Path, why| format!("can't read the status of {}/: {why}", path.display());
    let absent = cannot(&missing, "No such file or directory (os error 2)");
    let no_directory = cannot(&file, "Not a directory (os error 20)");
    let (missing, file) = (missing.as_os_str(), file.as_os_str());
    let rows: [(&[&OsStr], i32, String); 4] = [
        (&[], 2, usage.clone()),
        (&[file, file], 2, usage),
        (&[missing], 1, absent),
        (&[file], 1, no_directory),
    ];
    for (arguments, code, said) in rows {
        let output = program(arguments);
        let row = format!("{arguments:?}");
        assert_eq!(output.status.code(), Some(code), "{row}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr, format!("skiff-compare: {said}\n"), "{row}");
        assert!(output.stdout.is_empty(), "{row}");
    }
}
