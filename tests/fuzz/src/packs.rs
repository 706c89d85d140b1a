//! Packs: the accelerator's encoders and frames, the agent's decoder with its fixed memory.
//!
//! The first byte says by which codec, and whether the rest is to be encoded or is encoded already; the second where it is cut;
//! three more how many bytes are announced, if it is encoded already.
//!
//! Must hold, whatever the bytes are:
//! - What was encoded and framed is, decoded from its frames, what it was.
//! - The decoder says the same however its input is cut, and after whatever it decoded before.
//! - It gives at most a window (deflate) or a block (zstd) at once, never more than was announced (zstd), and only what another decoder
//!   (zlib's, zstd's) gives, too.
//!
//! The planted fault: a decoder that is not reset between packs.

use crate::chance::Chance;
use crate::{Planted, Target};
use flate2::{Decompress, FlushDecompress, Status};
use skiff::decode::{Corrupt, Decoder};
use skiff_accelerator::packs::encoding::Encoding;
use skiff_accelerator::packs::framed;
use skiff_protocol::frame::{Buffer, Kind, read_blocking};
use skiff_protocol::limits::MAX_PACK;
use skiff_protocol::response::Codec;
use std::io::Read as _;

/// The target.
pub const TARGET: Target = Target { name: "packs", check, generate, inputs: 4_000 };

/// The agent's window for deflate, and a block of zstd's.
const WINDOW: usize = 32 << 10;
const BLOCK: usize = 128 << 10;
/// More output is not looked at.
const MOST: usize = 4 << 20;

/// Its body.
#[allow(clippy::expect_used, reason = "that is what it does")]
pub fn check(input: &[u8], planted: Planted) {
    let [mode, cut, a, b, c, rest @ ..] = input else { return };
    let codec = if (mode / 6).is_multiple_of(2) { Codec::Deflate } else { Codec::Zstd };
    let announced = u32::from_le_bytes([*a, *b, *c, 0]) % (MAX_PACK + 2);
    let is_encoded = mode % 2 == 1;
    let len = if is_encoded { announced as usize } else { rest.len() };
    let mut used = Decoder::new();
    // What came before may have ended anywhere.
    assert!(used.start_pack(codec, 9));
    let before: &[u8] = match codec {
        Codec::Zstd => &[0x28, 0xB5, 0x2F, 0xFD, 0x20, 9, 0x48, 0, 0, b's'],
        _ => &[0x4b, 0x4c, 0x4a, 0x06],
    };
    let _ = decode(&mut used, before, 1);
    let mut fresh = Decoder::new();
    if !fresh.start_pack(codec, len) {
        assert!(codec == Codec::Zstd && len > MAX_PACK as usize, "a pack that is not decoded");
        return;
    }
    if planted == Planted::Nothing {
        assert!(used.start_pack(codec, len));
    }
    if !is_encoded {
        let level = i32::from(mode / 2 % 3) * 3 + 1;
        let encoded = Encoding { codec, level }.encode(rest).expect("memory");
        let framed = framed::Pack::new(&encoded, framed::Form::default()).expect("memory");
        let mut frames = framed.as_ref();
        let (mut buffer, mut joined) = (Box::<Buffer>::default(), Vec::new());
        while !frames.is_empty() {
            let frame = read_blocking(&mut frames, &mut buffer).expect("it was just made");
            assert_eq!(frame.kind, Kind::PackData);
            joined.extend_from_slice(frame.payload);
        }
        assert_eq!(joined.len() as u64, framed.encoded_len());
        let (made, done) = decode(&mut used, &joined, step(*cut)).expect("it was just encoded");
        assert!(done && made == rest, "a pack that was encoded is another one when decoded");
        return;
    }
    let fresh = decode(&mut fresh, rest, usize::MAX);
    let cut = decode(&mut used, rest, step(*cut));
    match (fresh, cut) {
        (Ok(fresh), Ok(cut)) => {
            assert!(fresh == cut, "it depends on where the input is cut");
            let (made, done) = fresh;
            let (other, ended) = match codec {
                Codec::Zstd => zstd(rest),
                _ => zlib(rest),
            };
            if codec == Codec::Zstd {
                assert!(made.len() <= len && (!done || made.len() == len), "not as announced");
            }
            let len = made.len().min(other.len());
            assert!(made[..len] == other[..len], "the other decoder decodes something else");
            // zlib refuses incomplete Huffman codes, which miniz_oxide takes.
            assert!(!(done && ended) || made.len() == other.len(), "the other one ends elsewhere");
        }
        (Err(Corrupt), Err(Corrupt)) => {}
        _ => unreachable!("it depends on where the input is cut whether it is refused"),
    }
}

fn step(cut: u8) -> usize {
    usize::from(cut) * 37 + 1
}

fn decode(decoder: &mut Decoder, input: &[u8], cut: usize) -> Result<(Vec<u8>, bool), Corrupt> {
    let mut made = Vec::new();
    for mut piece in input.chunks(cut.min(input.len().max(1))) {
        while let Some(bytes) = decoder.next(&mut piece)? {
            assert!(
                bytes.len() <= WINDOW.max(BLOCK) && !bytes.is_empty(),
                "{} bytes at once",
                bytes.len()
            );
            made.extend_from_slice(bytes);
            if made.len() > MOST {
                made.truncate(MOST);
                return Ok((made, false));
            }
        }
    }
    Ok((made, decoder.is_done()))
}

/// What zstd makes of it, and whether it sees the frame's end.
fn zstd(input: &[u8]) -> (Vec<u8>, bool) {
    let mut made = Vec::new();
    let Ok(decoder) = zstd::stream::read::Decoder::new(input) else { return (made, false) };
    let read = decoder.single_frame().take(MOST as u64).read_to_end(&mut made);
    (made, read.is_ok())
}

/// What zlib makes of it, and whether it sees the stream's end.
fn zlib(input: &[u8]) -> (Vec<u8>, bool) {
    let mut decoder = Decompress::new(false);
    let mut made = Vec::with_capacity(1 << 16);
    loop {
        let from = usize::try_from(decoder.total_in()).unwrap_or(usize::MAX);
        let before = (decoder.total_in(), decoder.total_out());
        let Ok(status) = decoder.decompress_vec(&input[from..], &mut made, FlushDecompress::None)
        else {
            return (made, false);
        };
        if status == Status::StreamEnd {
            return (made, true);
        }
        if made.len() > MOST {
            made.truncate(MOST);
            return (made, false);
        }
        if made.len() == made.capacity() {
            made.reserve(1 << 16);
        } else if before == (decoder.total_in(), decoder.total_out()) {
            return (made, false);
        }
    }
}

fn generate(chance: &mut Chance) -> Vec<u8> {
    let len = *chance.pick(&[0, 1, 40, 2000, 40_000, 100_000]);
    let len = chance.below(len + 1);
    let mut plain = chance.bytes(len);
    if chance.one_in(3) {
        // Copies from far behind.
        plain = plain.repeat(3);
    }
    let mode = chance.byte();
    let [a, b, c, _] = u32::try_from(plain.len()).unwrap_or(0).to_le_bytes();
    let mut input = vec![mode, chance.byte(), a, b, c];
    if mode % 2 == 1 {
        let codec = if (mode / 6).is_multiple_of(2) { Codec::Deflate } else { Codec::Zstd };
        let level = i32::from(*chance.pick(&[1_u8, 6, 9]));
        let encoded = Encoding { codec, level }.encode(&plain);
        input.extend_from_slice(encoded.as_deref().unwrap_or_default());
    } else {
        input.extend(plain);
    }
    input
}
