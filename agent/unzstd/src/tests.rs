//! Frames of zstd's own encoder are decoded, whatever they are made of; others are refused.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use super::*;
use proptest::prelude::*;
use std::vec::Vec;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

fn encode(bytes: &[u8], level: i32, parameters: &[CParameter]) -> Vec<u8> {
    let mut compressor = Compressor::new(level).unwrap();
    for parameter in parameters {
        compressor.set_parameter(*parameter).unwrap();
    }
    compressor.compress(bytes).unwrap()
}

/// What the bytes are, given in pieces, if they are a frame with so much content.
fn decode(encoded: &[u8], len: usize, cut: usize) -> Result<(Vec<u8>, bool), Corrupt> {
    decode_by(&mut Decoder::new(), encoded, len, cut)
}

fn decode_by(
    decoder: &mut Decoder,
    encoded: &[u8],
    len: usize,
    cut: usize,
) -> Result<(Vec<u8>, bool), Corrupt> {
    decoder.start(len)?;
    let mut made = Vec::new();
    for mut piece in encoded.chunks(cut) {
        while let Some(bytes) = decoder.next(&mut piece)? {
            assert!(!bytes.is_empty() && bytes.len() <= MAX_BLOCK);
            made.extend_from_slice(bytes);
        }
    }
    assert!(made.len() <= len);
    Ok((made, decoder.is_done()))
}

/// Contents of many kinds, by name.
fn contents() -> Vec<(&'static str, Vec<u8>)> {
    let mut state = 1_u64;
    let mut noise = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    let random: Vec<u8> = (0..300_000).map(|_| noise()).collect();
    let skewed: Vec<u8> = (0..MAX_WINDOW).map(|_| noise() & noise() & noise()).collect();
    let text = include_bytes!("lib.rs").repeat(150);
    let sparse: Vec<u8> =
        (0..MAX_WINDOW).map(|n| if n % 4099 == 0 { noise() } else { 0 }).collect();
    let far = [&random[..], &random[..], &text[..200_000], &random[..200_000]].concat();
    let nearly: Vec<u8> =
        (0..200_000_u32).map(|n| (n.wrapping_mul(n) >> 9).to_le_bytes()[0]).collect();
    Vec::from([
        ("nothing", Vec::new()),
        ("a byte", Vec::from([7])),
        ("a word", b"skiff".to_vec()),
        ("zeros", std::vec![0; MAX_WINDOW]),
        ("random", random),
        ("skewed", skewed),
        ("text", text),
        ("sparse", sparse),
        ("far copies", far),
        ("nearly periodic", nearly),
    ])
}

#[test]
fn whatever_is_encoded_is_decoded_however_it_is_cut() {
    let mut used = Decoder::new();
    for (name, content) in contents() {
        let content = &content[..content.len().min(MAX_WINDOW)];
        for level in [-5, 1, 6, 19] {
            let encoded = encode(content, level, &[CParameter::WindowLog(20)]);
            for cut in [encoded.len().max(1), 32 << 10, 4099] {
                let (made, done) = decode_by(&mut used, &encoded, content.len(), cut).unwrap();
                assert!(made == content && done, "{name}, level {level}, cut {cut}");
            }
        }
        let encoded = encode(content, 19, &[]);
        for cut in [1, 7] {
            assert!(
                decode(&encoded, content.len(), cut).unwrap() == (content.to_vec(), true),
                "{name}, cut {cut}"
            );
        }
    }
}

#[test]
fn a_frame_without_its_size_and_with_a_small_window_is_decoded() {
    let content = &contents().remove(6).1[..500_000];
    for window in [10, 15, 20] {
        let parameters = [CParameter::ContentSizeFlag(false), CParameter::WindowLog(window)];
        let encoded = encode(content, 9, &parameters);
        assert!(
            decode(&encoded, content.len(), 1000).unwrap() == (content.to_vec(), true),
            "{window}"
        );
    }
}

#[test]
fn what_was_not_announced_is_refused() {
    let content = &contents().remove(6).1[..300_000];
    let len = content.len();
    let encoded = encode(content, 3, &[]);
    let unsized_ = encode(content, 3, &[CParameter::ContentSizeFlag(false)]);
    for frame in [&encoded, &unsized_] {
        assert!(decode(frame, len, 99).unwrap().1);
        for wrong in [0, len - 1, len + 1, MAX_WINDOW] {
            assert_eq!(decode(frame, wrong, 4000), Err(Corrupt), "{wrong}");
        }
        let (made, done) = decode(&frame[..frame.len() - 1], len, 4000).unwrap();
        assert!(!done && content.starts_with(&made), "it is truncated");
        for behind in [&b"\0"[..], frame, &[0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0]] {
            assert_eq!(decode(&[frame, behind].concat(), len, 4000), Err(Corrupt));
        }
    }
    assert_eq!(Decoder::new().start(MAX_WINDOW + 1), Err(Corrupt));
    let skippable = [&[0x50, 0x2A, 0x4D, 0x18, 1, 0, 0, 0, 9], &encoded[..]].concat();
    assert_eq!(decode(&skippable, len, 4000), Err(Corrupt));
    let checked = encode(content, 3, &[CParameter::ChecksumFlag(true)]);
    assert_eq!(decode(&checked, len, 4000), Err(Corrupt));
    let mut dictionary = encoded.clone();
    dictionary[4] |= 1;
    assert_eq!(decode(&dictionary, len, 4000), Err(Corrupt));
    let mut reserved = encoded;
    reserved[4] |= 1 << 3;
    assert_eq!(decode(&reserved, len, 4000), Err(Corrupt));
}

/// A head that says this of the window.
fn windowed(descriptor: u8) -> Vec<u8> {
    Vec::from([0x28, 0xB5, 0x2F, 0xFD, 0, descriptor])
}

#[test]
fn a_window_is_at_most_a_pack() {
    // One raw block, the last, of three bytes.
    let block = [0b11001, 0, 0, 1, 2, 3];
    for (descriptor, is_right) in
        [(0, true), (10 << 3, true), (10 << 3 | 1, false), (11 << 3, false), (0xFF, false)]
    {
        let frame = [&windowed(descriptor)[..], &block].concat();
        assert_eq!(decode(&frame, 3, 100).is_ok(), is_right, "{descriptor:#x}");
    }
    let huge =
        [&[0x28, 0xB5, 0x2F, 0xFD, 0b1110_0000][..], &u64::MAX.to_le_bytes(), &block].concat();
    assert_eq!(decode(&huge, 3, 100), Err(Corrupt));
}

#[test]
fn a_bomb_gives_no_more_than_was_announced() {
    // 128 KiB of zeros for four bytes, again and again.
    let head = u32::try_from(MAX_BLOCK << 3 | 0b10).unwrap().to_le_bytes();
    let block = [head[0], head[1], head[2], 0];
    let bomb = [windowed(10 << 3), block.repeat(100)].concat();
    for len in [1, MAX_BLOCK, MAX_WINDOW] {
        assert_eq!(decode(&bomb, len, 4096), Err(Corrupt), "{len}");
    }
    let larger = u32::try_from((MAX_BLOCK + 1) << 3 | 0b11).unwrap().to_le_bytes();
    let frame = [&windowed(10 << 3)[..], &larger[..3], &[0]].concat();
    assert_eq!(decode(&frame, MAX_BLOCK + 1, 4096), Err(Corrupt), "a block of more than 128 KiB");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// It says the same however a damaged frame is cut, and after whatever it decoded before; and gives what zstd gives, too.
    #[test]
    fn damaged(seed: usize, level in 1..20, at: prop::sample::Index, flip in 1_u8.., cut in 1..5000_usize) {
        let contents = contents();
        let content = &contents[seed % contents.len()].1;
        let content = &content[..content.len().min(150_000)];
        let mut encoded = encode(content, level, &[]);
        let at = at.index(encoded.len());
        encoded[at] ^= flip;
        let fresh = decode(&encoded, content.len(), usize::MAX);
        let mut used = Decoder::new();
        used.start(9).unwrap();
        let _ = used.next(&mut &encode(b"something", 1, &[])[..12]);
        prop_assert_eq!(&decode_by(&mut used, &encoded, content.len(), cut), &fresh);
        if let (Ok((made, true)), Ok(other)) = (fresh, zstd::bulk::decompress(&encoded, content.len())) {
            prop_assert!(made == other);
        }
    }

    #[test]
    fn small_ones(content in prop::collection::vec(0..6_u8, 0..3000), level in -3..20, cut in 1..400_usize) {
        let encoded = encode(&content, level, &[]);
        prop_assert_eq!(decode(&encoded, content.len(), cut), Ok((content, true)));
    }
}
