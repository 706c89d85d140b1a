//! What can go wrong with the files of an image, and what is said of it.

use super::Device;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags, setxattr, utimensat};
use skiff_tests::hard::noise;
use skiff_tests::tarball::Entry;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

pub fn write(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Changes bytes as a bad disk does: nothing else shows it.
pub fn rot(path: &Path) {
    let before = fs::metadata(path).unwrap();
    write(path, |bytes| bytes[7] ^= 1);
    set_time(path, before.mtime(), before.mtime_nsec());
}

fn set_time(path: &Path, tv_sec: i64, tv_nsec: i64) {
    let time = Timespec { tv_sec, tv_nsec };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

pub fn entries() -> Vec<Entry> {
    let of = |entry: Entry| entry.mtime(1_600_000_000, 5).owner(3, 4);
    vec![
        of(Entry::directory("d/").mode(0o751).xattr("user.of", "d")),
        of(Entry::file("d/one", noise(1, 30_000)).mode(0o4755).xattr("user.of", "one")),
        of(Entry::file("d/two", noise(2, 70_000))),
        of(Entry::hardlink("d/two-again", "d/two")),
        of(Entry::hardlink("two-elsewhere", "d/two")),
        of(Entry::file("d/empty", "")),
        of(Entry::symlink("d/link", "one")),
        of(Entry::fifo("d/fifo")),
        of(Entry::character("d/null", 1, 3)),
        of(Entry::directory("d/e/")),
        of(Entry::file("d/e/three", noise(3, 10_000))),
        of(Entry::directory("kept/")),
        of(Entry::file("kept/large", noise(4, 2_000_000))),
        of(Entry::file("gone", noise(11, 5000))),
        of(Entry::file("a name\nwith\x1b[1m", "x")),
    ]
}

/// What is done to a device, and what is said of it.
pub type Row = (&'static str, fn(&Device), &'static [&'static str]);

pub const ROWS: [Row; 22] = [
    ("a flipped bit", |it| rot(&it.place("d/one")), &["d/one has other bytes"]),
    (
        "bytes that were written",
        |it| write(&it.place("d/one"), |bytes| bytes[9] ^= 1),
        &["d/one has other bytes, has another time"],
    ),
    (
        "a file that was cut",
        |it| write(&it.place("d/e/three"), |bytes| bytes.truncate(5000)),
        &["d/e/three has another size, has another time"],
    ),
    (
        "a file that is gone",
        |it| fs::remove_file(it.place("d/one")).unwrap(),
        &["d has another time", "d/one is missing"],
    ),
    (
        "a file too much",
        |it| fs::write(it.layer("d").join("d/extra"), "x").unwrap(),
        &["d has another time", "d/extra is not in the image"],
    ),
    (
        "a directory too much",
        |it| {
            let extra = it.layer("kept").join("kept/extra");
            fs::create_dir(&extra).unwrap();
            fs::write(extra.join("x"), "x").unwrap();
        },
        &["kept has another time", "kept/extra is not in the image"],
    ),
    ("a mode", |it| chmod(&it.place("d/one"), 0o755), &["d/one has another mode"]),
    (
        "an owner",
        |it| chown(it.place("d/one"), Some(9), None).unwrap(),
        &["d/one has another mode, has another owner"],
    ),
    ("a time", |it| set_time(&it.place("d/two"), 5, 0), &["d/two has another time"]),
    (
        "an attribute",
        |it| attribute(&it.place("d/one"), "user.of", "two"),
        &["d/one has other attributes"],
    ),
    (
        "an attribute too much",
        |it| attribute(&it.place("d/e"), "user.more", "x"),
        &["d/e has other attributes"],
    ),
    ("a directory's mode", |it| chmod(&it.place("kept"), 0o777), &["kept has another mode"]),
    (
        "an empty file",
        |it| fs::write(it.place("d/empty"), "x").unwrap(),
        &["d/empty has another size, has another time"],
    ),
    (
        "a link",
        |it| {
            let link = it.place("d/link");
            fs::remove_file(&link).unwrap();
            symlink("two", &link).unwrap();
            lchown(&link);
            set_time(&link, 1_600_000_000, 5);
            restore(link.parent().unwrap());
        },
        &["d/link links elsewhere"],
    ),
    (
        "another kind",
        |it| {
            let fifo = it.place("d/fifo");
            fs::remove_file(&fifo).unwrap();
            fs::create_dir(&fifo).unwrap();
            fs::write(fifo.join("x"), "x").unwrap();
            restore(fifo.parent().unwrap());
        },
        &["d/fifo is of another kind"],
    ),
    (
        "a device",
        |it| {
            let null = it.place("d/null");
            fs::remove_file(&null).unwrap();
            mknod(&null, "5");
            chmod(&null, 0o600);
            chown(&null, Some(3), Some(4)).unwrap();
            set_time(&null, 1_600_000_000, 5);
            restore(null.parent().unwrap());
        },
        &["d/null is another device"],
    ),
    (
        "a flipped bit of a file with three names",
        |it| rot(&it.place("two-elsewhere")),
        &["d/two has other bytes"],
    ),
    (
        "one name of three",
        |it| fs::remove_file(it.place("two-elsewhere")).unwrap(),
        &["two-elsewhere is missing"],
    ),
    (
        "the first name of three",
        |it| {
            let two = it.place("d/two");
            fs::remove_file(&two).unwrap();
            restore(two.parent().unwrap());
        },
        &[
            "d/two is missing",
            "d/two-again is not the hard link that it should be",
            "two-elsewhere is not the hard link that it should be",
        ],
    ),
    (
        "a copy in place of a name",
        |it| {
            let other = it.place("d/two-again");
            let bytes = fs::read(&other).unwrap();
            fs::remove_file(&other).unwrap();
            fs::write(&other, bytes).unwrap();
            restore(other.parent().unwrap());
        },
        &["d/two-again is not the hard link that it should be"],
    ),
    (
        "a directory with all in it",
        |it| fs::remove_dir_all(it.place("d/e")).unwrap(),
        &["d has another time", "d/e is missing", "d/e/three is missing"],
    ),
    (
        "a name that plays tricks",
        |it| fs::remove_file(it.place("a name\nwith\x1b[1m")).unwrap(),
        &["a name\\nwith\\x1b[1m is missing"],
    ),
];

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn lchown(path: &Path) {
    std::os::unix::fs::lchown(path, Some(3), Some(4)).unwrap();
}

/// A character device of major 1, or 0:0, which is a whiteout.
pub fn mknod(path: &Path, minor: &str) {
    let major = if minor == "0" { "0" } else { "1" };
    let made = std::process::Command::new("mknod").arg(path).args(["c", major, minor]).status();
    assert!(made.unwrap().success());
}

/// A directory's time, as if nothing had changed in it.
fn restore(directory: &Path) {
    set_time(directory, 1_600_000_000, 5);
}

fn attribute(path: &Path, name: &str, value: &str) {
    let before = fs::metadata(path).unwrap();
    setxattr(path, name, value.as_bytes(), XattrFlags::empty()).unwrap();
    set_time(path, before.mtime(), before.mtime_nsec());
}
