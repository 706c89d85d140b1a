//! Answers as an accelerator gives them, in three parts that can be damaged one by one: the records of the table of
//! contents, the bytes of the packs, the frames.

use crate::chance::Chance;
use sha2::{Digest as _, Sha256};
use skiff_accelerator::packs::deflate;
use skiff_protocol::frame::{HEADER_LEN, Header, Kind as FrameKind, MAGIC};
use skiff_protocol::limits::MAX_PAYLOAD;
use skiff_protocol::record::{
    Blob, Content, Entry, Image, Kind, Layer, Metadata, Parent, Record, Role, Source, Splitter,
    Xattrs,
};
use skiff_protocol::response::{Codec, Complete, Pack, Plan, Signature, encode};
use skiff_protocol::signed::KeyId;
use skiff_protocol::{Digest, Version};

/// What is asked for, always.
pub const REFERENCE: &str = "evil:1";

const ID: Digest = Digest([7; 32]);

/// A key that has signed nothing; its answers say that it has.
pub const TREE_KEY: [u8; 32] = [3; 32];

/// A digest.
pub fn sha256(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// Adds a frame, if the payload is not too long for one.
pub fn frame(body: &mut Vec<u8>, kind: FrameKind, payload: &[u8]) {
    if let Ok(header) = Header::new(kind, payload) {
        body.extend(header.to_bytes());
        body.extend(payload);
    }
}

/// Records of an image, and the content bytes that belong to them. Some paths, targets and attributes are such as
/// nobody should take.
pub fn contents(chance: &mut Chance) -> (Vec<u8>, Vec<u8>) {
    let mut records = Records::default();
    records.image();
    let mut plain = Vec::new();
    let count = chance.below(5);
    for _ in 0..count {
        let most = *chance.pick(&[1, 30, 600, 9000]);
        let len = 1 + chance.below(most);
        let bytes = chance.bytes(len);
        records.add(Record::Content(Content {
            size: len as u64,
            sha256: sha256(&bytes),
            source: Source::Pack,
        }));
        plain.extend(bytes);
    }
    let entries = entries(chance, count);
    let announced = u32::try_from(entries.len()).unwrap_or(0);
    records.add(Record::Layer(Layer { parent: Parent::None, entries: announced }));
    let mut before: &[u8] = &[];
    for (path, what) in &entries {
        records.entry(before, path, what);
        before = path;
    }
    records.add(Record::End);
    (records.bytes, plain)
}

#[derive(Debug)]
enum What {
    Directory(bool),
    Empty,
    File(u32),
    Symlink(&'static [u8]),
    HardLink(Vec<u8>),
    Device(bool, u32, u32),
    Fifo,
    Whiteout,
}

/// Targets of links, most of them outside.
const TARGETS: [&[u8]; 6] =
    [b"file", b"..", b"../../../outside", b"/", b"/proc/self/cwd", b"../../../../outside/canary"];

/// Names that should lead nowhere.
const HOSTILE: [&[u8]; 6] =
    [b"..", b".", b"../../../outside/x", b"/outside", b"a/../../../../outside/y", b""];

fn entries(chance: &mut Chance, contents: usize) -> Vec<(Vec<u8>, What)> {
    let mut made: Vec<(Vec<u8>, What)> = Vec::new();
    let mut directories: Vec<Vec<u8>> = vec![Vec::new()];
    for number in 0..chance.below(12) {
        let mut path = chance.pick(&directories).clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        if chance.one_in(24) {
            path.extend_from_slice(chance.pick::<&[u8]>(&HOSTILE));
        } else {
            let name = *chance.pick(&["a", "b", "é"]);
            path.extend_from_slice(format!("{name}{number}").as_bytes());
        }
        let what = match chance.below(11) {
            0 | 1 => What::Directory(chance.one_in(3)),
            2 => What::Empty,
            3 | 4 if contents > 0 => What::File(u32::try_from(chance.below(contents)).unwrap_or(0)),
            5 => What::Symlink(chance.pick::<&[u8]>(&TARGETS)),
            6 => match made.iter().find(|(_, what)| matches!(what, What::File(_) | What::Empty)) {
                Some((first, _)) => What::HardLink(first.clone()),
                None => What::Fifo,
            },
            7 => What::Device(chance.one_in(2), u32::from(chance.byte()), 3),
            8 => What::Fifo,
            9 => What::Whiteout,
            _ => What::Empty,
        };
        // A link may be taken for a directory later on, which nobody should follow.
        if matches!(what, What::Directory(_)) || chance.one_in(20) {
            directories.push(path.clone());
        }
        made.push((path, what));
    }
    // Contents that no file has are an error, so most are given one.
    for content in 0..contents {
        let path = format!("z{content}").into_bytes();
        made.push((path, What::File(u32::try_from(content).unwrap_or(0))));
    }
    made
}

/// Records, encoded one behind the other.
#[derive(Debug, Default)]
struct Records {
    bytes: Vec<u8>,
}

impl Records {
    fn add(&mut self, record: Record<'_>) {
        let mut buffer = vec![0; 70_000];
        self.bytes.extend_from_slice(record.encode(&mut buffer).unwrap_or_default());
    }

    fn image(&mut self) {
        let diff_id = sha256(b"layer");
        let config = format!(r#"{{"rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#);
        let named = sha256(config.as_bytes());
        let manifest = format!(r#"{{"config":{{"digest":"{named}"}},"layers":[{{}}]}}"#);
        let target = sha256(manifest.as_bytes());
        self.add(Record::Image(Image { reference: REFERENCE, target, layer: Some(0) }));
        for (role, text) in [(Role::Manifest, &manifest), (Role::Config, &config)] {
            self.add(Record::Blob(Blob {
                role,
                digest: sha256(text.as_bytes()),
                size: u32::try_from(text.len()).unwrap_or(0),
                media_type: "application/json",
            }));
            self.add(Record::BlobData(text.as_bytes()));
        }
    }

    fn entry(&mut self, before: &[u8], path: &[u8], what: &What) {
        let shared = skiff_protocol::path::shared_prefix(before, path);
        let kind = match what {
            What::Directory(opaque) => Kind::Directory { opaque: *opaque },
            What::Empty => Kind::EmptyFile,
            What::File(content) => Kind::File { content: *content },
            What::Symlink(target) => Kind::Symlink { target },
            What::HardLink(first) => Kind::HardLink { first },
            What::Device(true, major, minor) => Kind::CharDevice { major: *major, minor: *minor },
            What::Device(false, major, minor) => Kind::BlockDevice { major: *major, minor: *minor },
            What::Fifo => Kind::Fifo,
            What::Whiteout => Kind::Whiteout,
        };
        let mut meta = Metadata { mode: 0o640, mtime: 1_700_000_000, ..Metadata::default() };
        if path.len().is_multiple_of(3) && !matches!(what, What::Whiteout | What::HardLink(_)) {
            meta.xattrs = Xattrs(b"\x0d\x00\x01\x00security.testy");
        }
        let prefix = u16::try_from(shared).unwrap_or(0);
        self.add(Record::Entry(Entry { prefix, suffix: &path[shared..], kind, meta }));
    }
}

/// What a plan has to say of records.
#[derive(Debug, Default)]
struct Counts {
    images: u16,
    layers: u16,
    entries: u32,
    contents: u32,
    space: u64,
}

fn count(mut records: &[u8]) -> Counts {
    let mut counts = Counts::default();
    let mut splitter = Box::new(Splitter::new());
    while let Ok(Some(record)) = splitter.next(&mut records) {
        match record {
            Record::Image(_) => counts.images = counts.images.wrapping_add(1),
            Record::Layer(_) => counts.layers = counts.layers.wrapping_add(1),
            Record::Entry(_) => counts.entries += 1,
            Record::Content(content) => {
                counts.contents += 1;
                if content.source == Source::Pack {
                    counts.space = counts.space.wrapping_add(content.size);
                }
            }
            _ => {}
        }
    }
    counts
}

/// The body of an answer that says these records and sends these bytes in packs of `pack_len`, whatever they are.
/// The plan agrees with the records.
pub fn body(records: &[u8], plain: &[u8], pack_len: u32) -> Vec<u8> {
    let counts = count(records);
    let packs = plain.chunks(pack_len as usize);
    let plan = Plan {
        version: Version::CURRENT,
        id: ID,
        images: counts.images,
        layers: counts.layers,
        entries: counts.entries,
        contents: counts.contents,
        packs: u32::try_from(packs.len()).unwrap_or(0),
        pack_len,
        content_bytes: counts.space,
        wire_bytes: 0,
        exact: false,
    };
    let mut body = Vec::new();
    let mut buffer = vec![0; 1024];
    frame(&mut body, FrameKind::Plan, encode(&plan, &mut buffer).unwrap_or_default());
    stream(&mut body, FrameKind::Metadata, records);
    let signature =
        Signature { key: KeyId::of(&sha256(&TREE_KEY)), signature: [sha256(records).0, ID.0] };
    frame(&mut body, FrameKind::Signature, encode(&signature, &mut buffer).unwrap_or_default());
    for (number, bytes) in (0..).zip(packs) {
        let encoded = deflate::encode(bytes, 1);
        let encoded = encoded.as_deref().unwrap_or_default();
        let (len, encoded_len) = (bytes.len(), encoded.len());
        let pack = Pack {
            number,
            codec: Codec::Deflate,
            len: u32::try_from(len).unwrap_or(0),
            encoded_len: u32::try_from(encoded_len).unwrap_or(0),
        };
        frame(&mut body, FrameKind::Pack, encode(&pack, &mut buffer).unwrap_or_default());
        for piece in encoded.chunks(MAX_PAYLOAD) {
            frame(&mut body, FrameKind::PackData, piece);
        }
    }
    let complete = Complete { plan: ID, trees: heapless::Vec::new() };
    frame(&mut body, FrameKind::Complete, encode(&complete, &mut buffer).unwrap_or_default());
    body
}

fn stream(body: &mut Vec<u8>, kind: FrameKind, bytes: &[u8]) {
    let encoded = deflate::encode(bytes, 1);
    for piece in encoded.as_deref().unwrap_or_default().chunks(MAX_PAYLOAD) {
        frame(body, kind, piece);
    }
}

/// Puts the checksums of frames right, as far as there are frames, so that what was damaged in them is looked at.
pub fn mend(body: &mut [u8]) {
    let mut rest = body;
    while let Some((head, behind)) = rest.split_first_chunk_mut::<HEADER_LEN>() {
        head[0] = MAGIC;
        let Ok(header) = Header::parse(*head) else { return };
        let Some((payload, next)) = behind.split_at_mut_checked(header.len.into()) else { return };
        if let Ok(header) = Header::new(header.kind, payload) {
            *head = header.to_bytes();
        }
        rest = next;
    }
}
