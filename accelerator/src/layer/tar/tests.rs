//! The reader on hand-made tars; GNU tar's own output is in `tests/layer_gnu_tar.rs`.

use super::super::tar_builder::{Item, file, hard_link, other, symlink, tar};
use super::*;
use crate::sha256::sha256;

fn read(bytes: &[u8]) -> Result<Vec<Entry>, LayerError> {
    let mut sink = Vec::new();
    let mut source = Source::new(bytes, &mut sink);
    let mut reader = Reader::new(&mut source);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next()? {
        entries.push(entry);
    }
    let (diff_id, len) = source.finish()?;
    assert_eq!(diff_id, sha256(bytes).0);
    assert_eq!((len, sink.as_slice()), (bytes.len() as u64, bytes));
    Ok(entries)
}

fn content(entry: &Entry) -> &Content {
    match &entry.kind {
        Kind::File(content) => content,
        other => panic!("{other:?} is no file"),
    }
}

/// Checks a file's extents and digest against its expected bytes.
fn holds(tar: &[u8], entry: &Entry, expected: &[u8]) {
    let content = content(entry);
    assert_eq!(content.size, expected.len() as u64);
    assert_eq!(content.sha256, sha256(expected).0);
    let mut bytes = vec![0; expected.len()];
    for extent in &content.extents {
        let [offset, from, len] =
            [extent.offset, extent.tar_offset, extent.len].map(|n| usize::try_from(n).unwrap());
        bytes[offset..offset + len].copy_from_slice(&tar[from..from + len]);
    }
    assert!(bytes == expected, "extents give other bytes");
}

#[test]
fn contents_and_ends() {
    let items = [file("a", "hello"), file("b", ""), file("c", &"x".repeat(300_000))];
    let whole = tar(&items);
    let data = whole.len() - 1024;
    let mut trailing = whole.clone();
    trailing.extend([7; 1000]);
    // No end marker, half of one, bytes behind it: all are ends.
    for bytes in [&whole[..data], &whole[..data + 512], &whole, &trailing] {
        let entries = read(bytes).unwrap();
        assert_eq!(entries.len(), 3);
        for (entry, item) in entries.iter().zip(&items) {
            holds(bytes, entry, &item.data);
        }
    }
    assert!(content(&read(&whole).unwrap()[1]).extents.is_empty());
    // The last entry's padding may be missing, its data not.
    assert_eq!(read(&tar(&items[..1])[..517]).unwrap().len(), 1);
    for len in [1, 511, 513, 516, 2000, data - 100_000] {
        assert!(matches!(read(&whole[..len]), Err(LayerError::Truncated { .. })), "{len}");
    }
}

#[test]
fn damage() {
    let good = file("a", "");
    let mut sum = tar(std::slice::from_ref(&good));
    sum[0] ^= 1;
    let zero_between = [vec![0; 512], good.bytes()].concat();
    let number = |at: usize, bytes: &'static [u8]| {
        good.bytes_with(|block| block[at..at + bytes.len()].copy_from_slice(bytes))
    };
    let vast = sparse_01(&file("a", ""), "0", "").pax("GNU.sparse.size", b"68719476737");
    let rows: Vec<(&str, Vec<u8>, &str)> = vec![
        ("checksum", sum, "checksum"),
        ("noise", vec![0xa5; 1024], ""),
        ("a zero block between", zero_between, "zero block"),
        ("a mode that's no number", number(100, b"99"), "octal"),
        ("a negative size", number(124, &[0xff; 12]), "negative"),
        ("a huge size", number(124, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"), "too early"),
        ("a PAX record", tar(&[other(b'x', "p", b"9 a=b\n"), good.clone()]), "PAX record"),
        ("a PAX number", tar(&[good.clone().pax("uid", b"1x")]), "number"),
        ("a long PAX header", tar(&[good.clone().pax("a", &[0; 1 << 20])]), "1 MiB"),
        ("a vast hole", tar(&[vast]), "over 64 GiB"),
        ("a sparse link", tar(&[sparse_01(&symlink("a", "b"), "0", "")]), "no file"),
    ];
    for (name, bytes, expected) in rows {
        let error = read(&bytes).map_err(|error| error.to_string());
        assert!(error.as_ref().is_err_and(|text| text.contains(expected)), "{name}: {error:?}");
    }
}

#[test]
fn names() {
    let long = "n".repeat(300);
    let prefix = file("name", "").bytes_with(|block| block[345..350].copy_from_slice(b"a/b/c"));
    let unversioned = Item { magic: *b"ustar\0 \0", ..file("name", "") }
        .bytes_with(|block| block[345..350].copy_from_slice(b"a/b/c"));
    let star = file("name", "").bytes_with(|block| {
        block[345] = b'p';
        block[476] = b'7';
        block[508..512].copy_from_slice(b"tar\0");
    });
    let gnu_prefix = Item { magic: *b"ustar  \0", ..file("name", "") }
        .bytes_with(|block| block[345..350].copy_from_slice(b"a/b/c"));
    let v7 = Item { magic: [0; 8], ..file("dir/", "") }.bytes_with(|block| block[156] = 0);
    let rows: Vec<(Vec<u8>, &str, Kind)> = vec![
        (prefix, "a/b/c/name", read(&file("", "").bytes()).unwrap()[0].kind.clone()),
        (unversioned, "a/b/c/name", read(&file("", "").bytes()).unwrap()[0].kind.clone()),
        (star, "p/name", read(&file("", "").bytes()).unwrap()[0].kind.clone()),
        (gnu_prefix, "a/b/c/name", read(&file("", "").bytes()).unwrap()[0].kind.clone()),
        (v7, "dir/", Kind::Directory),
        (
            tar(&[
                other(b'L', "././@LongLink", format!("{long}\0").as_bytes()),
                other(b'K', "././@LongLink", format!("/{long}\0").as_bytes()),
                hard_link("short", "cut"),
            ]),
            &long,
            Kind::HardLink(format!("/{long}").into_bytes()),
        ),
        (
            tar(&[symlink("short", "cut").pax("path", b"p").pax("linkpath", b"l\xff")]),
            "p",
            Kind::Symlink(b"l\xff".to_vec()),
        ),
    ];
    for (bytes, name, kind) in rows {
        let entries = read(&bytes).unwrap();
        assert_eq!(entries.len(), 1, "{name}");
        assert_eq!(entries[0].name, name.as_bytes());
        assert_eq!(entries[0].kind, kind, "{name}");
    }
}

#[test]
fn overrides_hold_for_one_entry() {
    let one = file("a", "").pax("path", b"b").pax("uid", b"4000000000").pax("mtime", b"5.25");
    let entries = read(&tar(&[one, file("c", "").owner(1, 2)])).unwrap();
    assert_eq!((entries[0].name.as_slice(), entries[0].uid), (&b"b"[..], Some(4_000_000_000)));
    assert_eq!(entries[0].mtime, (5, 250_000_000));
    assert_eq!((entries[1].name.as_slice(), entries[1].uid), (&b"c"[..], Some(1)));
    assert_eq!(entries[1].mtime, (1, 0));
    let size = file("a", "xyz").pax("size", b"3").bytes_with(|block| block[124..135].fill(b'0'));
    holds(&size, &read(&size).unwrap()[0], b"xyz");
}

fn sparse_01(item: &Item, count: &str, map: &str) -> Item {
    item.clone()
        .pax("GNU.sparse.major", b"0")
        .pax("GNU.sparse.minor", b"1")
        .pax("GNU.sparse.name", b"real")
        .pax("GNU.sparse.size", b"2000")
        .pax("GNU.sparse.numblocks", count.as_bytes())
        .pax("GNU.sparse.map", map.as_bytes())
}

#[test]
fn sparse() {
    let mut expected = vec![0; 2000];
    expected[10..14].copy_from_slice(b"head");
    expected[1000..1004].copy_from_slice(b"tail");
    let ahead = {
        let mut data = b"3\n10\n4\n1000\n4\n2000\n0\n".to_vec();
        data.resize(512, 0);
        data.extend(b"headtail");
        other(b'0', "GNUSparseFile.1/real", &data)
            .pax("GNU.sparse.major", b"1")
            .pax("GNU.sparse.minor", b"0")
            .pax("GNU.sparse.name", b"real")
            .pax("GNU.sparse.realsize", b"2000")
    };
    let old_00 = file("real", "headtail")
        .pax("GNU.sparse.size", b"2000")
        .pax("GNU.sparse.numblocks", b"2")
        .pax("GNU.sparse.offset", b"10")
        .pax("GNU.sparse.numbytes", b"4")
        .pax("GNU.sparse.offset", b"1000")
        .pax("GNU.sparse.numbytes", b"4");
    let gnu = Item { magic: *b"ustar  \0", ..other(b'S', "real", b"headtail") };
    let gnu = gnu.bytes_with(|block| {
        for (i, number) in [10, 4, 1000, 4].into_iter().enumerate() {
            block[386 + i * 12..398 + i * 12]
                .copy_from_slice(format!("{number:011o}\0").as_bytes());
        }
        block[483..495].copy_from_slice(format!("{:011o}\0", 2000).as_bytes());
    });
    let rows = [
        ("0.0", tar(&[old_00])),
        ("0.1", tar(&[sparse_01(&file("x", "headtail"), "2", "10,4,1000,4")])),
        ("1.0", tar(&[ahead])),
        ("old GNU", gnu),
    ];
    for (name, bytes) in rows {
        let entries = read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(entries[0].name, b"real", "{name}");
        holds(&bytes, &entries[0], &expected);
    }
    for (count, map) in [
        ("1", "10,4"),
        ("2", "10,4,1000,5"),
        ("2", "10,4,13,4"),
        ("2", "10,4,1997,4"),
        ("2", "10,4,-1,4"),
        ("3", "10,4,1000,4"),
        ("2", "10,4,1000"),
        ("2", "10,4,9223372036854775807,4"),
    ] {
        assert!(read(&tar(&[sparse_01(&file("x", "headtail"), count, map)])).is_err(), "{map}");
    }
}
