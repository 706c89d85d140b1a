//! The vectors of `SPEC.md`, in both directions: what this crate writes is what the document says,
//! and what the document says is read back as the same message.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails says where")]

use skiff_protocol::frame::{self, Kind as FrameKind};
use skiff_protocol::record::{
    Base, Blob, Content, Entry, Image, Kind, Layer, Metadata, Parent, Record, Role, Source,
    Splitter, Xattrs,
};
use skiff_protocol::request::{
    Codecs, DeployRequest, Held, Hydration, Part, Platform, Purpose, Want,
};
use skiff_protocol::response::{
    Codec, Complete, Failure, FailureCode, Notice, Pack, Phase, Plan, Progress, Signature, decode,
    encode,
};
use skiff_protocol::script::{Operation, Script, Step};
use skiff_protocol::signed::{self, KeyId};
use skiff_protocol::trace::{TraceEntries, TraceEntry, TraceHead, TraceRecord, TracedImage};
use skiff_protocol::{Digest, Error, Ranges, Version};
use std::collections::BTreeMap;
use std::fmt::Debug;

const A: Digest = Digest([0xAA; 32]);
const B: Digest = Digest([0xBB; 32]);

/// The vectors of the document: lines `name: hex`, in which a byte may be repeated as `aa*32`.
fn vectors() -> BTreeMap<&'static str, Vec<u8>> {
    let text = include_str!("../SPEC.md");
    let (_, section) = text.split_once("\n## Test vectors\n").expect("a section of vectors");
    let lines = section.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(": "));
    lines.map(|(name, hex)| (name, bytes(hex))).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in hex.split_whitespace() {
        let (digits, times) = word.split_once('*').unwrap_or((word, "1"));
        for _ in 0..times.parse().expect("a count") {
            let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex");
            bytes.extend((0..digits.len()).step_by(2).map(byte));
        }
    }
    bytes
}

fn shown(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
fn same(name: &str, written: &[u8]) {
    let vectors = vectors();
    let expected =
        vectors.get(name).unwrap_or_else(|| panic!("no vector {name}: {}", shown(written)));
    assert_eq!(shown(written), shown(expected), "{name}");
}

fn message<'a, M>(name: &str, message: &M, again: &'a mut Vec<u8>)
where
    M: serde::Serialize + serde::Deserialize<'a> + PartialEq + Debug,
{
    let mut buffer = [0; 1024];
    again.extend_from_slice(encode(message, &mut buffer).unwrap());
    same(name, again);
    assert_eq!(&decode::<M>(again).unwrap(), message, "{name}");
}

fn record(name: &str, record: Record<'_>) {
    let mut buffer = [0; 1024];
    let written = record.encode(&mut buffer).unwrap();
    same(name, written);
    assert_eq!(Splitter::new().next(&mut &*written).unwrap(), Some(record), "{name}");
}

fn request(part: Part) -> DeployRequest<'static> {
    DeployRequest {
        version: Version { major: 1, minor: 0 },
        agent: "skiff/0.1.0",
        platform: Platform { os: "linux", architecture: "arm", variant: "v7" },
        codecs: Codecs::DEFLATE,
        want: Want::Images(heapless::Vec::from_slice(&["nginx:new"]).unwrap()),
        held: heapless::Vec::from_slice(&[Held { reference: "nginx:old", manifest: A, depth: 2 }])
            .unwrap(),
        purpose: Purpose::Deliver,
        max_bytes: Some(300),
        part,
        hydration: Hydration::default(),
        digests: &[],
    }
}

#[test]
fn requests() {
    let mut contents = Ranges::new();
    for number in [1, 2, 3, 200] {
        contents.insert(number);
    }
    for (name, part) in [
        ("request", Part::Whole),
        ("request-resume", Part::Resume { plan: B, have: contents.clone() }),
        ("request-repair", Part::Repair { plan: B, contents: contents.clone() }),
        ("request-rest", Part::Rest { plan: B, have: contents }),
        ("request-metadata", Part::Metadata),
    ] {
        let request = request(part);
        let mut buffer = [0; 1024];
        let written = request.encode(&mut buffer).unwrap();
        same(name, written);
        assert_eq!(DeployRequest::decode(written).unwrap(), request, "{name}");
        assert_eq!(DeployRequest::version(written), Ok(Version { major: 1, minor: 0 }));
    }
}

#[test]
fn a_device_that_decodes_zstd() {
    let mut request = request(Part::Whole);
    request.version.minor = 5;
    request.codecs = Codecs::DEFLATE.and(Codecs::ZSTD);
    let mut buffer = [0; 1024];
    let written = request.encode(&mut buffer).unwrap();
    same("request-zstd", written);
    let again = DeployRequest::decode(written).unwrap();
    assert_eq!(again, request);
    assert!(again.codecs.contains(Codecs::ZSTD) && again.codecs.contains(Codecs::DEFLATE));
}

#[test]
fn contents_by_digest() {
    let digests = [A.0, B.0].concat();
    let mut request = request(Part::Contents);
    request.version.minor = 3;
    request.digests = &digests;
    let mut buffer = [0; 1024];
    let written = request.encode(&mut buffer).unwrap();
    same("request-contents", written);
    assert_eq!(DeployRequest::decode(written).unwrap(), request);
}

#[test]
fn an_application_with_a_base() {
    let base = Held { reference: "", manifest: B, depth: 1 };
    let mut request = request(Part::Whole);
    request.version.minor = 1;
    request.want = Want::Application("shop");
    request.held.push(base).unwrap();
    let mut buffer = [0; 1024];
    let written = request.encode(&mut buffer).unwrap();
    same("request-application", written);
    assert_eq!(DeployRequest::decode(written).unwrap(), request);
}

#[test]
fn a_device_that_hydrates() {
    let mut contents = Ranges::new();
    contents.insert(9);
    for (name, part, urgent) in [
        ("request-cold", Part::Whole, false),
        ("request-urgent", Part::Repair { plan: B, contents }, true),
    ] {
        let mut request = request(part);
        request.version.minor = 2;
        request.hydration =
            Hydration { deployment: [0xCC; 16], cold_files: 300, urgent, class: "pi-4.2_a" };
        let mut buffer = [0; 1024];
        let written = request.encode(&mut buffer).unwrap();
        same(name, written);
        assert_eq!(DeployRequest::decode(written).unwrap(), request, "{name}");
        let later = [written, b"what a later minor version adds"].concat();
        assert_eq!(DeployRequest::decode(&later).unwrap(), request, "{name}");
        let cut = DeployRequest::decode(&written[..written.len() - 1]);
        assert_eq!(cut, Err(Error::Malformed), "{name}");
    }
}

#[test]
fn requests_of_earlier_versions_have_no_hydration() {
    for name in ["request", "request-resume", "request-repair", "request-application"] {
        let request = &vectors()[name];
        for bytes in [&**request, &[request, &[0xFF; 40][..]].concat()] {
            let hydration = DeployRequest::decode(bytes).unwrap().hydration;
            assert_eq!(hydration, Hydration::default(), "{name}");
        }
    }
}

#[test]
fn traces() {
    let head = TraceHead {
        version: Version { major: 1, minor: 2 },
        agent: "skiff/0.1.0",
        platform: Platform { os: "linux", architecture: "arm", variant: "v7" },
        application: "shop",
        class: "pi",
        images: heapless::Vec::from_slice(&[TracedImage { reference: "nginx:new", manifest: A }])
            .unwrap(),
    };
    let mut entries = TraceEntries::new();
    let mut buffer = [0; 1024];
    let mut report = Vec::new();
    let written = TraceRecord::Head(head.clone()).encode(&mut buffer).unwrap();
    same("trace-head", written);
    report.extend_from_slice(written);
    let files =
        [("trace-first", 7, &b"usr/sbin/nginx"[..]), ("trace-next", 300, b"usr/lib/libc.so.6")];
    for (name, millis, path) in files {
        let written = entries.encode(0, millis, path, &mut buffer).unwrap();
        same(name, written);
        report.extend_from_slice(written);
    }
    let written = TraceRecord::End.encode(&mut buffer).unwrap();
    same("trace-end", written);
    report.extend_from_slice(written);

    let (mut rest, mut paths) = (&*report, TraceEntries::new());
    assert_eq!(TraceRecord::take(&mut rest).unwrap(), TraceRecord::Head(head));
    for (name, millis, path) in files {
        let TraceRecord::Entry(entry) = TraceRecord::take(&mut rest).unwrap() else {
            panic!("{name} is an entry");
        };
        assert_eq!((entry.image, entry.millis, paths.path(&entry).unwrap()), (0, millis, path));
    }
    assert_eq!(TraceRecord::take(&mut rest).unwrap(), TraceRecord::End);
    assert_eq!(TraceRecord::take(&mut rest), Err(Error::Truncated));
}

#[test]
fn a_trace_entry_may_grow_and_its_path_is_checked() {
    let mut paths = TraceEntries::new();
    assert_eq!(paths.encode(0, 0, b"/etc", &mut [0; 64]), Err(Error::BadPath));
    let climbing = TraceEntry { image: 0, millis: 0, prefix: 0, suffix: b"../etc" };
    assert_eq!(paths.path(&climbing), Err(Error::BadPath));
    let beyond = TraceEntry { image: 0, millis: 0, prefix: 99, suffix: b"etc" };
    assert_eq!(TraceEntries::new().path(&beyond), Err(Error::BadPath));
    let later = b"\x03\x00\x02ab";
    assert_eq!(TraceRecord::take(&mut &later[..]), Ok(TraceRecord::End));
    assert_eq!(TraceRecord::take(&mut &b"\x00\x00"[..]), Err(Error::BadRecordLength));
    assert_eq!(TraceRecord::take(&mut &b"\x01\x00\x63"[..]), Err(Error::Malformed));
}

#[test]
fn responses() {
    let plan = Plan {
        version: Version { major: 1, minor: 0 },
        id: B,
        images: 1,
        layers: 1,
        entries: 300,
        contents: 200,
        packs: 12,
        pack_len: 1 << 20,
        content_bytes: 12_000_000,
        wire_bytes: 5_000_000,
        exact: false,
    };
    message("plan", &plan, &mut Vec::new());
    let progress = Progress { phase: Phase::Ingest, done: 1000, total: 2000 };
    message("progress", &progress, &mut Vec::new());
    message("notice", &Notice::HeldUnknown(3), &mut Vec::new());
    let pack = Pack { number: 7, codec: Codec::Deflate, len: 1 << 20, encoded_len: 400_000 };
    message("pack", &pack, &mut Vec::new());
    let pack = Pack { codec: Codec::Zstd, encoded_len: 350_000, ..pack };
    message("pack-zstd", &pack, &mut Vec::new());
    let complete = Complete { plan: B, trees: heapless::Vec::from_slice(&[A]).unwrap() };
    message("complete", &complete, &mut Vec::new());
    let failure = Failure { code: FailureCode::NotFound, message: "no such tag" };
    message("failure", &failure, &mut Vec::new());
    let denied = Failure { code: FailureCode::Denied, message: "not for you" };
    message("failure-denied", &denied, &mut Vec::new());
    let signature = Signature { key: KeyId::of(&A), signature: [A.0, B.0] };
    message("signature", &signature, &mut Vec::new());
    same("signed", &signed::message(&A, &B));
}

#[test]
fn records() {
    record("image", Record::Image(Image { reference: "nginx:new", target: A, layer: Some(0) }));
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let blob = Blob { role: Role::Manifest, digest: A, size: 1234, media_type };
    record("blob", Record::Blob(blob));
    record("blob-data", Record::BlobData(b"{}"));
    let content = |source| Record::Content(Content { size: 70_000, sha256: B, source });
    record("content-pack", content(Source::Pack));
    record("content-held", content(Source::Held { image: 0, path: b"usr/bin/env" }));
    record("layer", Record::Layer(Layer { parent: Parent::Held(0), entries: 300 }));
    record("layer-base", Record::Layer(Layer { parent: Parent::None, entries: 300 }));
    record("layer-on-base", Record::Layer(Layer { parent: Parent::Layer(1), entries: 300 }));
    record("base", Record::Base(Base { tree: A }));
    let meta = Metadata {
        mode: 0o4755,
        uid: 0,
        gid: 1000,
        mtime: -1,
        mtime_nanos: 999_999_999,
        xattrs: Xattrs(b"\x06\x00\x01\x00user.a1"),
    };
    for (name, kind) in [
        ("entry-directory", Kind::Directory { opaque: true }),
        ("entry-empty-file", Kind::EmptyFile),
        ("entry-file", Kind::File { content: 300 }),
        ("entry-symlink", Kind::Symlink { target: b"../x" }),
        ("entry-hard-link", Kind::HardLink { first: b"usr/bin/perl" }),
        ("entry-char-device", Kind::CharDevice { major: 5, minor: 1 }),
        ("entry-block-device", Kind::BlockDevice { major: 8, minor: 0 }),
        ("entry-fifo", Kind::Fifo),
        ("entry-whiteout", Kind::Whiteout),
    ] {
        record(name, Record::Entry(Entry { prefix: 4, suffix: b"bin/x", kind, meta }));
    }
    record("end", Record::End);
}

#[test]
fn frames() {
    for (name, kind, payload) in [
        ("frame-empty", FrameKind::HotComplete, &b""[..]),
        ("frame-metadata", FrameKind::Metadata, b"123456789"),
    ] {
        let mut buffer = [0; 64];
        let mut rest = &mut buffer[..];
        frame::write(&mut rest, kind, payload).unwrap();
        let used = 64 - rest.len();
        same(name, &buffer[..used]);
        let mut again = frame::Buffer::new();
        let read = frame::read_blocking(&mut &buffer[..used], &mut again).unwrap();
        assert_eq!((read.kind, read.payload), (kind, payload), "{name}");
    }
}

#[test]
fn scripts() {
    let operations = [
        Operation::BaseHeld { image: 1, path: b"usr/bin/x" },
        Operation::Copy(300),
        Operation::Add(&[0, 0, 0x10, 0xFF]),
        Operation::SeekForward(70_000),
        Operation::Copy(2),
        Operation::SeekBack(70_300),
        Operation::Copy(1),
        Operation::BaseContent(200),
        Operation::SeekForward(1),
        Operation::Copy(9),
        Operation::Insert(b"skiff"),
    ];
    let mut written = Vec::new();
    for operation in operations {
        operation.write(|bytes| written.extend_from_slice(bytes));
    }
    same("script", &written);
    let steps = [
        Step::BaseHeld { image: 1, path: b"usr/bin/x" },
        Step::Copy { at: 0, len: 300 },
        Step::Add { at: 300, bytes: &[0, 0, 0x10, 0xFF] },
        Step::Copy { at: 70_304, len: 2 },
        Step::Copy { at: 6, len: 1 },
        Step::BaseContent { content: 200 },
        Step::Copy { at: 1, len: 9 },
        Step::Insert(b"skiff"),
    ];
    let (mut script, mut input) = (Script::new(321), &written[..]);
    for step in steps {
        assert_eq!(script.next(&mut input), Ok(Some(step)));
    }
    assert_eq!(script.next(&mut input), Ok(None));
    assert!(script.is_complete());
}

#[test]
fn the_document_has_no_vector_that_is_not_tested() {
    let source = include_str!("vectors.rs");
    for name in vectors().keys() {
        assert!(source.contains(&format!("\"{name}\"")), "{name}");
    }
}
