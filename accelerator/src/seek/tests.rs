//! Blobs of every kind, whole, cut short, damaged; every segment against the original.

use super::index::Start;
use super::*;
use flate2::{Compression, GzBuilder, bufread::MultiGzDecoder, write::GzEncoder};
use proptest::prelude::*;
use std::io::{self, Read, Write};

/// Gives a few bytes at a time.
struct Drip<'a>(&'a [u8], usize);

impl Read for Drip<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let most = to.len().min(self.1);
        self.0.read(&mut to[..most])
    }
}

fn gzip(data: &[u8], level: u32) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::new(level));
    out.write_all(data).unwrap();
    out.finish().unwrap()
}

/// Bytes that look like a layer's: noise, zeros, text, and copies from within 32 KiB and more.
fn data(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 20).unwrap() % below
    };
    let mut out = Vec::with_capacity(len + 4096);
    while out.len() < len {
        let run = 1 + next(600);
        match next(8) {
            0 => out.extend((0..run).map(|_| u8::try_from(next(256)).unwrap())),
            1 => out.resize(out.len() + run * 4, 0),
            2 | 3 => out.extend((0..run).map(|_| b"etaoin shrdlu\n"[next(14)])),
            _ => {
                let back = (1 + next(40_000)).min(out.len());
                for _ in 0..if back > 0 { run } else { 0 } {
                    out.push(out[out.len() - back]);
                }
            }
        }
    }
    out.truncate(len);
    out
}

fn read(blob: impl Read, spacing: u64) -> io::Result<(Vec<u8>, Option<Index>)> {
    let mut indexer = Indexer::with_spacing(blob, spacing, spacing / 4)?;
    let mut out = Vec::new();
    indexer.read_to_end(&mut out)?;
    Ok((out, indexer.finish()))
}

fn inflate(index: &Index, n: usize, compressed: &[u8]) -> Result<Vec<u8>, SeekError> {
    let mut buffer = vec![0xee; index.room(n)];
    let place = index.inflate(n, compressed, &mut buffer)?;
    Ok(buffer[place].to_vec())
}

/// Reads and indexes a blob; its bytes and each segment's must be these.
fn check(blob: &[u8], expected: &[u8], spacing: u64, drip: usize) -> Index {
    let (out, index) = read(Drip(blob, drip), spacing).unwrap();
    assert!(out == expected, "other bytes");
    let index = index.expect("an index");
    assert_eq!((index.size(), index.blob()), (expected.len() as u64, blob.len() as u64));
    assert_eq!(Index::decode(&index.encode()).unwrap(), index);
    let mut at = 0;
    for n in 0..index.segments() {
        let bytes = index.bytes(n);
        assert_eq!(bytes.start, at);
        at = bytes.end;
        assert_eq!(index.segment_at(bytes.start), Some(n));
        assert_eq!(index.segment_at(bytes.end - 1), Some(n));
        let inflated = inflate(&index, n, cut(blob, index.span(n))).unwrap();
        assert!(inflated == cut(expected, bytes), "segment {n}");
    }
    assert_eq!((at, index.segment_at(at)), (index.size(), None));
    index
}

fn cut(bytes: &[u8], range: std::ops::Range<u64>) -> &[u8] {
    &bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
}

fn starts(index: &Index) -> impl Iterator<Item = &Start> {
    (0..index.segments()).map(|n| &index.segment(n).unwrap().start)
}

#[test]
fn deflate_blocks() {
    let data = data(1, 3 << 20);
    // zlib-rs's level 1 hardly ever ends a block.
    assert!(check(&gzip(&data, 1), &data, 100_000, usize::MAX).segments() < 5);
    for level in [0, 2, 3, 4, 5, 6, 7, 8, 9] {
        let index = check(&gzip(&data, level), &data, 100_000, usize::MAX);
        assert!(index.segments() > 15, "level {level}: {}", index.segments());
        let inside = starts(&index).any(|start| matches!(start, Start::Deflate { bits: 1.., .. }));
        assert_eq!(inside, level > 0, "level {level}: a boundary within a byte");
        assert!(index.encode().len() < 40_000 * index.segments());
    }
}

#[test]
fn blocks_of_a_flushing_encoder() {
    let data = data(2, 300_000);
    let mut out = GzEncoder::new(Vec::new(), Compression::new(6));
    for chunk in data.chunks(700) {
        out.write_all(chunk).unwrap();
        out.flush().unwrap();
    }
    check(&out.finish().unwrap(), &data, 10_000, usize::MAX);
}

#[test]
fn a_member_per_file() {
    let files: Vec<_> =
        (0..200).map(|n| data(n, usize::try_from(n * 37 % 4000).unwrap())).collect();
    let blob: Vec<_> = files.iter().flat_map(|file| gzip(file, 6)).collect();
    let index = check(&blob, &files.concat(), 40_000, usize::MAX);
    assert!(index.segments() > 20);
    assert!(starts(&index).all(|start| *start == Start::Member));
    assert!(index.encode().len() < 20 * index.segments());
}

#[test]
fn gzip_headers() {
    let mut all = Vec::new();
    let mut member = |builder: GzBuilder| {
        let mut out = builder.write(Vec::new(), Compression::fast());
        out.write_all(b"abc").unwrap();
        all.extend(out.finish().unwrap());
    };
    member(
        GzBuilder::new().extra(vec![7; 300]).filename("layer.tar").comment("of no use").mtime(1),
    );
    member(GzBuilder::new().filename(vec![b'x'; 3000]));
    check(&all, b"abcabc", 1000, 1);
    for (crc, fits) in [(0, false), (crc32fast::hash(&[31, 139, 8, 2, 0, 0, 0, 0, 0, 255]), true)] {
        let mut blob = vec![31, 139, 8, 2, 0, 0, 0, 0, 0, 255];
        blob.extend(&crc.to_le_bytes()[..2]);
        blob.extend(&gzip(b"abc", 1)[10..]);
        assert_eq!(read(&blob[..], 1000).is_ok(), fits);
    }
}

#[test]
fn zstd_frames() {
    let data = data(3, 1 << 20);
    let skip = [0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let mut blob = skip.to_vec();
    for chunk in data.chunks(30_000) {
        blob.extend(zstd::encode_all(chunk, 3).unwrap());
        blob.extend(skip);
        blob.extend(zstd::encode_all(&b""[..], 3).unwrap());
    }
    for drip in [7, usize::MAX] {
        let index = check(&blob, &data, 200_000, drip);
        assert!(index.segments() > 10);
        assert!(starts(&index).all(|start| *start == Start::Frame));
    }
}

#[test]
fn one_zstd_frame() {
    let small = data(4, 1 << 20);
    assert_eq!(check(&zstd::encode_all(&small[..], 1).unwrap(), &small, 1000, 999).segments(), 1);
    let large = vec![1; usize::try_from(MOST_FRAME).unwrap() + 1];
    let (out, index) = read(&zstd::encode_all(&large[..], 1).unwrap()[..], 1000).unwrap();
    assert_eq!((out == large, index), (true, None));
}

#[test]
fn plain() {
    let data = data(5, 100_000);
    let index = check(&data, &data, 30_000, usize::MAX);
    assert_eq!(index.segments(), 4);
    assert_eq!(
        (index.bytes(3), index.span(3), index.span(4)),
        (90_000..100_000, 90_000..100_000, 0..0)
    );
    for few in [&b""[..], b"a", b"\x1f\x8b"] {
        assert_eq!(check(few, few, 1000, 1).segments(), few.len().min(1));
    }
    for empty in [gzip(b"", 6), zstd::encode_all(&b""[..], 1).unwrap()] {
        assert_eq!(check(&empty.repeat(2), b"", 1000, 1).segments(), 0);
    }
}

#[test]
fn what_follows_must_be_a_member_or_frame() {
    for blob in [gzip(b"abc", 6), zstd::encode_all(&b"abc"[..], 1).unwrap()] {
        for rest in [&[0][..], &[0; 512], b"garbage"] {
            assert!(read(&[&blob, rest].concat()[..], 1000).is_err(), "{rest:?}");
        }
    }
}

#[test]
fn not_read_to_the_end() {
    let mut indexer = Indexer::open(&b"abc"[..]).unwrap();
    assert_eq!(indexer.read(&mut [0; 3]).unwrap(), 3);
    assert_eq!(indexer.finish(), None);
}

#[test]
fn cut_short() {
    let data = data(6, 200_000);
    for blob in [gzip(&data, 6), gzip(&data[..50], 0), zstd::encode_all(&data[..], 1).unwrap()] {
        for len in (4..blob.len()).step_by(1 + blob.len() / 300).chain([blob.len() - 1]) {
            let mut indexer = Indexer::with_spacing(&blob[..len], 10_000, 10_000).unwrap();
            assert!(indexer.read_to_end(&mut Vec::new()).is_err(), "{len} of {}", blob.len());
            assert!(indexer.read(&mut [0]).is_err());
            assert_eq!(indexer.finish(), None);
        }
    }
}

/// Bits, lowest first.
#[derive(Default)]
struct Bits(Vec<u8>, u32);

impl Bits {
    fn put(&mut self, bits: u32, len: u32) {
        for n in 0..len {
            if self.1.is_multiple_of(8) {
                self.0.push(0);
            }
            *self.0.last_mut().unwrap() |= u8::from(bits >> n & 1 == 1) << (self.1 % 8);
            self.1 += 1;
        }
    }
}

/// A gzip member that is one block of `matches` × 258 + 1 zeros.
fn one_block(matches: usize) -> Vec<u8> {
    let mut bits = Bits(gzip(b"", 1)[..10].to_vec(), 80);
    bits.put(0b011, 3); // the last block, fixed codes
    bits.put(0b0000_1100, 8); // literal 0
    for _ in 0..matches {
        bits.put(0b1010_0011, 8); // length 258
        bits.put(0, 5); // distance 1
    }
    bits.put(0, 7);
    let zeros = vec![0; matches * 258 + 1];
    let crc = crc32fast::hash(&zeros).to_le_bytes();
    [&bits.0[..], &crc, &u32::try_from(zeros.len()).unwrap().to_le_bytes()].concat()
}

#[test]
fn a_block_too_long() {
    let fits = 64 * 1024 * 1024 / 258;
    for (matches, indexed) in [(1000, true), (fits, true), (fits + 1, false)] {
        let (out, index) = read(&one_block(matches)[..], 100_000).unwrap();
        assert_eq!((out.len(), index.is_some()), (matches * 258 + 1, indexed));
    }
}

#[test]
fn a_flood_of_empty_blocks() {
    // Stored blocks of no bytes between two that have some: the window can't be looked into.
    let data = data(7, 40_000);
    let block = |data: &[u8], last: u8| {
        let len = u16::try_from(data.len()).unwrap();
        [&[last][..], &len.to_le_bytes(), &(!len).to_le_bytes(), data].concat()
    };
    let mut blob = gzip(b"", 1)[..10].to_vec();
    blob.extend(block(&data, 0));
    blob.extend(block(b"", 0).repeat(30_000));
    blob.extend(block(&data, 1));
    let whole = data.repeat(2);
    blob.extend(crc32fast::hash(&whole).to_le_bytes());
    blob.extend(u32::try_from(whole.len()).unwrap().to_le_bytes());
    assert_eq!(check(&blob, &whole, 20_000, usize::MAX).segments(), 2);
}

#[test]
fn encodings_that_are_none() {
    let data = data(8, 300_000);
    let encoded = check(&gzip(&data, 6), &data, 50_000, usize::MAX).encode();
    for len in 0..encoded.len() {
        assert_eq!(Index::decode(&encoded[..len]), Err(SeekError::Index));
    }
    assert_eq!(Index::decode(&[&encoded[..], &[0]].concat()), Err(SeekError::Index));
    for at in 0..200 {
        let mut damaged = encoded.clone();
        damaged[at] ^= 0x11;
        let Ok(index) = Index::decode(&damaged) else { continue };
        for n in 0..index.segments().min(5) {
            let span = usize::try_from(index.span(n).end - index.span(n).start).unwrap();
            let _ = inflate(&index, n, &vec![0; span]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the members are, the bytes and all segments are right.
    #[test]
    fn members(
        members in prop::collection::vec((any::<u64>(), 0usize..400_000, 0u32..=9), 1..5),
        spacing in 1u64..150_000,
        drip in prop_oneof![1usize..100, Just(usize::MAX)],
    ) {
        let data: Vec<_> = members.iter().map(|&(seed, len, _)| data(seed, len)).collect();
        let blob = data.iter().zip(&members).flat_map(|(data, &(.., level))| gzip(data, level));
        check(&blob.collect::<Vec<_>>(), &data.concat(), spacing, drip);
    }

    /// Damage is an error wherever it is one for flate2; else the bytes are the same.
    #[test]
    fn damaged(seed: u64, level in 0u32..=9, at: prop::sample::Index, flip in 1u8..) {
        let data = data(seed, 100_000);
        let mut blob = gzip(&data, level).repeat(2);
        let at = at.index(blob.len());
        blob[at] ^= flip;
        prop_assume!(at > 2);
        let mut expected = Vec::new();
        let sound = MultiGzDecoder::new(&blob[..]).read_to_end(&mut expected).is_ok();
        match read(&blob[..], 20_000) {
            Ok((out, _)) => prop_assert!(sound && out == expected),
            Err(_) => prop_assert!(!sound),
        }
    }

    /// A segment's bytes are right or an error.
    #[test]
    fn damaged_segments(seed: u64, level in 0u32..=9, at: prop::sample::Index, flip in 1u8..) {
        let data = data(seed, 200_000);
        let blob = gzip(&data, level);
        let index = check(&blob, &data, 40_000, usize::MAX);
        let mut damaged = blob.clone();
        damaged[at.index(blob.len())] ^= flip;
        for n in 0..index.segments() {
            let span = index.span(n);
            match inflate(&index, n, cut(&damaged, span.clone())) {
                Ok(bytes) => prop_assert!(bytes == cut(&data, index.bytes(n))),
                Err(error) => prop_assert_eq!(error, SeekError::Damaged),
            }
            prop_assert_eq!(inflate(&index, n, cut(&blob, span.start..span.end - 1)), Err(SeekError::Length));
        }
        prop_assert_eq!(inflate(&index, index.segments(), b""), Err(SeekError::NoSegment));
    }

    /// Frames of any sizes.
    #[test]
    fn frames(
        frames in prop::collection::vec((any::<u64>(), 0usize..100_000), 1..8),
        spacing in 1u64..150_000,
        drip in prop_oneof![1usize..100, Just(usize::MAX)],
    ) {
        let data: Vec<_> = frames.iter().map(|&(seed, len)| data(seed, len)).collect();
        let blob = data.iter().flat_map(|data| zstd::encode_all(&data[..], 3).unwrap());
        check(&blob.collect::<Vec<_>>(), &data.concat(), spacing, drip);
    }
}

#[test]
fn a_blob_that_inflates_to_too_much_is_refused() {
    let frame = zstd::encode_all(io::repeat(0).take(128 << 20), 1).unwrap();
    for (frames, taken) in [(8, true), (9, false)] {
        let blob = frame.repeat(frames);
        let mut indexer = Indexer::open(blob.as_slice()).unwrap();
        let read = io::copy(&mut indexer, &mut io::sink());
        assert_eq!(read.is_ok(), taken, "{frames} frames of 128 MiB: {read:?}");
        assert!(taken || read.unwrap_err().to_string().contains("inflates to over"));
    }
}
