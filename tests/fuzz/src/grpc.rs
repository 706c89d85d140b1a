//! What stands in for containerd says on its socket: gRPC messages, or HTTP/2 itself.
//!
//! The first byte says whether the rest is the body of an answer (messages with their prefixes), or all that the
//! server sends.
//!
//! Must hold, whatever the bytes are:
//! - The call ends, with images or with an error.
//! - Whatever text comes out of an answer stands in it, and there are not more images than it has room for.
//!
//! The planted fault: a list that is not emptied between calls.

use crate::chance::Chance;
use crate::{Planted, Target};
use skiff::containerd::{Client, ImageTarget};
use smol::future::FutureExt;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// The target.
pub const TARGET: Target = Target { name: "grpc", check, generate, inputs: 2_500 };

/// A call that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest body: a client's window.
const BODY: usize = 60_000;
/// Longest DATA frame.
const DATA: usize = 16_384;
/// Bytes of a frame's header, and of what a client sends first.
const HEAD: usize = 9;
const PREFACE: usize = 24;

/// Its body.
pub fn check(input: &[u8], planted: Planted) {
    let [mode, rest @ ..] = input else { return };
    let body = mode % 2 == 0;
    let said = if body { framed(&rest[..rest.len().min(BODY)]) } else { rest.to_vec() };
    let Some(mut images) = ask(said) else { return };
    if planted.is_fault() {
        static LEFT: Mutex<Vec<ImageTarget>> = Mutex::new(Vec::new());
        let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
        left.append(&mut images);
        images.clone_from(&left);
    }
    assert!(images.len() <= rest.len() / 2, "{} images", images.len());
    if body {
        let texts = images.iter().flat_map(|image| [&image.name, &image.media_type, &image.digest]);
        for text in texts.filter(|text| !text.is_empty()) {
            let stands = rest.windows(text.len()).any(|bytes| bytes == text.as_bytes());
            assert!(stands, "{text:?} is not in the answer");
        }
    }
}

/// Lists images from a server that says this.
#[allow(clippy::panic, reason = "that is what it does")]
fn ask(said: Vec<u8>) -> Option<Vec<ImageTarget>> {
    static LISTENING: OnceLock<(PathBuf, UnixListener, tempfile::TempDir)> = OnceLock::new();
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (socket, listener, _) = LISTENING.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let socket = directory.path().join("containerd.sock");
        let listener = UnixListener::bind(&socket).unwrap_or_else(|error| panic!("{error}"));
        (socket, listener, directory)
    });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let served = listener.accept().and_then(|(stream, _)| serve(stream, &said));
            // The client may have hung up already.
            drop(served);
        });
        let call = async {
            let client = Client::connect(socket, "default").await.ok()?;
            client.images().await.ok()
        };
        let patience = async {
            smol::Timer::after(PATIENCE).await;
            panic!("the call hangs");
        };
        smol::block_on(call.or(patience))
    })
}

/// Reads a request to its end, says this, and hangs up.
fn serve(mut stream: UnixStream, said: &[u8]) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.read_exact(&mut [0; PREFACE])?;
    loop {
        let mut head = [0; HEAD];
        stream.read_exact(&mut head)?;
        let [a, b, c, kind, flags, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload)?;
        let (data, headers, end) = (kind == 0, kind == 1, flags & 1 == 1);
        if (data || headers) && end {
            break;
        }
    }
    stream.write_all(said)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

/// All that a server says when it answers the first call with this body.
fn framed(body: &[u8]) -> Vec<u8> {
    const DATA_KIND: u8 = 0;
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    let mut said = Vec::new();
    let mut frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let len = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
        said.extend_from_slice(&len[1..]);
        said.extend([kind, flags]);
        said.extend(stream.to_be_bytes());
        said.extend_from_slice(payload);
    };
    frame(SETTINGS, 0, 0, &[]);
    frame(SETTINGS, 1, 0, &[]);
    // `:status: 200` of HPACK's static table, and a header of a name that is there, too.
    let head = [&[0x88, 0x0f, 0x10, 16][..], b"application/grpc"].concat();
    frame(HEADERS, 4, 1, &head);
    for piece in body.chunks(DATA) {
        frame(DATA_KIND, 0, 1, piece);
    }
    let trailers = [&[0x00, 11][..], b"grpc-status", &[1, b'0']].concat();
    frame(HEADERS, 5, 1, &trailers);
    said
}

/// A field of a message: tag and length, both short.
fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut len = bytes.len();
    let mut field = vec![tag << 3 | 2];
    while len >= 0x80 {
        field.push(0x80 | len.to_le_bytes()[0]);
        len /= 0x80;
    }
    field.push(len.to_le_bytes()[0]);
    field.extend_from_slice(bytes);
    field
}

fn generate(chance: &mut Chance) -> Vec<u8> {
    let mut list = Vec::new();
    for number in 0..chance.below(5) {
        let name = format!("host:5000/web:{}", chance.number() % 1000 + number as u64);
        let digest = skiff_protocol::Digest([chance.byte(); 32]).to_string();
        let media_type = b"application/vnd.oci.image.manifest.v1+json";
        let size = vec![3 << 3, 0x7f];
        let target = [field(1, media_type), field(2, digest.as_bytes()), size].concat();
        list.extend(field(1, &[field(1, name.as_bytes()), field(3, &target)].concat()));
    }
    let len = u32::try_from(list.len()).unwrap_or(0).to_be_bytes();
    let body = [&[0][..], &len, &list].concat();
    let mode = chance.byte();
    let rest = if mode.is_multiple_of(2) { body } else { framed(&body) };
    [vec![mode], rest].concat()
}
