//! Each kind of difference is made on a real disk, and must be seen. Root is needed for owners and
//! devices.

use super::{Tree, differences};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, chownat, lsetxattr, mknodat,
    utimensat,
};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// 2001-09-09; long before anything is unpacked here.
const DAY: i64 = 1_000_000_000;
/// When the trees here are said to be unpacked.
const UNPACKED: super::Unpacked = DAY + 10..=DAY + 30;

fn stamp(path: &Path, sec: i64, nsec: i64) {
    let time = Timespec { tv_sec: sec, tv_nsec: nsec };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn read(root: &Path) -> Tree {
    Tree::read(root).unwrap()
}

/// A small tree with one of each.
fn build(root: &Path) {
    fs::create_dir_all(root.join("d")).unwrap();
    fs::write(root.join("d/file"), "content").unwrap();
    fs::write(root.join("one"), "linked").unwrap();
    fs::hard_link(root.join("one"), root.join("two")).unwrap();
    symlink("d/file", root.join("link")).unwrap();
    mknodat(CWD, root.join("null"), FileType::CharacterDevice, Mode::from(0o666), 0x103).unwrap();
    mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::from(0o600), 0).unwrap();
    lsetxattr(root.join("d/file"), "user.a", b"1", XattrFlags::empty()).unwrap();
    lsetxattr(root.join("d"), "trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    for name in ["d/file", "one", "link", "null", "fifo", "d"] {
        stamp(&root.join(name), DAY, 5);
    }
}

#[test]
fn each_kind_of_difference_is_seen() {
    type Change = fn(&Path);
    let rows: &[(&str, &str, Change)] = &[
        ("d/file", "missing", |root| {
            fs::remove_file(root.join("d/file")).unwrap();
            stamp(&root.join("d"), DAY, 5);
        }),
        ("new", "extra", |root| fs::write(root.join("new"), "").unwrap()),
        ("fifo", "type", |root| {
            fs::remove_file(root.join("fifo")).unwrap();
            let mode = Mode::from(0o600);
            mknodat(CWD, root.join("fifo"), FileType::Socket, mode, 0).unwrap();
            stamp(&root.join("fifo"), DAY, 5);
        }),
        ("d/file", "mode", |root| {
            fs::set_permissions(root.join("d/file"), fs::Permissions::from_mode(0o4644)).unwrap();
        }),
        ("link", "uid", |root| {
            let uid = rustix::fs::Uid::from_raw(7);
            chownat(CWD, root.join("link"), Some(uid), None, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        }),
        ("d", "gid", |root| {
            let gid = rustix::fs::Gid::from_raw(4_000_000_000);
            chownat(CWD, root.join("d"), None, Some(gid), AtFlags::SYMLINK_NOFOLLOW).unwrap();
        }),
        ("link", "mtime", |root| stamp(&root.join("link"), DAY, 6)),
        ("d", "mtime", |root| stamp(&root.join("d"), DAY + 1, 5)),
        ("d/file", "size", |root| {
            fs::write(root.join("d/file"), "longer content").unwrap();
            stamp(&root.join("d/file"), DAY, 5);
        }),
        ("d/file", "content", |root| {
            fs::write(root.join("d/file"), "CONTENT").unwrap();
            stamp(&root.join("d/file"), DAY, 5);
        }),
        ("link", "link target", |root| {
            fs::remove_file(root.join("link")).unwrap();
            symlink("d/fil3", root.join("link")).unwrap();
            stamp(&root.join("link"), DAY, 5);
        }),
        ("null", "device", |root| {
            fs::remove_file(root.join("null")).unwrap();
            let mode = Mode::from(0o666);
            mknodat(CWD, root.join("null"), FileType::CharacterDevice, mode, 0x104).unwrap();
            stamp(&root.join("null"), DAY, 5);
        }),
        ("d/file", "xattr", |root| {
            lsetxattr(root.join("d/file"), "user.a", b"2", XattrFlags::empty()).unwrap();
        }),
        ("d", "xattr", |root| {
            lsetxattr(root.join("d"), "user.b", b"", XattrFlags::empty()).unwrap();
        }),
        ("two", "hard-link group", |root| {
            fs::remove_file(root.join("two")).unwrap();
            fs::write(root.join("two"), "linked").unwrap();
            stamp(&root.join("two"), DAY, 5);
        }),
        ("one", "link count", |root| {
            let outside = root.with_extension("outside");
            fs::hard_link(root.join("one"), outside).unwrap();
        }),
    ];
    let sandbox = tempfile::tempdir().unwrap();
    let stock = sandbox.path().join("stock");
    build(&stock);
    let stock = read(&stock);
    for (number, (path, what, change)) in rows.iter().enumerate() {
        let other = sandbox.path().join(format!("other{number}"));
        build(&other);
        assert_eq!(differences(&stock, &read(&other), &UNPACKED), [], "before {what}");
        change(&other);
        let found = differences(&stock, &read(&other), &UNPACKED);
        let seen = found.iter().any(|found| found.path == *path && found.what == *what);
        assert!(seen, "{path}: {what} was not seen; seen was {found:?}");
    }
}

#[test]
fn only_unnamed_directories_may_differ_in_time() {
    let sandbox = tempfile::tempdir().unwrap();
    let (stock, other) = (sandbox.path().join("stock"), sandbox.path().join("other"));
    build(&stock);
    build(&other);
    stamp(&stock.join("d"), DAY + 20, 0);
    stamp(&stock, DAY, 0);
    let (stock, other) = (read(&stock), read(&other));
    assert_eq!(differences(&stock, &other, &UNPACKED), []);
    assert_eq!(differences(&stock, &other, &(DAY + 30..=DAY + 40)).len(), 1);
}

#[test]
fn names_of_any_bytes_are_compared() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let sandbox = tempfile::tempdir().unwrap();
    let (stock, other) = (sandbox.path().join("stock"), sandbox.path().join("other"));
    for (root, name) in [(&stock, b"\xff\x01"), (&other, b"\xfe\x01")] {
        fs::create_dir(root).unwrap();
        fs::write(root.join(OsStr::from_bytes(name)), "").unwrap();
    }
    let found = differences(&read(&stock), &read(&other), &UNPACKED);
    let said: Vec<_> = found.iter().map(|found| (found.path.as_str(), found.what)).collect();
    assert_eq!(said, [("\\xfe\\x01", "extra"), ("\\xff\\x01", "missing")]);
}

#[test]
fn a_tree_survives_its_bytes() {
    let sandbox = tempfile::tempdir().unwrap();
    build(sandbox.path());
    // Before 1901 and after 2038.
    stamp(&sandbox.path().join("one"), -3_000_000_000, 999_999_999);
    stamp(&sandbox.path().join("link"), 5_000_000_000, 1);
    let tree = read(sandbox.path());
    let mut bytes = tree.to_bytes().unwrap();
    assert_eq!(Tree::from_bytes(&bytes).unwrap(), tree);
    assert!(Tree::from_bytes(&bytes[..bytes.len() - 1]).is_err(), "too short");
    bytes.push(0);
    assert!(Tree::from_bytes(&bytes).is_err(), "too long");
}
