//! Answers that are written down instead of planned: whatever the accelerator would do, an agent gets
//! exactly these images on exactly these layers.

use flate2::Compression;
use flate2::write::DeflateEncoder;
use sha2::{Digest as _, Sha256};
use skiff_protocol::frame::{Kind as FrameKind, write};
use skiff_protocol::record::{
    Base, Blob, Content, Entry, Image, Kind, Layer, Metadata, Parent, Record, Role, Source,
};
use skiff_protocol::response::{Codec, Complete, Pack, Plan, encode};
use skiff_protocol::{Digest, MEDIA_TYPE, Version};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::JoinHandle;

const ID: Digest = Digest([7; 32]);

/// An image of an answer: its reference, which version of it, its layer.
pub type Images<'a> = &'a [(&'a str, u8, Option<u16>)];
/// A layer: the name of the tree if it is a base, its parent, its file.
pub type Layers<'a> = &'a [(Option<u8>, Parent, &'a str)];

/// A digest.
pub fn sha256(bytes: impl AsRef<[u8]>) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn config(reference: &str, version: u8) -> String {
    let diff_id = sha256(format!("{reference} {version}"));
    format!(r#"{{"rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#)
}

/// The manifest of a version of an image.
pub fn manifest(reference: &str, version: u8) -> String {
    let config = sha256(config(reference, version));
    format!(r#"{{"config":{{"digest":"{config}"}},"layers":[{{}}]}}"#)
}

/// The metadata of an answer. Each layer has one file, whose name is its content.
fn metadata(images: Images<'_>, layers: Layers<'_>) -> Vec<u8> {
    let mut buffer = vec![0; 70_000];
    let mut bytes = Vec::new();
    let mut say = |record: Record<'_>| bytes.extend(record.encode(&mut buffer).unwrap().to_vec());
    for (reference, version, layer) in images {
        let (manifest, config) = (manifest(reference, *version), config(reference, *version));
        say(Record::Image(Image { reference, target: sha256(&manifest), layer: *layer }));
        let manifest_type = "application/vnd.oci.image.manifest.v1+json";
        let config_type = "application/vnd.oci.image.config.v1+json";
        for (role, text, media_type) in
            [(Role::Manifest, &manifest, manifest_type), (Role::Config, &config, config_type)]
        {
            let size = u32::try_from(text.len()).unwrap();
            say(Record::Blob(Blob { role, digest: sha256(text), size, media_type }));
            say(Record::BlobData(text.as_bytes()));
        }
    }
    for (_, _, file) in layers {
        let (size, sha256) = (file.len() as u64, sha256(file));
        say(Record::Content(Content { size, sha256, source: Source::Pack }));
    }
    for ((base, parent, file), content) in layers.iter().zip(0..) {
        if let Some(tree) = base {
            say(Record::Base(Base { tree: Digest([*tree; 32]) }));
        }
        say(Record::Layer(Layer { parent: *parent, entries: 1 }));
        let meta = Metadata { mode: 0o644, ..Metadata::default() };
        let kind = Kind::File { content };
        say(Record::Entry(Entry { prefix: 0, suffix: file.as_bytes(), kind, meta }));
    }
    say(Record::End);
    deflated(&bytes)
}

/// A whole answer, as HTTP. To a request that only measures, a part of it would be.
pub fn answer(images: Images<'_>, layers: Layers<'_>, measure: bool) -> Vec<u8> {
    let text: String = layers.iter().map(|(_, _, file)| *file).collect();
    let len = u32::try_from(text.len()).unwrap();
    let count = u32::try_from(layers.len()).unwrap();
    let plan = Plan {
        version: Version::CURRENT,
        id: ID,
        images: u16::try_from(images.len()).unwrap(),
        layers: u16::try_from(layers.len()).unwrap(),
        entries: count,
        contents: count,
        packs: u32::from(len > 0),
        pack_len: 1 << 20,
        content_bytes: len.into(),
        wire_bytes: 4711,
        exact: true,
    };
    let mut body = Vec::new();
    let mut buffer = vec![0; 4096];
    frame(&mut body, FrameKind::Plan, encode(&plan, &mut buffer).unwrap());
    if !measure {
        frame(&mut body, FrameKind::Metadata, &metadata(images, layers));
        if len > 0 {
            let encoded = deflated(text.as_bytes());
            let encoded_len = u32::try_from(encoded.len()).unwrap();
            let pack = Pack { number: 0, codec: Codec::Deflate, len, encoded_len };
            frame(&mut body, FrameKind::Pack, encode(&pack, &mut buffer).unwrap());
            frame(&mut body, FrameKind::PackData, &encoded);
        }
    }
    let complete = Complete { plan: ID, trees: heapless::Vec::new() };
    frame(&mut body, FrameKind::Complete, encode(&complete, &mut buffer).unwrap());
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {MEDIA_TYPE}\r\n");
    [format!("{head}content-length: {}\r\n\r\n", body.len()).into_bytes(), body].concat()
}

fn frame(body: &mut Vec<u8>, kind: FrameKind, payload: &[u8]) {
    let mut bytes = vec![0; payload.len() + 8];
    write(&mut &mut bytes[..], kind, payload).unwrap();
    body.extend(bytes);
}

/// Reads a request; gives its body.
fn request(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let len = stream.read(&mut piece).unwrap();
        assert!(len > 0, "the request is cut off");
        bytes.extend(&piece[..len]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap();
        let length: usize = length.trim().parse().unwrap();
        if bytes.len() >= end + 4 + length {
            return bytes[end + 4..].to_vec();
        }
    }
}

/// A server that gives this answer once: its address, and what it was asked, at its end.
pub fn serve(answer: Vec<u8>) -> (String, JoinHandle<Vec<u8>>) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let asked = request(&mut stream);
        let _ = stream.write_all(&answer);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
        asked
    });
    (url, serving)
}
