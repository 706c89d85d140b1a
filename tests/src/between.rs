//! Somebody between device and accelerator who changes what is asked and answered, and does it well: frames, checksums, lengths
//! and compression are right afterwards.

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use skiff_protocol::frame::{Buffer, HEADER_LEN, Kind, read_blocking, write};
use skiff_protocol::limits::{MAX_PAYLOAD, MAX_RECORD};
use skiff_protocol::record::{self, Record, Splitter};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// Every file gets the bit for set-uid.
    Modes,
    /// Signatures are left out.
    Unsigned,
    /// The request is one of an agent that knows no signatures.
    OldAgent,
    /// Where the first name is asked for, the second is, and the answer says the first.
    Swapped(&'static str, &'static str),
    /// The first answer is given to all requests.
    Replayed,
}

/// Stands between; until the process ends.
#[derive(Debug)]
pub struct Between {
    /// Where devices connect to.
    pub url: String,
    change: Arc<Mutex<Change>>,
}

impl Between {
    /// Before the accelerator at this address (`HOST:PORT`).
    pub fn start(accelerator: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let change = Arc::new(Mutex::new(Change::Nothing));
        let (accelerator, now) = (accelerator.to_owned(), Arc::clone(&change));
        std::thread::spawn(move || {
            let mut first = None;
            for mut device in listener.incoming().flatten() {
                let change = *now.lock().unwrap();
                let Some((head, body)) = request(&mut device) else { continue };
                let answer = || answer(&accelerator, &head, &body, change);
                let answer = match change {
                    Change::Replayed => first.get_or_insert_with(answer).clone(),
                    _ => answer(),
                };
                let _ = device.write_all(&answer);
            }
        });
        Self { url, change }
    }

    /// From now on this is changed.
    pub fn changes(&self, change: Change) {
        *self.change.lock().unwrap() = change;
    }
}

/// Head and body of a request.
fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    let head = String::from_utf8(head).ok()?.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    let mut body = vec![0; length.parse().ok()?];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn answer(accelerator: &str, head: &str, body: &[u8], change: Change) -> Vec<u8> {
    let mut body = body.to_vec();
    match change {
        // The minor version is the second byte.
        Change::OldAgent => body[1] = 3,
        Change::Swapped(one, other) => body = replaced(&body, one, other),
        _ => {}
    }
    let mut stream = TcpStream::connect(accelerator).unwrap();
    let (line, headers) = head.split_once("\r\n").unwrap();
    let line = line.replace("post", "POST").replace("http/", "HTTP/");
    write!(stream, "{line}\r\nconnection: close\r\n{headers}").unwrap();
    stream.write_all(&body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    let (head, chunks) = answer.split_at(end);
    let head = String::from_utf8_lossy(head).replace("transfer-encoding: chunked\r\n", "");
    let body = frames(&joined(chunks), change);
    let length = format!("content-length: {}\r\n\r\n", body.len());
    [head.trim_end_matches("\r\n").as_bytes(), b"\r\n", length.as_bytes(), &body].concat()
}

fn replaced(bytes: &[u8], one: &str, other: &str) -> Vec<u8> {
    assert_eq!(one.len(), other.len());
    let mut bytes = bytes.to_vec();
    while let Some(at) = bytes.windows(one.len()).position(|found| found == one.as_bytes()) {
        bytes[at..at + one.len()].copy_from_slice(other.as_bytes());
    }
    bytes
}

/// The chunks of a body, without their heads.
fn joined(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = chunks.iter().position(|byte| *byte == b'\r').unwrap();
        let length = std::str::from_utf8(&chunks[..line]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        if length == 0 {
            return body;
        }
        let from = line + 2;
        body.extend(&chunks[from..from + length]);
        chunks = &chunks[from + length + 2..];
    }
}

fn frames(mut body: &[u8], change: Change) -> Vec<u8> {
    let (mut out, mut metadata) = (Vec::new(), Vec::new());
    let mut buffer = Box::<Buffer>::default();
    while !body.is_empty() {
        let frame = read_blocking(&mut body, &mut buffer).unwrap();
        if frame.kind == Kind::Metadata {
            metadata.extend(frame.payload);
            continue;
        }
        if !metadata.is_empty() {
            for piece in records(&std::mem::take(&mut metadata), change).chunks(MAX_PAYLOAD) {
                push(&mut out, Kind::Metadata, piece);
            }
        }
        if frame.kind != Kind::Signature || change != Change::Unsigned {
            push(&mut out, frame.kind, frame.payload);
        }
    }
    out
}

fn push(out: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
    let mut bytes = vec![0; HEADER_LEN + payload.len()];
    write(&mut &mut bytes[..], kind, payload).unwrap();
    out.extend(bytes);
}

fn records(metadata: &[u8], change: Change) -> Vec<u8> {
    let mut plain = Vec::new();
    DeflateDecoder::new(metadata).read_to_end(&mut plain).unwrap();
    let (mut out, mut rest) = (Vec::new(), &plain[..]);
    let (mut splitter, mut buffer) = (Box::new(Splitter::new()), vec![0; MAX_RECORD + 2]);
    while let Some(mut record) = splitter.next(&mut rest).unwrap() {
        match (&mut record, change) {
            (Record::Entry(entry), Change::Modes) => {
                if matches!(entry.kind, record::Kind::File { .. }) {
                    entry.meta.mode |= 0o4000;
                }
            }
            (Record::Image(image), Change::Swapped(one, other)) if image.reference == other => {
                image.reference = one;
            }
            _ => {}
        }
        out.extend_from_slice(record.encode(&mut buffer).unwrap());
    }
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&out).unwrap();
    encoder.finish().unwrap()
}
