//! Ways to change a file, each of which copies it up.

use super::{Case, Ground, case, run};
use rustix::fs::{XattrFlags, setxattr};
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};
use std::process::{Command, Stdio};

pub const CASES: &[Case] = &[
    case("open for reading and writing", read_write),
    case("O_TRUNC", truncate_open),
    case("O_APPEND", append),
    case("chmod", chmod),
    case("chown", chown_),
    case("utimes", utimes),
    case("setxattr", setxattr_),
    case("rename", rename),
    case("link", link),
    case("truncate by path", truncate),
    case("truncate to more", extend),
    case("unlink, and another file of the name", unlink),
    case("chmod of one of two hard links", chmod_hardlink),
    case("32 that chmod and read", many),
    case("what chmod copied up is a whole file", copied_up),
];

fn read_write(it: &Ground) {
    let file = OpenOptions::new().read(true).write(true).open(it.path("f")).unwrap();
    file.write_all_at(b"XX", 10).unwrap();
    let mut expected = it.bytes("f");
    expected[10..12].copy_from_slice(b"XX");
    assert!(it.read("f") == expected);
}

fn truncate_open(it: &Ground) {
    fs::write(it.path("f"), "new").unwrap();
    assert_eq!(it.read("f"), b"new");
}

fn append(it: &Ground) {
    let mut file = OpenOptions::new().append(true).open(it.path("f")).unwrap();
    file.write_all(b"tail").unwrap();
    let mut expected = it.bytes("f");
    expected.extend(b"tail");
    assert!(it.read("f") == expected);
}

fn chmod(it: &Ground) {
    fs::set_permissions(it.path("f"), Permissions::from_mode(0o600)).unwrap();
    it.has("f");
}

fn chown_(it: &Ground) {
    chown(it.path("f"), Some(1000), Some(1000)).unwrap();
    it.has("f");
    assert_eq!(fs::metadata(it.path("f")).unwrap().uid(), 1000);
}

fn utimes(it: &Ground) {
    run("touch", &["-d", "@1", it.path("f").to_str().unwrap()]);
    it.has("f");
    assert_eq!(fs::metadata(it.path("f")).unwrap().mtime(), 1);
}

fn setxattr_(it: &Ground) {
    setxattr(it.path("f"), "trusted.x", b"1", XattrFlags::empty()).unwrap();
    it.has("f");
}

fn rename(it: &Ground) {
    fs::rename(it.path("f"), it.path("f2")).unwrap();
    it.same(&it.read("f2"), "f");
}

fn link(it: &Ground) {
    fs::hard_link(it.path("f"), it.path("f2")).unwrap();
    it.same(&it.read("f2"), "f");
    it.has("f");
}

fn truncate(it: &Ground) {
    run("truncate", &["-s", "100000", it.path("f").to_str().unwrap()]);
    assert!(it.read("f") == it.bytes("f")[..100_000]);
}

fn extend(it: &Ground) {
    run("truncate", &["-s", "400000", it.path("f").to_str().unwrap()]);
    let mut expected = it.bytes("f");
    expected.resize(400_000, 0);
    assert!(it.read("f") == expected);
}

fn unlink(it: &Ground) {
    fs::remove_file(it.path("f")).unwrap();
    fs::write(it.path("f"), "n").unwrap();
    assert_eq!(it.read("f"), b"n");
}

fn chmod_hardlink(it: &Ground) {
    fs::set_permissions(it.path("hl1"), Permissions::from_mode(0o600)).unwrap();
    it.has("hl1");
    it.has("hl2");
}

fn many(it: &Ground) {
    let path = it.path("f");
    let start = |number: u32| {
        let script = format!("chmod {:o} {1}; exec cat {1}", 0o600 + (number % 8), path.display());
        let mut command = Command::new("timeout");
        command.args(["20", "sh", "-c", &script]).stdout(Stdio::piped()).spawn().unwrap()
    };
    let readers: Vec<_> = (0..32).map(start).collect();
    for reader in readers {
        it.same(&reader.wait_with_output().unwrap().stdout, "f");
    }
}

fn copied_up(it: &Ground) {
    fs::set_permissions(it.path("f"), Permissions::from_mode(0o600)).unwrap();
    it.same(&fs::read(it.upper.join("f")).unwrap(), "f");
    let mut names = vec![0; 4096];
    let length = rustix::fs::listxattr(it.upper.join("f"), &mut names[..]).unwrap();
    let names = String::from_utf8_lossy(&names[..length]).into_owned();
    assert!(!names.contains("metacopy"), "{names}");
}
