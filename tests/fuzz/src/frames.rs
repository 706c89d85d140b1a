//! Frames of an answer, and the messages in them, as any accelerator sends them.
//!
//! Must hold, whatever the bytes are:
//! - Reading ends, with a frame or an error, and never takes bytes that are not there.
//! - Both readers say the same.
//! - What is taken for a frame is one: written again, it is the bytes that were read.
//! - A message that decodes is the same message after it was encoded again.
//!
//! The planted fault: a reader that does not look at the checksum.

use crate::chance::Chance;
use crate::{Planted, Target, answer};
use skiff_protocol::frame::{self, Buffer, Frame, FrameError, HEADER_LEN, Header, Kind};
use skiff_protocol::response::{
    Codec, Complete, Failure, FailureCode, Notice, Pack, Phase, Plan, Progress, Signature, decode,
    encode,
};
use skiff_protocol::signed::KeyId;
use skiff_protocol::{Digest, Version};
use std::convert::Infallible;

/// The target.
pub const TARGET: Target = Target { name: "frames", check, generate, inputs: 60_000 };

/// Its body.
#[allow(clippy::panic, reason = "that is what it does")]
pub fn check(input: &[u8], planted: Planted) {
    let (mut one, mut two) = (Box::<Buffer>::default(), Box::<Buffer>::default());
    let mut written = vec![0; HEADER_LEN + skiff_protocol::limits::MAX_PAYLOAD];
    let mut rest = input;
    loop {
        let (before, mut again) = (rest, rest);
        let frame = match planted {
            Planted::Nothing => frame::read_blocking(&mut rest, &mut one),
            Planted::Fault => read_anything(&mut rest, &mut one),
        };
        let same = smol::block_on(frame::read(&mut again, &mut two));
        let Ok(frame) = frame else {
            assert_eq!(frame, same, "two readers of the same bytes");
            return;
        };
        let taken = &before[..before.len() - rest.len()];
        let mut to = &mut written[..taken.len()];
        let fits = frame::write(&mut to, frame.kind, frame.payload);
        assert!(fits.is_ok() && to.is_empty(), "a frame of another length: {frame:?}");
        assert!(written[..taken.len()] == *taken, "these bytes are no frame: {taken:?}");
        assert_eq!(Ok(frame), same, "two readers of the same bytes");
        message(frame);
    }
}

fn read_anything<'b>(
    from: &mut &[u8],
    buffer: &'b mut Buffer,
) -> Result<Frame<'b>, FrameError<Infallible>> {
    let truncated = FrameError::Protocol(skiff_protocol::Error::Truncated);
    let (&head, rest) = from.split_first_chunk::<HEADER_LEN>().ok_or(truncated)?;
    *from = rest;
    let header = Header::parse(head).map_err(FrameError::Protocol)?;
    let (payload, rest) = rest.split_at_checked(header.len.into()).ok_or(truncated)?;
    *from = rest;
    buffer.clear();
    buffer.extend_from_slice(payload).map_err(|_| truncated)?;
    Ok(Frame { kind: header.kind, payload: buffer })
}

macro_rules! stays {
    ($message:ty, $payload:expr) => {
        if let Ok(message) = decode::<$message>($payload) {
            let mut buffer = vec![0; 2 * $payload.len() + 64];
            let again = encode(&message, &mut buffer).and_then(|bytes| decode::<$message>(bytes));
            assert_eq!(again, Ok(message), "a message after it was encoded again");
        }
    };
}

fn message(frame: Frame<'_>) {
    let payload = frame.payload;
    match frame.kind {
        Kind::Plan => stays!(Plan, payload),
        Kind::Progress => stays!(Progress, payload),
        Kind::Notice => stays!(Notice, payload),
        Kind::Pack => stays!(Pack, payload),
        Kind::Complete => stays!(Complete, payload),
        Kind::Failure => stays!(Failure<'_>, payload),
        Kind::Signature => stays!(Signature, payload),
        _ => {}
    }
}

fn generate(chance: &mut Chance) -> Vec<u8> {
    let mut body = Vec::new();
    for _ in 0..1 + chance.below(6) {
        one(&mut body, chance);
    }
    if chance.one_in(8) {
        let (records, plain) = answer::contents(chance);
        body.extend(answer::body(&records, &plain, 1 << 12));
    }
    body
}

fn one(body: &mut Vec<u8>, chance: &mut Chance) {
    let mut buffer = vec![0; 4096];
    let number = |chance: &mut Chance| u32::try_from(chance.below(1 << 20)).unwrap_or(0);
    let digest = Digest([chance.byte(); 32]);
    let (kind, payload) = match chance.below(8) {
        0 => {
            let plan = Plan {
                version: Version::CURRENT,
                id: digest,
                images: 1,
                layers: 1,
                entries: number(chance),
                contents: number(chance),
                packs: number(chance),
                pack_len: number(chance),
                content_bytes: chance.number(),
                wire_bytes: chance.number(),
                exact: chance.one_in(2),
            };
            (Kind::Plan, encode(&plan, &mut buffer))
        }
        1 => {
            let phase = *chance.pick(&[Phase::Ingest, Phase::Plan]);
            let progress = Progress { phase, done: chance.number(), total: chance.number() };
            (Kind::Progress, encode(&progress, &mut buffer))
        }
        2 => (Kind::Notice, encode(&Notice::HeldUnknown(7), &mut buffer)),
        3 => {
            let codec = *chance.pick(&[Codec::Deflate, Codec::Zstd]);
            let (number, len, encoded_len) = (number(chance), number(chance), number(chance));
            (Kind::Pack, encode(&Pack { number, codec, len, encoded_len }, &mut buffer))
        }
        4 => {
            let mut trees = heapless::Vec::new();
            let _ = trees.push(digest);
            (Kind::Complete, encode(&Complete { plan: digest, trees }, &mut buffer))
        }
        5 => {
            let failure = Failure { code: FailureCode::Internal, message: "it broke" };
            (Kind::Failure, encode(&failure, &mut buffer))
        }
        6 => {
            let signature = Signature { key: KeyId::of(&digest), signature: [digest.0; 2] };
            (Kind::Signature, encode(&signature, &mut buffer))
        }
        _ => {
            let len = chance.below(300);
            let payload = chance.bytes(len);
            buffer[..len].copy_from_slice(&payload);
            let kind = *chance.pick(&[Kind::Metadata, Kind::PackData, Kind::HotComplete]);
            (kind, Ok(&buffer[..len]))
        }
    };
    answer::frame(body, kind, payload.unwrap_or_default());
}
