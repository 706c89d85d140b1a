//! Layer blobs while they are indexed, and seek indexes.
//!
//! The first byte says whether a blob follows, whose index is made with short segments, or an index and some bytes.
//!
//! Must hold, whatever the bytes are:
//! - An index covers its blob's uncompressed bytes, without gaps, with spans in the blob.
//! - Each segment, inflated from its span alone, is what came out when the blob was read from its start.
//! - What a blob inflates to is what flate2 makes of it.
//! - An index comes back from its encoding. Whatever else decodes is sound: what it inflates is as long as it says,
//!   in the buffer that it asks for.
//!
//! The planted fault: a span that begins a byte too late.

use crate::chance::Chance;
use crate::layers::gzip;
use crate::{Planted, Target};
use flate2::read::MultiGzDecoder;
use skiff_accelerator::seek::{Index, Indexer};
use std::io::Read;

/// The target.
pub const TARGET: Target = Target { name: "seek", check, generate, inputs: 6_000 };

/// More output is not looked at.
const MOST: usize = 4 << 20;
/// Most segments of an index that are inflated, and bytes of one.
const SEGMENTS: usize = 64;
const LONGEST: usize = 1 << 20;

/// Its body.
pub fn check(input: &[u8], planted: Planted) {
    match input {
        [mode, rest @ ..] if mode % 4 == 3 => decode(rest),
        [mode, spacing, blob @ ..] => index(blob, *mode, *spacing, planted),
        _ => {}
    }
}

fn index(blob: &[u8], mode: u8, spacing: u8, planted: Planted) {
    let spacing = 1 + 64 * u64::from(spacing);
    let indexer = match mode % 2 {
        0 => Indexer::with_spacing(blob, spacing, spacing / 2),
        _ => Indexer::open(blob),
    };
    let Ok(mut indexer) = indexer else { return };
    let mut plain = Vec::new();
    let mut piece = vec![0; 1 + usize::from(mode) * 100];
    loop {
        match indexer.read(&mut piece) {
            Ok(0) => break,
            Ok(len) => plain.extend_from_slice(&piece[..len]),
            Err(_) => return,
        }
        if plain.len() > MOST {
            return;
        }
    }
    if blob.starts_with(&[0x1f, 0x8b, 8]) {
        let mut other = Vec::new();
        let read = MultiGzDecoder::new(blob).read_to_end(&mut other);
        assert!(read.is_ok() && other == plain, "flate2 makes something else of it: {read:?}");
    }
    let Some(index) = indexer.finish() else { return };
    assert_eq!((index.size(), index.blob()), (plain.len() as u64, blob.len() as u64));
    assert_eq!(Index::decode(&index.encode()).as_ref(), Ok(&index), "after it was encoded");
    let mut at = 0;
    for n in 0..index.segments() {
        let bytes = index.bytes(n);
        assert_eq!(bytes.start, at, "a gap before segment {n}");
        at = bytes.end;
        assert_eq!(index.segment_at(bytes.start), Some(n));
        if n < SEGMENTS {
            segment(&index, n, blob, &plain, planted);
        }
    }
    assert_eq!(at, index.size(), "the segments end too early");
}

#[allow(clippy::expect_used, reason = "that is what it does")]
fn segment(index: &Index, n: usize, blob: &[u8], plain: &[u8], planted: Planted) {
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    let (span, bytes) = (index.span(n), index.bytes(n));
    let late = usize::from(planted.is_fault());
    let compressed = blob.get(place(span.start) + late..place(span.end)).expect("a span outside");
    let mut buffer = vec![0; index.room(n)];
    let found = index.inflate(n, compressed, &mut buffer).expect("a segment that is not there");
    assert!(buffer[found] == plain[place(bytes.start)..place(bytes.end)], "segment {n} differs");
}

fn decode(input: &[u8]) {
    let Some((len, rest)) = input.split_first_chunk::<2>() else { return };
    let (encoded, blob) = rest.split_at(usize::from(u16::from_le_bytes(*len)).min(rest.len()));
    let Ok(index) = Index::decode(encoded) else { return };
    let mut at = 0;
    for n in 0..index.segments() {
        let (bytes, span) = (index.bytes(n), index.span(n));
        assert!(bytes.start == at && bytes.end > at, "segment {n}: {bytes:?}");
        assert!(span.start < span.end && span.end <= index.blob(), "segment {n}: {span:?}");
        at = bytes.end;
        let len = usize::try_from(span.end - span.start).unwrap_or(usize::MAX);
        if n >= SEGMENTS || index.room(n) > LONGEST || len > LONGEST {
            continue;
        }
        let mut compressed = blob.to_vec();
        compressed.resize(len, 0);
        let mut buffer = vec![0; index.room(n)];
        if let Ok(place) = index.inflate(n, &compressed, &mut buffer) {
            assert_eq!(place.len() as u64, bytes.end - bytes.start, "segment {n}");
        }
    }
    assert_eq!(at, index.size(), "the segments end too early");
}

fn generate(chance: &mut Chance) -> Vec<u8> {
    let most = *chance.pick(&[1, 100, 4000, 30_000]);
    let len = chance.below(most);
    let mut plain = chance.bytes(len);
    if chance.one_in(3) {
        plain = plain.repeat(4);
    }
    let blob = match chance.below(4) {
        0 => plain.clone(),
        1 => plain.chunks(1 + chance.below(9000)).flat_map(gzip).collect(),
        2 => gzip(&plain),
        _ => {
            let frame = |piece| zstd::encode_all(piece, 1).unwrap_or_default();
            plain.chunks(1 + chance.below(9000)).flat_map(frame).collect()
        }
    };
    let (mode, spacing) = (chance.byte(), chance.byte());
    if mode % 4 != 3 {
        return [vec![mode, spacing], blob].concat();
    }
    let indexer = Indexer::with_spacing(blob.as_slice(), 1 + 16 * u64::from(spacing), 100);
    let index = indexer.ok().and_then(|mut indexer| {
        std::io::copy(&mut indexer, &mut std::io::sink()).ok()?;
        indexer.finish()
    });
    let mut encoded = index.map(|index| index.encode()).unwrap_or_default();
    encoded.truncate(u16::MAX.into());
    let len = u16::try_from(encoded.len()).unwrap_or(0);
    [vec![mode], len.to_le_bytes().to_vec(), encoded, blob].concat()
}
