//! Names: any bytes, any length, any spelling.

use super::Repository;
use crate::tarball::{Entry, Format};

/// Bytes that aren't UTF-8, control characters, the longest names, long paths in each dialect.
pub(super) fn names() -> Repository {
    let version = |number: u8| {
        let mut entries = vec![
            Entry::directory("n/"),
            Entry::file(b"n/\xff\xfe\x80", [number]),
            Entry::file(b"n/line\nbreak\ttab\x01\x7f", "same"),
            Entry::file("n/ space at both ends ", [number]),
            Entry::file("n/\\back\\slash", "same"),
            Entry::file("n/ümläut-\u{1f980}", [number, number]),
            Entry::file("n/-rf", "same"),
            Entry::file("n/*?[a]", [number]),
            Entry::file("n/...", "three dots"),
            Entry::file("n/a:b,c=d", "characters of mount options"),
            Entry::directory(b"n/\xc3\x28dir/"),
            Entry::symlink(b"n/\xc3\x28dir/link", b"../\xff\xfe\x80"),
            Entry::hardlink(b"n/\xc3\x28dir/hard", b"n/\xff\xfe\x80"),
            // 100 bytes exactly: no NUL at the end of the field.
            Entry::file(format!("n/{}", "h".repeat(98)), [number]).format(Format::Ustar),
        ];
        for (format, letter) in [(Format::Gnu, "g"), (Format::Pax, "p")] {
            let longest = format!("n/{}", letter.repeat(255));
            entries.push(Entry::file(&longest, [number]).format(format));
            entries.push(Entry::symlink(format!("n/to-{letter}"), &longest).format(format));
            entries.push(Entry::hardlink(format!("n/hard-{letter}"), &longest).format(format));
            // Deep paths; an odd version has one level more.
            let depth = 12 + usize::from(number % 2);
            let deep = format!("n{}", format!("/{}", letter.repeat(60)).repeat(depth));
            entries.push(Entry::file(format!("{deep}/end"), "deep").format(format));
        }
        let prefixed = format!("n/{}/{}/{}", "u".repeat(70), "v".repeat(70), "w".repeat(90));
        entries.push(Entry::file(prefixed, [number]).format(Format::Ustar));
        entries.push(Entry::symlink("n/long-target", "x/".repeat(1500)).format(Format::Gnu));
        if number == 2 {
            entries.retain(|entry| entry.name != b"n/-rf");
            entries.push(Entry::file(b"n/only\x02two", ""));
        }
        vec![entries]
    };
    Repository::of("names", vec![version(1), version(2), version(3)])
}

/// `./`, `/`, doubled slashes, dots inside; the root itself as an entry.
pub(super) fn prefixes() -> Repository {
    let version = |number: u8| {
        let flip = |one: &'static str, other: &'static str| if number == 2 { other } else { one };
        vec![
            vec![
                Entry::directory("./"),
                Entry::directory(flip("./etc/", "/etc/")),
                Entry::file(flip("./etc/passwd", "/etc/passwd"), [number]),
                Entry::file(flip("/etc/group", "etc/./group"), "same"),
                Entry::directory("usr//lib//"),
                Entry::file("usr/../usr/lib/a", [number, 1]),
                Entry::symlink("./usr/lib/b", "./a"),
                Entry::hardlink(
                    flip("./usr/lib/c", "usr/lib/c"),
                    flip("./usr/lib/a", "/usr/lib/a"),
                ),
                // Leads out of the root; containerd keeps it inside.
                Entry::file("../../outside", [number]),
            ],
            vec![
                Entry::whiteout(flip("./etc/group", "/etc/group")),
                Entry::directory("/usr/"),
                Entry::file("./usr/lib/d", "d"),
            ],
        ]
    };
    Repository::of("prefixes", vec![version(1), version(2), version(3)])
}
