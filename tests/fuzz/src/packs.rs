//! Packs: the accelerator's encoder and frames, the agent's decoder with its fixed window.
//!
//! The first byte says whether the rest is to be encoded or is encoded already, the second where it is cut.
//!
//! Must hold, whatever the bytes are:
//! - What was encoded and framed is, decoded from its frames, what it was.
//! - The decoder says the same however its input is cut, and after whatever it decoded before.
//! - It gives at most a window at once, and only what another decoder (zlib's) gives, too.
//!
//! The planted fault: a decoder that is not reset between streams.

use crate::chance::Chance;
use crate::{Planted, Target};
use flate2::{Decompress, FlushDecompress, Status};
use skiff::inflate::{Corrupt, Inflater};
use skiff_accelerator::packs::{deflate, framed};
use skiff_protocol::frame::{Buffer, Kind, read_blocking};

/// The target.
pub const TARGET: Target = Target { name: "packs", check, generate, inputs: 4_000 };

/// The agent's window.
const WINDOW: usize = 32 << 10;
/// More output is not looked at.
const MOST: usize = 4 << 20;

/// Its body.
#[allow(clippy::expect_used, reason = "that is what it does")]
pub fn check(input: &[u8], planted: Planted) {
    let [mode, cut, rest @ ..] = input else { return };
    let mut used = Inflater::new();
    // What came before may have ended anywhere.
    let _ = inflate(&mut used, &[0x4b, 0x4c, 0x4a, 0x06], 1);
    if planted == Planted::Nothing {
        used.reset();
    }
    if mode % 2 == 0 {
        let level = i32::from(mode / 2 % 3) * 3 + 1;
        let encoded = deflate::encode(rest, level).expect("memory");
        let framed = framed::Pack::new(&encoded).expect("memory");
        let mut frames = framed.as_ref();
        let (mut buffer, mut joined) = (Box::<Buffer>::default(), Vec::new());
        while !frames.is_empty() {
            let frame = read_blocking(&mut frames, &mut buffer).expect("it was just made");
            assert_eq!(frame.kind, Kind::PackData);
            joined.extend_from_slice(frame.payload);
        }
        assert_eq!(joined.len() as u64, framed.encoded_len());
        let (made, done) = inflate(&mut used, &joined, step(*cut)).expect("it was just encoded");
        assert!(done && made == rest, "a pack that was encoded is another one when decoded");
        return;
    }
    let fresh = inflate(&mut Inflater::new(), rest, usize::MAX);
    let cut = inflate(&mut used, rest, step(*cut));
    match (fresh, cut) {
        (Ok(fresh), Ok(cut)) => {
            assert!(fresh == cut, "it depends on where the input is cut");
            let (made, done) = fresh;
            let (other, ended) = zlib(rest);
            let len = made.len().min(other.len());
            assert!(made[..len] == other[..len], "zlib decodes something else");
            // zlib refuses incomplete Huffman codes, which miniz_oxide takes.
            assert!(!(done && ended) || made.len() == other.len(), "zlib ends elsewhere");
        }
        (Err(Corrupt), Err(Corrupt)) => {}
        _ => unreachable!("it depends on where the input is cut whether it is refused"),
    }
}

fn step(cut: u8) -> usize {
    usize::from(cut) * 37 + 1
}

fn inflate(inflater: &mut Inflater, input: &[u8], cut: usize) -> Result<(Vec<u8>, bool), Corrupt> {
    let mut made = Vec::new();
    for mut piece in input.chunks(cut.min(input.len().max(1))) {
        while let Some(bytes) = inflater.next(&mut piece)? {
            assert!(bytes.len() <= WINDOW && !bytes.is_empty(), "{} bytes at once", bytes.len());
            made.extend_from_slice(bytes);
            if made.len() > MOST {
                made.truncate(MOST);
                return Ok((made, false));
            }
        }
    }
    Ok((made, inflater.is_done()))
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
    let mut input = vec![chance.byte(), chance.byte()];
    if input[0] % 2 == 1 {
        let level = i32::from(*chance.pick(&[1_u8, 6, 9]));
        let encoded = deflate::encode(&plain, level);
        input.extend_from_slice(encoded.as_deref().unwrap_or_default());
    } else {
        input.extend(plain);
    }
    input
}
