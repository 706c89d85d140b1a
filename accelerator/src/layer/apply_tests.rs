//! One row for each rule of containerd's unpacking.

use super::super::tar_builder::{Item, applied, device, dir, file, hard_link, other, symlink, tar};
use super::*;

/// As long as a capability is.
const CAP: &str = "12345678901234567890";

/// Each entry as `path: what it is`.
fn brief(layer: &AppliedLayer) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let row = |(path, entry): (&Path, &Entry)| {
        let path = text(path);
        let Some(node) = entry.node() else { return format!("-{path}") };
        let meta = &node.meta;
        let mut row = match &node.kind {
            FileKind::Directory => format!("{path}/"),
            FileKind::File(content) => format!("{path} {}", content.size),
            FileKind::Symlink(target) => format!("{path} -> {}", text(target)),
            FileKind::CharDevice(a, b) => format!("{path} c{a}:{b}"),
            FileKind::BlockDevice(a, b) => format!("{path} b{a}:{b}"),
            FileKind::Fifo => format!("{path} fifo"),
        };
        row += &format!(" {:o}", meta.mode);
        if (meta.uid, meta.gid) != (0, 0) {
            row += &format!(" {}:{}", meta.uid, meta.gid);
        }
        if meta.mtime != 1 {
            row += &format!(" @{}", meta.mtime);
        }
        for (key, value) in &meta.xattrs {
            row += &format!(" {}={}", text(key), text(value));
        }
        if let Entry::Directory { opaque: true, .. } = entry {
            row += " opaque";
        }
        match entry {
            Entry::Directory { inherit: Inherit::All, .. } => row += " implicit",
            Entry::Directory { inherit: Inherit::Xattrs, .. } => row += " inherits xattrs",
            _ => {}
        }
        row
    };
    layer.entries.iter().map(row).collect()
}

#[test]
fn rules() {
    let rows: Vec<(&str, Vec<Item>, &[&str])> = vec![
        (
            "kinds",
            vec![
                dir("d/").mode(0o1777),
                file("./d/f", "abc").mode(0o104_755).owner(7, 8),
                symlink("s", "../any\\thing"),
                device("c", 1, 3),
                other(b'6', "p", b""),
            ],
            &["c c1:3 644", "d/ 1777", "d/f 3 4755 7:8", "p fifo 644", "s -> ../any\\thing 777"],
        ),
        ("the root", vec![dir("./"), dir("/"), dir(".."), file("a/..", "x")], &[]),
        (
            "dots stop at the root",
            vec![file("../../x", ""), file("/a/../y", "")],
            &["x 0 644", "y 0 644"],
        ),
        (
            "missing parents",
            vec![file("a/b/c", "")],
            &["a/ 755 @0 implicit", "a/b/ 755 @0 implicit", "a/b/c 0 644"],
        ),
        (
            "a missing parent gets its entry later",
            vec![file("a/b", ""), dir("a").mode(0o700).xattr("user.x", "1")],
            &["a/ 700 user.x=1 inherits xattrs", "a/b 0 644"],
        ),
        (
            "parents through symlinks",
            vec![
                dir("usr"),
                symlink("lib", "usr/lib"),
                symlink("abs", "/../usr"),
                file("lib/x", ""),
                file("abs/y", ""),
            ],
            &[
                "abs -> /../usr 777",
                "lib -> usr/lib 777",
                "usr/ 755",
                "usr/lib/ 755 @0 implicit",
                "usr/lib/x 0 644",
                "usr/y 0 644",
            ],
        ),
        (
            "a directory over a directory",
            vec![
                dir("d").xattr("user.a", "1").xattr("user.b", "1"),
                file("d/f", ""),
                dir("d").mode(0o700).xattr("user.b", "2").mtime(5),
            ],
            &["d/ 700 @5 user.a=1 user.b=2", "d/f 0 644"],
        ),
        (
            "a file over a directory and back",
            vec![
                dir("d"),
                file("d/f", ""),
                file("d-e", ""),
                file("d", "x"),
                file("e", ""),
                dir("e"),
            ],
            &["d 1 644", "d-e 0 644", "e/ 755"],
        ),
        (
            "a directory over a symlink",
            vec![symlink("l", "d"), dir("l"), file("l/f", "")],
            &["l/ 755", "l/f 0 644"],
        ),
        ("the last of a name counts", vec![file("f", "a"), file("f", "bc")], &["f 2 644"]),
        (
            "whiteouts",
            vec![file("a/.wh.b", ""), file(".wh.c", "")],
            &["a/ 755 @0 implicit", "-a/b", "-c"],
        ),
        ("a device 0:0 is a whiteout", vec![device("x", 0, 0)], &["-x"]),
        ("a whiteout, then a directory", vec![file(".wh.d", ""), dir("d")], &["d/ 755"]),
        ("a whiteout after its file", vec![file("f", ""), file(".wh.f", "")], &["f 0 644"]),
        (
            "a whiteout after its directory",
            vec![dir("d"), file("d/f", ""), file(".wh.d", "")],
            &["d/ 755 opaque", "d/f 0 644"],
        ),
        (
            "opaque first",
            vec![file("d/.wh..wh..opq", ""), dir("d"), file("d/f", "")],
            &["d/ 755 opaque inherits xattrs", "d/f 0 644"],
        ),
        (
            "opaque last",
            vec![dir("d"), file("d/f", ""), file("d/.wh..wh..opq", "")],
            &["d/ 755 opaque", "d/f 0 644"],
        ),
        ("an opaque root", vec![file(".wh..wh..opq", ""), file("f", "")], &["f 0 644"]),
        (
            "a hard link's header changes its inode",
            vec![
                file("a", "x").mode(0o755).xattr("user.a", "1"),
                hard_link("b", "/a").mode(0o600).owner(3, 4).mtime(9).xattr("user.b", "2"),
            ],
            &["a 1 600 3:4 @9 user.a=1 user.b=2", "b 1 600 3:4 @9 user.a=1 user.b=2"],
        ),
        (
            "a hard link takes a capability away",
            vec![
                file("a", "x").xattr("security.capability", CAP),
                hard_link("b", "a"),
                file("k", "").xattr("security.capability", CAP),
            ],
            &["a 1 644", "b 1 644", "k 0 644 security.capability=12345678901234567890"],
        ),
        (
            "a hard link to a symlink, through a symlink",
            vec![
                dir("d"),
                symlink("d/s", "none"),
                symlink("e", "d"),
                hard_link("t", "e/s").owner(1, 1),
            ],
            &["d/ 755", "d/s -> none 777 1:1", "e -> d 777", "t -> none 777 1:1"],
        ),
        (
            "attributes that can't be set are left out",
            vec![
                file("f", "")
                    .xattr("trusted.overlay.opaque", "y")
                    .xattr("user.a", "1")
                    .xattr("odd.b", "2")
                    .xattr("security.x", "3"),
                symlink("s", "f").xattr("user.a", "1").xattr("security.x", "3"),
                dir("d").xattr("user.a", ""),
                other(b'6', "p", b"").xattr("user.a", "1"),
            ],
            &[
                "d/ 755 user.a=",
                "f 0 644 security.x=3 user.a=1",
                "p fifo 644",
                "s -> f 777 security.x=3",
            ],
        ),
        (
            "times",
            vec![
                file("a", "").pax("mtime", b"-1.5"),
                file("b", "").pax("mtime", b"9223372036.9"),
                file("c", "").pax("mtime", b"9223372036.8"),
            ],
            &["a 0 644 @0", "b 0 644 @0", "c 0 644 @9223372036"],
        ),
        (
            "a directory's time is set last",
            vec![dir("d").mtime(5), file("d", "").mtime(6), dir("gone").mtime(5), dir("x")],
            &["d 0 644 @5", "gone/ 755 @5", "x/ 755"],
        ),
        (
            "a global header",
            vec![other(b'g', "tmp/GlobalHead.1", b"10 a=bcde\n"), file("f", "")],
            &["f 0 644", "tmp/ 755 @0 implicit"],
        ),
        (
            "a global header's path",
            vec![other(b'g', "x", b"12 path=t/y\n"), file("f", "")],
            &["f 0 644", "t/ 755 @0 implicit"],
        ),
        (
            "uid -1",
            vec![file("a", "").pax("uid", b"-1").pax("gid", b"-2")],
            &["a 0 644 0:4294967294"],
        ),
    ];
    for (name, items, expected) in rows {
        assert_eq!(brief(&applied(&items)), expected, "{name}");
    }
}

#[test]
fn lowest_layer() {
    type Row<'a> = (&'a str, Vec<Item>, Option<&'a [&'a str]>);
    let rows: Vec<Row<'_>> = vec![
        ("no marks", vec![file("a", "")], None),
        ("marks that hide nothing of its own", vec![file("a", ""), file(".wh.b", "")], None),
        ("a whiteout deletes", vec![file("a", ""), file(".wh.a", "")], Some(&[])),
        ("what comes later stays", vec![file(".wh.a", ""), file("a", "")], None),
        (
            "an opaque mark spares what has an entry",
            vec![file("d/x", ""), file("d/i/y", ""), file("d/.wh..wh..opq", "")],
            Some(&["d/ 755 @0 implicit", "d/x 0 644"]),
        ),
        (
            "refused: its link's target was deleted",
            vec![file("a", ""), file(".wh.a", ""), hard_link("b", "a")],
            None,
        ),
    ];
    for (name, items, expected) in rows {
        let base = applied(&items).base.map(|entries| brief(&AppliedLayer { entries, base: None }));
        let expected = expected.map(|rows| rows.iter().map(|&row| row.to_owned()).collect());
        assert_eq!(base, expected, "{name}");
    }
}

#[test]
fn refusals() {
    let long = "x".repeat(256);
    let deep = "x/".repeat(2100);
    let rows: Vec<(&str, Item, &str)> = vec![
        ("a missing target", hard_link("b", "a"), "isn't in this layer"),
        ("a directory as target", hard_link("b", "d"), "is a directory"),
        ("the root as target", hard_link("b", "/"), "is a directory"),
        ("a link to itself", hard_link("f", "f"), "isn't in this layer"),
        ("below a file", file("f/x", ""), "no directory"),
        ("a whiteout below a file", file("f/.wh.x", ""), "no directory"),
        ("a loop", file("loop/x", ""), "too many symlinks"),
        ("a whiteout of nothing", file(".wh.", ""), "whiteout of nothing"),
        ("a whiteout of ..", file("d/.wh...", ""), "whiteout of nothing"),
        ("a long name", file("", "").pax("path", long.as_bytes()), "over 255"),
        (
            "a long whiteout",
            file("", "").pax("path", format!("d/.wh.{long}").as_bytes()),
            "over 255",
        ),
        ("a long path", file("", "").pax("path", deep.as_bytes()), "over 4095"),
        ("a long target", symlink("l", "").pax("linkpath", deep.as_bytes()), "over 4095"),
        ("an empty target", symlink("l", ""), "empty"),
        ("large attributes", file("a", "").xattr("user.x", &"x".repeat(48 << 10)), "48 KiB"),
        ("no attribute name", file("a", "").xattr("user.", "1"), "no name"),
        ("a short capability", file("a", "").xattr("security.capability", "1"), "malformed"),
        ("an unknown type", other(b'7', "a", b""), "type is unknown"),
        (
            "a NUL",
            file("a", "")
                .pax("GNU.sparse.major", b"0")
                .pax("GNU.sparse.minor", b"0")
                .pax("GNU.sparse.numblocks", b"0")
                .pax("GNU.sparse.name", b"a\0b"),
            "NUL",
        ),
    ];
    for (name, item, expected) in rows {
        let items = [dir("d"), file("f", ""), symlink("loop", "loop"), item];
        let error = super::super::read_layer(tar(&items).as_slice(), &mut std::io::sink());
        let error = error.map_err(|error| error.to_string());
        assert!(error.as_ref().is_err_and(|text| text.contains(expected)), "{name}: {error:?}");
    }
}
