//! Packs in zstd that are not what they are said to be.

use super::{Answer, deflated, pull, refused};
use skiff_protocol::response::Codec;
use skiff_tests::harness::Sandbox;

/// A frame of zstd with this head behind its magic number, and these blocks.
fn zstd_of(head: &[u8], blocks: &[&[u8]]) -> Option<(Codec, Vec<u8>)> {
    Some((Codec::Zstd, [&[0x28, 0xB5, 0x2F, 0xFD], head, &blocks.concat()].concat()))
}

/// A block of zstd: whether it is the last, its kind, its length, and what follows.
fn block(is_last: bool, kind: u32, len: u32, rest: &[u8]) -> Vec<u8> {
    let head = (u32::from(is_last) | kind << 1 | len << 3).to_le_bytes();
    [&head[..3], rest].concat()
}

#[test]
fn packs_of_zstd_that_lie() {
    let sandbox = Sandbox::new();
    let with = |encoded| Answer { encoded, ..Answer::honest() };
    let content = block(true, 0, 7, b"content");
    let honest = zstd_of(&[0x20, 7], &[&content]);
    for head in [&[0x20, 7][..], &[0, 10 << 3]] {
        let (outcome, root) = pull(&sandbox, with(zstd_of(head, &[&content])).http());
        outcome.ok("honest");
        assert_eq!(std::fs::read(root.join("snapshots/1/fs/file")).unwrap(), b"content");
        std::fs::remove_dir_all(&root).unwrap();
    }
    let bytes = |more: &dyn Fn(&mut Vec<u8>)| {
        let (codec, mut bytes) = honest.clone().unwrap();
        more(&mut bytes);
        Some((codec, bytes))
    };
    let bomb = block(false, 1, 128 << 10, &[0]);
    type Row = (&'static str, Option<(Codec, Vec<u8>)>, &'static str);
    let rows: Vec<Row> = vec![
        ("a window of 2 MiB", zstd_of(&[0, 11 << 3], &[&content]), "damaged"),
        ("the largest window", zstd_of(&[0, 0xFF], &[&content]), "damaged"),
        (
            "a content of 16 EiB",
            zstd_of(&[&[0xE0][..], &[0xFF; 8]].concat(), &[&content]),
            "damaged",
        ),
        ("another size", zstd_of(&[0x20, 8], &[&content]), "damaged"),
        ("a dictionary", zstd_of(&[0x21, 1, 7], &[&content]), "damaged"),
        ("a checksum", zstd_of(&[0x24, 7], &[&content, &[0; 4]]), "damaged"),
        ("a bomb", zstd_of(&[0, 10 << 3], &[&bomb.repeat(200)]), "damaged"),
        (
            "a block that copies from before",
            zstd_of(&[0x20, 7], &[&block(true, 2, 9, &[0, 1, 0x54, 0, 0, 4, 0xFF, 0xFF, 1])]),
            "damaged",
        ),
        ("fewer bytes", zstd_of(&[0, 10 << 3], &[&block(true, 0, 4, b"cont")]), "damaged"),
        ("no end", zstd_of(&[0x20, 7], &[&block(false, 0, 7, b"content")]), "less than announced"),
        ("bytes behind it", bytes(&|bytes| bytes.push(0)), "damaged"),
        ("two frames", bytes(&|bytes| bytes.extend(bytes.clone())), "damaged"),
        (
            "a skippable frame before it",
            bytes(&|bytes| drop(bytes.splice(0..0, [0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0]))),
            "damaged",
        ),
        ("cut", bytes(&|bytes| bytes.truncate(8)), "less than announced"),
        ("deflate", Some((Codec::Zstd, deflated(b"content"))), "damaged"),
    ];
    for (row, encoded, said) in rows {
        refused(&sandbox, row, with(encoded).http(), &[6], said);
    }
}
