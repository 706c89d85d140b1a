//! An accelerator that lies: the agent refuses, writes nothing outside, and leaves nothing behind.
//! And servers that are no accelerator at all, with each trap of the HTTP library below.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "hostile/zstd.rs"]
mod zstd;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use sha2::{Digest as _, Sha256};
use skiff_protocol::frame::{Kind as FrameKind, write};
use skiff_protocol::record::{
    Blob, Content, Entry, Image, Kind, Layer, Metadata, Parent, Record, Role, Source, Xattrs,
};
use skiff_protocol::response::{Codec, Complete, Pack, Plan, encode};
use skiff_protocol::{Digest, MEDIA_TYPE, Version};
use skiff_tests::harness::{Outcome, Sandbox, Skiff};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::path::Path;

const REFERENCE: &str = "evil:1";
const ID: Digest = Digest([7; 32]);

fn sha256(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An answer, honest unless a field says otherwise.
struct Answer {
    entries: Vec<Entry<'static>>,
    /// What the content is said to be, and what its pack holds.
    announced: Vec<u8>,
    sent: Vec<u8>,
    /// The pack's codec and its encoded bytes, if they are not `sent` in deflate.
    encoded: Option<(Codec, Vec<u8>)>,
    /// Bytes that the pack's head announces.
    pack_len: Option<u32>,
    config: Option<Digest>,
    target: Option<Digest>,
    complete: bool,
    /// Entries and contents that the plan announces.
    counts: Option<(u32, u32)>,
    /// Payloads of frames behind the metadata.
    signatures: Vec<Vec<u8>>,
}

fn entry(path: &'static [u8], kind: Kind<'static>) -> Entry<'static> {
    let meta = Metadata { mode: 0o644, ..Metadata::default() };
    Entry { prefix: 0, suffix: path, kind, meta }
}

const FILE: Kind<'static> = Kind::File { content: 0 };

impl Answer {
    fn honest() -> Self {
        Self {
            entries: vec![entry(b"file", FILE)],
            announced: b"content".to_vec(),
            sent: b"content".to_vec(),
            encoded: None,
            pack_len: None,
            config: None,
            target: None,
            complete: true,
            counts: None,
            signatures: Vec::new(),
        }
    }

    fn with(entries: Vec<Entry<'static>>) -> Self {
        Self { entries, ..Self::honest() }
    }

    fn metadata(&self) -> Vec<u8> {
        let diff_id = sha256(b"layer");
        let config = format!(r#"{{"rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#);
        let named = self.config.unwrap_or_else(|| sha256(config.as_bytes()));
        let manifest = format!(r#"{{"config":{{"digest":"{named}"}},"layers":[{{}}]}}"#);
        let target = self.target.unwrap_or_else(|| sha256(manifest.as_bytes()));
        let mut records =
            vec![Record::Image(Image { reference: REFERENCE, target, layer: Some(0) })];
        for (role, text) in [(Role::Manifest, &manifest), (Role::Config, &config)] {
            records.push(Record::Blob(Blob {
                role,
                digest: sha256(text.as_bytes()),
                size: u32::try_from(text.len()).unwrap(),
                media_type: "application/json",
            }));
            records.push(Record::BlobData(text.as_bytes()));
        }
        records.push(Record::Content(Content {
            size: self.announced.len() as u64,
            sha256: sha256(&self.announced),
            source: Source::Pack,
        }));
        let entries = u32::try_from(self.entries.len()).unwrap();
        records.push(Record::Layer(Layer { parent: Parent::None, entries }));
        records.extend(self.entries.iter().map(|entry| Record::Entry(*entry)));
        records.push(Record::End);
        let mut buffer = vec![0; 70_000];
        let encoded = records.iter().flat_map(|r| r.encode(&mut buffer).unwrap().to_vec());
        deflated(&encoded.collect::<Vec<u8>>())
    }

    /// The body of the answer.
    fn body(&self) -> Vec<u8> {
        let len = u32::try_from(self.announced.len()).unwrap();
        let entries = u32::try_from(self.entries.len()).unwrap();
        let (entries, contents) = self.counts.unwrap_or((entries, 1));
        let plan = Plan {
            version: Version::CURRENT,
            id: ID,
            images: 1,
            layers: 1,
            entries,
            contents,
            packs: 1,
            pack_len: 1 << 20,
            content_bytes: len.into(),
            wire_bytes: 0,
            exact: false,
        };
        let deflate = || (Codec::Deflate, deflated(&self.sent));
        let (codec, encoded) = self.encoded.clone().unwrap_or_else(deflate);
        let pack = Pack {
            number: 0,
            codec,
            len: self.pack_len.unwrap_or(len),
            encoded_len: u32::try_from(encoded.len()).unwrap(),
        };
        let complete = Complete { plan: ID, trees: heapless::Vec::new() };
        let mut body = Vec::new();
        let mut buffer = vec![0; 1024];
        frame(&mut body, FrameKind::Plan, encode(&plan, &mut buffer).unwrap());
        for piece in self.metadata().chunks(30_000) {
            frame(&mut body, FrameKind::Metadata, piece);
        }
        for signature in &self.signatures {
            frame(&mut body, FrameKind::Signature, signature);
        }
        frame(&mut body, FrameKind::Pack, encode(&pack, &mut buffer).unwrap());
        frame(&mut body, FrameKind::PackData, &encoded);
        if self.complete {
            frame(&mut body, FrameKind::Complete, encode(&complete, &mut buffer).unwrap());
        }
        body
    }

    fn http(&self) -> Vec<u8> {
        let body = self.body();
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {MEDIA_TYPE}\r\n");
        [format!("{head}content-length: {length}\r\n\r\n").into_bytes(), body].concat()
    }
}

fn frame(body: &mut Vec<u8>, kind: FrameKind, payload: &[u8]) {
    let mut bytes = vec![0; payload.len() + 8];
    write(&mut &mut bytes[..], kind, payload).unwrap();
    body.extend(bytes);
}

/// Pulls from a server that answers with these bytes, whatever it is asked, and hangs up.
fn pull(sandbox: &Sandbox, answer: Vec<u8>) -> (Outcome, std::path::PathBuf) {
    pull_with(sandbox, answer, &[])
}

/// The same with more options.
fn pull_with(
    sandbox: &Sandbox,
    answer: Vec<u8>,
    options: &[&str],
) -> (Outcome, std::path::PathBuf) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let _ = stream.read(&mut [0; 64 * 1024]);
        let _ = stream.write_all(&answer);
        // To close with a part of the request unread would be a reset, which may overtake the answer.
        let _ = stream.shutdown(Shutdown::Write);
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let root = sandbox.directory("device").join("root");
    let arguments = ["pull", "--json", "--tries=1", "--accelerator", &url, REFERENCE];
    let outcome = Skiff::root(sandbox, &root).run(&[&arguments, options].concat());
    (outcome, root)
}

/// Nothing is left of a refused pull: no image, no snapshot, no scratch files.
fn check_clean(sandbox: &Sandbox, row: &str, root: &Path) {
    let skiff = Skiff::root(sandbox, root);
    for arguments in [&["ls", "--json"][..], &["status", "--json"]] {
        let outcome = skiff.run(arguments).ok(row);
        assert_eq!(outcome.stdout, "", "{row}: {arguments:?}");
    }
    let snapshots = std::fs::read_dir(root.join("snapshots")).unwrap().count();
    assert_eq!(snapshots, 0, "{row}: snapshots are left");
    let device = root.parent().unwrap();
    let beside: Vec<_> =
        std::fs::read_dir(device).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(beside, ["root"], "{row}: something was written outside");
    std::fs::remove_dir_all(root).unwrap();
}

fn refused(sandbox: &Sandbox, row: &str, answer: Vec<u8>, codes: &[i32], said: &str) {
    let (outcome, root) = pull(sandbox, answer);
    assert!(codes.contains(&outcome.code), "{row}: {}: {}", outcome.code, outcome.stderr);
    assert_eq!(outcome.stderr.lines().count(), 1, "{row}: {}", outcome.stderr);
    assert!(outcome.stderr.contains(said), "{row}: {}", outcome.stderr);
    check_clean(sandbox, row, &root);
}

#[test]
fn an_honest_answer_is_taken() {
    let sandbox = Sandbox::new();
    let (outcome, root) = pull(&sandbox, Answer::honest().http());
    outcome.ok("honest");
    let file = std::fs::read(root.join("snapshots/1/fs/file")).unwrap();
    assert_eq!(file, b"content");
    // Cut off behind the last content: its digest says that all is there.
    std::fs::remove_dir_all(&root).unwrap();
    let (outcome, root) = pull(&sandbox, Answer { complete: false, ..Answer::honest() }.http());
    outcome.ok("without an end");
    assert_eq!(std::fs::read(root.join("snapshots/1/fs/file")).unwrap(), b"content");
}

#[test]
fn an_accelerator_that_lies() {
    let sandbox = Sandbox::new();
    let directory = Kind::Directory { opaque: false };
    let outside = || Kind::Symlink { target: b"../../../.." };
    let trusted = || {
        let mut entry = entry(b"dir", directory);
        entry.meta.xattrs = Xattrs(b"\x18\x00\x01\x00trusted.overlay.redirectx");
        entry
    };
    let rows: Vec<(&str, Answer, i32, &str)> = vec![
        ("..", Answer::with(vec![entry(b"../x", FILE)]), 6, "path"),
        ("absolute", Answer::with(vec![entry(b"/x", FILE)]), 6, "path"),
        ("inner ..", Answer::with(vec![entry(b"d/../../x", FILE)]), 6, "path"),
        ("planted link", Answer::with(vec![entry(b"l", outside()), entry(b"l/x", FILE)]), 1, "l/x"),
        (
            "planted link, directory below",
            Answer::with(vec![entry(b"l", outside()), entry(b"l/x", directory)]),
            1,
            "l/x",
        ),
        (
            "link to outside",
            Answer::with(vec![
                entry(b"file", FILE),
                entry(b"x", Kind::HardLink { first: b"../key" }),
            ]),
            6,
            "link target",
        ),
        (
            "link through a planted link",
            Answer::with(vec![
                entry(b"file", FILE),
                entry(b"l", outside()),
                entry(b"x", Kind::HardLink { first: b"l/root" }),
            ]),
            1,
            "l/root",
        ),
        ("twice", Answer::with(vec![entry(b"file", directory), entry(b"file", FILE)]), 1, "file"),
        (
            "whiteout as a device",
            Answer::with(vec![
                entry(b"file", FILE),
                entry(b"w", Kind::CharDevice { major: 0, minor: 0 }),
            ]),
            6,
            "whiteout",
        ),
        (
            "overlayfs attribute",
            Answer::with(vec![trusted(), entry(b"file", FILE)]),
            6,
            "attribute",
        ),
        (
            "no such content",
            Answer::with(vec![entry(b"f", Kind::File { content: 1 })]),
            6,
            "content",
        ),
        (
            "more bytes than announced",
            Answer { sent: b"content and more".to_vec(), ..Answer::honest() },
            6,
            "more than announced",
        ),
        (
            "fewer bytes than announced",
            Answer { sent: b"cont".to_vec(), ..Answer::honest() },
            6,
            "less than announced",
        ),
        ("other bytes", Answer { sent: b"CONTENT".to_vec(), ..Answer::honest() }, 6, "damaged"),
        ("a pack too long", Answer { pack_len: Some(99), ..Answer::honest() }, 6, "wrong length"),
        ("another config", Answer { config: Some(ID), ..Answer::honest() }, 6, "another config"),
        ("another manifest", Answer { target: Some(ID), ..Answer::honest() }, 6, "refused"),
    ];
    for (row, answer, code, said) in rows {
        refused(&sandbox, row, answer.http(), &[code], said);
    }
}

#[test]
fn no_accelerator_at_all() {
    let sandbox = Sandbox::new();
    let body = Answer::honest().body();
    let kind = format!("content-type: {MEDIA_TYPE}\r\n");
    let with = |head: String, body: &[u8]| [head.into_bytes(), body.to_vec()].concat();
    let rows: Vec<(&str, Vec<u8>, &[i32], &str)> = vec![
        ("hangs up", Vec::new(), &[4], "failed"),
        ("no HTTP", b"220 mail.example ESMTP\r\n".to_vec(), &[4], "failed"),
        ("404", b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(), &[4], "404"),
        ("304", b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec(), &[4], "304"),
        ("1xx", b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec(), &[4], "103"),
        (
            "a web page",
            b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi".to_vec(),
            &[4],
            "media type",
        ),
        (
            "ends with the connection",
            with(format!("HTTP/1.1 200 OK\r\n{kind}\r\n"), &body),
            &[4],
            "length",
        ),
        (
            "truncated",
            with(format!("HTTP/1.1 200 OK\r\n{kind}content-length: 99999\r\n\r\n"), &body[..50]),
            &[6],
            "too early",
        ),
        (
            "truncated chunk",
            with(
                format!("HTTP/1.1 200 OK\r\n{kind}transfer-encoding: chunked\r\n\r\nffff\r\n"),
                &body[..50],
            ),
            // async-h1 says that the chunk is cut off, or just ends the body.
            &[4, 6],
            "accelerator",
        ),
        (
            "a header that is not ASCII",
            with(format!("HTTP/1.1 200 OK\r\n{kind}x-y: \u{e9}\r\ncontent-length: 0\r\n\r\n"), &[]),
            &[4],
            "not ASCII",
        ),
        (
            "a trailer that is not ASCII",
            with(
                format!("HTTP/1.1 200 OK\r\n{kind}transfer-encoding: chunked\r\n\r\n"),
                "0\r\nx-y: \u{e9}\r\n\r\n".as_bytes(),
            ),
            &[4, 6],
            "accelerator",
        ),
        (
            "endless head",
            with(format!("HTTP/1.1 200 OK\r\n{}", "x-y: z\r\n".repeat(100_000)), &[]),
            &[4],
            "8kb",
        ),
        (
            "endless header",
            with(format!("HTTP/1.1 200 OK\r\nx-y: {}", "z".repeat(1_000_000)), &[]),
            &[4],
            "16 KiB",
        ),
    ];
    for (row, answer, codes, said) in rows {
        refused(&sandbox, row, answer, codes, said);
    }
}

#[test]
fn signatures_that_are_none() {
    let sandbox = Sandbox::new();
    let key = [5; 32];
    let id = sha256(&key).0[..8].to_vec();
    let signature = |id: &[u8]| [id, &[1; 64]].concat();
    let (ours, other) = (signature(&id), signature(&[0; 8]));
    let hex = "05".repeat(32);
    for (row, signatures, code, said) in [
        ("none", vec![], 14, "it is not signed"),
        ("other bytes", vec![ours.clone()], 14, "is not right"),
        ("another key's", vec![other.clone()], 14, "none of the keys"),
        ("behind too many", [vec![other.clone(); 4], vec![ours.clone()]].concat(), 14, "none of"),
        ("too short", vec![ours[1..].to_vec()], 6, "does not decode"),
        ("too long", vec![[&ours[..], b"x"].concat()], 6, "does not decode"),
    ] {
        let answer = || Answer { signatures: signatures.clone(), ..Answer::honest() };
        let (outcome, root) = pull_with(&sandbox, answer().http(), &["--tree-key", &hex]);
        assert_eq!(outcome.code, code, "{row}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(said), "{row}: {}", outcome.stderr);
        check_clean(&sandbox, row, &root);
        let (outcome, root) = pull(&sandbox, answer().http());
        outcome.ok("nobody asks for them");
        std::fs::remove_dir_all(root).unwrap();
    }
}

#[test]
fn devices_are_refused_where_they_are_not_wanted() {
    let sandbox = Sandbox::new();
    let device = |kind| Answer::with(vec![entry(b"dev", kind), entry(b"file", FILE)]).http();
    for kind in [Kind::CharDevice { major: 1, minor: 3 }, Kind::BlockDevice { major: 8, minor: 0 }]
    {
        let (outcome, root) = pull_with(&sandbox, device(kind), &["--no-devices"]);
        assert_eq!(outcome.code, 6, "{kind:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("dev is a device"), "{}", outcome.stderr);
        check_clean(&sandbox, "a device", &root);
        let (outcome, root) = pull(&sandbox, device(kind));
        outcome.ok("a device that is wanted");
        std::fs::remove_dir_all(root).unwrap();
    }
    // Whiteouts look like devices, and are none.
    let whiteout = Answer::with(vec![entry(b"file", FILE), entry(b"w", Kind::Whiteout)]).http();
    let (outcome, root) = pull_with(&sandbox, whiteout, &["--no-devices"]);
    outcome.ok("a whiteout");
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn more_than_was_allowed_or_announced() {
    let sandbox = Sandbox::new();
    let body = Answer::honest().body();
    let most = (body.len() / 2).to_string();
    let (outcome, root) = pull_with(&sandbox, Answer::honest().http(), &["--max-bytes", &most]);
    assert_eq!(outcome.code, 6, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("more than --max-bytes"), "{}", outcome.stderr);
    check_clean(&sandbox, "more than was allowed", &root);

    let announced =
        |entries, contents| Answer { counts: Some((entries, contents)), ..Answer::honest() };
    for (row, answer, said) in [
        ("entries", announced(0, 1), "more entries than the plan"),
        ("contents", announced(1, 0), "more contents than the plan"),
        ("very many", announced(4_000_001, 1), "more than 4,000,000"),
    ] {
        refused(&sandbox, row, answer.http(), &[6], said);
    }
}
