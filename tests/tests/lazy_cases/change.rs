//! Ways to change a file, each of which copies it up.

use super::{Case, bytes, run, same};
use rustix::fs::{XattrFlags, setxattr};
use skiff_tests::startable::Startable;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};
use std::process::{Command, Stdio};

pub const CASES: &[Case] = &[
    ("open for reading and writing", read_write),
    ("O_TRUNC", truncate_open),
    ("O_APPEND", append),
    ("chmod", chmod),
    ("chown", chown_),
    ("utimes", utimes),
    ("setxattr", setxattr_),
    ("rename", rename),
    ("link", link),
    ("truncate by path", truncate),
    ("truncate to more", extend),
    ("unlink, and another file of the name", unlink),
    ("chmod of one of two hard links", chmod_hardlink),
    ("32 that chmod and read", many),
    ("what chmod copied up is a whole file", copied_up),
];

fn read_write(it: &Startable) {
    let file = OpenOptions::new().read(true).write(true).open(it.path("f")).unwrap();
    file.write_all_at(b"XX", 10).unwrap();
    let mut expected = bytes("f");
    expected[10..12].copy_from_slice(b"XX");
    assert!(it.read("f") == expected);
}

fn truncate_open(it: &Startable) {
    fs::write(it.path("f"), "new").unwrap();
    assert_eq!(it.read("f"), b"new");
}

fn append(it: &Startable) {
    let mut file = OpenOptions::new().append(true).open(it.path("f")).unwrap();
    file.write_all(b"tail").unwrap();
    let mut expected = bytes("f");
    expected.extend(b"tail");
    assert!(it.read("f") == expected);
}

fn chmod(it: &Startable) {
    fs::set_permissions(it.path("f"), Permissions::from_mode(0o600)).unwrap();
    same(&it.read("f"), "f");
}

fn chown_(it: &Startable) {
    chown(it.path("f"), Some(1000), Some(1000)).unwrap();
    same(&it.read("f"), "f");
    assert_eq!(fs::metadata(it.path("f")).unwrap().uid(), 1000);
}

fn utimes(it: &Startable) {
    run("/usr/bin/touch", &["-d", "@1", it.path("f").to_str().unwrap()]);
    same(&it.read("f"), "f");
    assert_eq!(fs::metadata(it.path("f")).unwrap().mtime(), 1);
}

fn setxattr_(it: &Startable) {
    setxattr(it.path("f"), "trusted.x", b"1", XattrFlags::empty()).unwrap();
    same(&it.read("f"), "f");
}

fn rename(it: &Startable) {
    fs::rename(it.path("f"), it.path("f2")).unwrap();
    same(&it.read("f2"), "f");
}

fn link(it: &Startable) {
    fs::hard_link(it.path("f"), it.path("f2")).unwrap();
    same(&it.read("f2"), "f");
    same(&it.read("f"), "f");
}

fn truncate(it: &Startable) {
    run("/usr/bin/truncate", &["-s", "100000", it.path("f").to_str().unwrap()]);
    assert!(it.read("f") == bytes("f")[..100_000]);
}

fn extend(it: &Startable) {
    run("/usr/bin/truncate", &["-s", "400000", it.path("f").to_str().unwrap()]);
    let mut expected = bytes("f");
    expected.resize(400_000, 0);
    assert!(it.read("f") == expected);
}

fn unlink(it: &Startable) {
    fs::remove_file(it.path("f")).unwrap();
    fs::write(it.path("f"), "n").unwrap();
    assert_eq!(it.read("f"), b"n");
}

fn chmod_hardlink(it: &Startable) {
    fs::set_permissions(it.path("hl1"), Permissions::from_mode(0o600)).unwrap();
    same(&it.read("hl1"), "hl1");
    same(&it.read("hl2"), "hl2");
}

fn many(it: &Startable) {
    let path = it.path("f");
    let start = |number: u32| {
        let script = format!("chmod {:o} {1}; exec cat {1}", 0o600 + (number % 8), path.display());
        let mut command = Command::new("timeout");
        command.args(["10", "sh", "-c", &script]).stdout(Stdio::piped()).spawn().unwrap()
    };
    let readers: Vec<_> = (0..32).map(start).collect();
    for reader in readers {
        same(&reader.wait_with_output().unwrap().stdout, "f");
    }
}

fn copied_up(it: &Startable) {
    fs::set_permissions(it.path("f"), Permissions::from_mode(0o600)).unwrap();
    same(&fs::read(it.upper.join("f")).unwrap(), "f");
    let mut names = vec![0; 4096];
    let length = rustix::fs::listxattr(it.upper.join("f"), &mut names[..]).unwrap();
    let names = String::from_utf8_lossy(&names[..length]).into_owned();
    assert!(!names.contains("metacopy"), "{names}");
}
