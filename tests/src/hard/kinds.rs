//! Types, owners, times, attributes, links.

use super::Repository;
use crate::tarball::{Entry, Format};

/// Modes with setuid, setgid and sticky; owners of 32 bits, by PAX and base-256; v7 headers.
pub(super) fn metadata() -> Repository {
    let version = |number: u32| {
        let mut entries = vec![Entry::directory("m/").mode(0o1777)];
        for (index, mode) in
            [0, 0o4755, 0o2755, 0o6711, 0o1644, 0o7777, 0o222, 0o644].iter().enumerate()
        {
            // Versions shift the modes along the names; contents stay.
            let shifted = (index + number as usize) % 8;
            entries.push(Entry::file(format!("m/mode{shifted}"), "mode").mode(*mode));
            entries.push(Entry::directory(format!("m/dir{shifted}/")).mode(*mode));
        }
        for (index, id) in
            [0, 1000, 65_535, 2_097_152, u32::MAX - 1 - number].into_iter().enumerate()
        {
            let format = if index % 2 == 0 { Format::Pax } else { Format::Gnu };
            let owned = |entry: Entry| entry.owner(id, id / 2 + number).format(format);
            entries.push(owned(Entry::file(format!("m/owner{index}"), "owner")));
            entries.push(owned(Entry::symlink(format!("m/link{index}"), "owner")));
            entries.push(owned(Entry::directory(format!("m/owned{index}/"))));
            entries.push(owned(Entry::file(format!("m/set{index}"), "x")).mode(0o6755));
        }
        entries.push(Entry::file("m/v7", number.to_string()).format(Format::V7));
        entries.push(Entry::file("m/v7-setuid", "same").format(Format::V7).mode(0o4700));
        entries.push(Entry::file("m/empty", ""));
        vec![entries]
    };
    Repository::of("metadata", vec![version(0), version(1), version(2)])
}

/// Fractions, before 1970, after 2038, 2106 and 2262 (which containerd makes 1970).
pub(super) fn times() -> Repository {
    const TIMES: [(i64, u32); 12] = [
        (0, 0),
        (0, 1),
        (1, 999_999_999),
        (-1, 0),
        (-1, 500_000_000),
        (-86_400 * 365 * 30, 7),
        (2_147_483_648, 0),
        (4_294_967_295, 1),
        (4_294_967_296, 123_456_789),
        (9_223_372_036, 854_775_807),
        (9_223_372_037, 0),
        (1_700_000_000, 100),
    ];
    let version = |number: usize| {
        let mut entries = vec![Entry::directory("t/").mtime(1_500_000_000, 5)];
        for index in 0..TIMES.len() {
            let (sec, nsec) = TIMES[(index + number) % TIMES.len()];
            entries.push(Entry::file(format!("t/file{index}"), "same").mtime(sec, nsec));
            entries.push(Entry::symlink(format!("t/link{index}"), "same").mtime(sec, nsec));
            entries.push(Entry::directory(format!("t/dir{index}/")).mtime(sec, nsec));
            // After its directory: the directory keeps its time.
            entries.push(Entry::fifo(format!("t/dir{index}/fifo")).mtime(sec, nsec));
        }
        for (index, sec) in [-1, -2_147_483_649, 8_589_934_592, 1 << 40].into_iter().enumerate() {
            let sec = if number == 1 { sec + 1 } else { sec };
            let entry = Entry::file(format!("t/gnu{index}"), "same").mtime(sec, 0);
            entries.push(entry.format(Format::Gnu));
        }
        vec![entries]
    };
    Repository::of("times", vec![version(0), version(1), version(5)])
}

/// Each type; versions turn each path into another type.
pub(super) fn types() -> Repository {
    let version = |number: usize| {
        let mut entries = vec![Entry::directory("k/")];
        for index in 0..8 {
            let name = format!("k/{index}");
            entries.push(match (index + number) % 8 {
                0 => Entry::file(&name, "file"),
                1 => Entry::symlink(&name, "../k"),
                2 => Entry::character(&name, 1, 3).mode(0o666),
                3 => Entry::character(&name, 4095, 1_048_575).owner(5, 6),
                4 => Entry::block(&name, 7, u32::try_from(number).unwrap()),
                5 => Entry::fifo(&name).mode(0o4622),
                6 => Entry::directory(&name),
                _ => Entry::file(&name, ""),
            });
            if (index + number) % 8 == 6 {
                entries.push(Entry::file(format!("{name}/inside"), "inside"));
            }
        }
        entries.push(Entry::symlink("k/absolute", "/k/0"));
        entries.push(Entry::symlink("k/loop", "loop"));
        entries.push(Entry::symlink("k/nowhere", "../../../../nowhere"));
        vec![entries]
    };
    Repository::of("types", (0..4).map(version).collect())
}

/// Attributes in all namespaces that containerd sets, on all types that can have them.
pub(super) fn xattrs() -> Repository {
    // VFS_CAP_REVISION_2 | effective, cap_net_raw permitted: what `ping` has.
    let raw = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let bind = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let version = |number: u8| {
        let capability: &[u8] = if number == 2 { bind } else { raw };
        let mut layers = vec![vec![
            Entry::directory("x/").xattr("user.dir", [number]),
            Entry::file("x/ping", "program").mode(0o755).xattr("security.capability", capability),
            Entry::file("x/owned", "program")
                .owner(1, 2)
                .mode(0o4755)
                .xattr("security.capability", capability),
            Entry::file("x/empty-value", "a").xattr("user.empty", ""),
            Entry::file("x/binary", "a").xattr("user.bin", b"\0\n=\xff\0"),
            Entry::file(b"x/name", "a").xattr(b"user.\xff\x01", "bytes"),
            Entry::file("x/many", "a")
                .xattr("user.a", [number])
                .xattr("user.b", "same")
                .xattr("user.c", "c".repeat(900)),
            Entry::symlink("x/link", "many").xattr("security.test", [number]),
            Entry::fifo("x/fifo").xattr("security.test", "on a FIFO"),
            Entry::character("x/null", 1, 3).xattr("security.test", [number]),
            // Linux refuses this one, and containerd goes on.
            Entry::symlink("x/ignored", "many").xattr("user.ignored", "1"),
            // containerd sets no trusted attributes.
            Entry::file("x/trusted", "a").xattr("trusted.test", "1"),
        ]];
        if number == 3 {
            layers[0].retain(|entry| entry.name != b"x/binary");
        }
        // A second layer without them takes them away; and a directory that no layer names keeps its own.
        layers.push(vec![
            Entry::file("x/empty-value", "a"),
            Entry::file("x/sub/new", [number]).xattr("user.new", "1"),
        ]);
        layers
    };
    Repository::of("xattrs", vec![version(1), version(2), version(3)])
}

/// Groups, in one layer and broken by another; a link's own header wins.
pub(super) fn hard_links() -> Repository {
    let base = |number: u8| {
        vec![
            Entry::directory("h/"),
            Entry::file("h/a", [number]).mode(0o600).mtime(1_000, 1),
            Entry::hardlink("h/b", "h/a").mode(0o640).mtime(2_000, 2).owner(3, 4),
            Entry::directory("h/sub/"),
            Entry::hardlink("h/sub/c", "h/b").mode(0o750).mtime(3_000, 3),
            Entry::symlink("h/sym", "a"),
            Entry::hardlink("h/sym2", "h/sym").mtime(4_000, 4),
            Entry::fifo("h/fifo"),
            Entry::hardlink("h/fifo2", "h/fifo").mode(0o600),
            Entry::character("h/null", 1, 3),
            Entry::hardlink("h/null2", "/h/null").mode(0o666),
            Entry::file("h/empty", ""),
            Entry::hardlink("h/empty2", "./h/empty").mode(0o644),
            // Through a link to a directory.
            Entry::symlink("h/way", "sub"),
            Entry::hardlink("h/d", "h/way/c").mode(0o644),
            // The target is written anew afterwards: the link keeps the old bytes.
            Entry::file("h/first", "old bytes"),
            Entry::hardlink("h/second", "h/first"),
            Entry::file("h/first", "new bytes"),
        ]
    };
    let broken = vec![base(1), vec![Entry::file("h/a", "now alone"), Entry::whiteout("h/fifo")]];
    let other = vec![
        base(1),
        vec![
            // The same names as one new group, in another order, and a member gone.
            Entry::file("h/sub/c", [1]),
            Entry::hardlink("h/a", "h/sub/c"),
            Entry::whiteout("h/b"),
            Entry::file("h/sym", "a file now"),
            Entry::hardlink("h/sym2", "h/sym"),
        ],
    ];
    // The same contents and names, without any link.
    let single =
        ["a", "b", "sub/c", "d"].map(|name| Entry::file(format!("h/{name}"), [1])).to_vec();
    Repository::of("hard-links", vec![vec![base(1)], vec![base(2)], broken, other, vec![single]])
}
