//! How many round trips to the registry lie between a plan and its first pack, with nothing in the
//! accelerator's caches: two at most.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_protocol::frame::{HEADER_LEN, Header, Kind};
use skiff_protocol::limits::MAX_REQUEST;
use skiff_protocol::request::{
    Codecs, DeployRequest, Held, Hydration, Part, Platform, Purpose, Want,
};
use skiff_protocol::{DEPLOY_PATH, Digest, MEDIA_TYPE, Version};
use skiff_tests::hard::noise;
use skiff_tests::harness::{Accelerator, Registry, Rounds, Sandbox, images};
use skiff_tests::layout::{Compression, Image, Layer, Layout, architecture};
use skiff_tests::tarball::Entry;
use std::io::{Read, Write};
use std::net::TcpStream;

/// What the accelerator is asked for: an image, by a device that holds that one.
struct Wanted<'a> {
    layout: &'a Layout,
    held: Option<&'a str>,
    tag: &'a str,
}

/// Asks, and reads the answer until its first pack begins.
fn read_to_first_pack(accelerator: &Accelerator, wanted: &Wanted<'_>) {
    let Wanted { layout, held, tag } = wanted;
    let repository = &layout.repository;
    let (want, old) =
        (format!("{repository}:{tag}"), format!("{repository}:{}", held.unwrap_or("")));
    let held = held.map(|tag| {
        let digest = layout.digest_of(tag);
        let hex = digest.strip_prefix("sha256:").unwrap();
        let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
        Held { reference: &old, manifest: Digest(std::array::from_fn(byte)), depth: 1 }
    });
    let request = DeployRequest {
        version: Version::CURRENT,
        agent: "test",
        platform: Platform { os: "linux", architecture: architecture(), variant: "" },
        codecs: Codecs::DEFLATE,
        want: Want::Images([want.as_str()].into_iter().collect()),
        held: held.into_iter().collect(),
        purpose: Purpose::Deliver,
        max_bytes: None,
        part: Part::Whole,
        hydration: Hydration::default(),
        digests: &[],
    };
    let mut buffer = vec![0; MAX_REQUEST];
    let body = request.encode(&mut buffer).unwrap();
    let mut stream = TcpStream::connect(&accelerator.address).unwrap();
    // In HTTP/1.0 a body has no chunks.
    let length = body.len();
    write!(
        stream,
        "POST {DEPLOY_PATH} HTTP/1.0\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {length}\r\n\r\n"
    )
    .unwrap();
    stream.write_all(body).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let mut kinds = Vec::new();
    while kinds.last() != Some(&Kind::Pack) {
        let mut header = [0; HEADER_LEN];
        stream.read_exact(&mut header).unwrap();
        let header = Header::parse(header).unwrap();
        let mut payload = vec![0; usize::from(header.len)];
        stream.read_exact(&mut payload).unwrap();
        let text = String::from_utf8_lossy(&payload);
        assert!(!matches!(header.kind, Kind::Failure | Kind::Complete), "{kinds:?}: {text}");
        kinds.push(header.kind);
    }
    assert!(kinds.contains(&Kind::Plan), "{kinds:?}");
}

/// An image whose versions differ in small files that lie far from one another: each in a segment of its
/// own, but all in one pack.
fn scattered(directory: &std::path::Path) -> Layout {
    const FILES: u64 = 60;
    let layout = Layout::create(directory, "scattered");
    for (tag, version) in [("old", 1), ("new", 2)] {
        let entries = (0..FILES).flat_map(|number| {
            let small = noise(1000 * version + number, 8 << 10);
            let large = noise(number, 2 << 20);
            [
                Entry::file(format!("{number}/small"), small),
                Entry::file(format!("{number}/large"), large),
            ]
        });
        let entries: Vec<_> = entries.collect();
        layout.add(tag, &Image::new(vec![Layer::new(&entries).compression(Compression::Plain)]));
    }
    layout
}

#[test]
fn the_first_pack_is_two_round_trips_away() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    let scattered = scattered(&sandbox.directory("layouts"));
    let [nginx, node] = ["nginx", "node-red"].map(|name| Layout::open(&images(), name));
    let update = |layout| Wanted { layout, held: Some("old"), tag: "new" };
    let rows = [
        Wanted { layout: &nginx, held: None, tag: "new" },
        update(&nginx),
        update(&node),
        update(&scattered),
    ];
    let rounds = Rounds::start(&registry.host);
    let directory = sandbox.directory("accelerator");
    let url = format!("http://{}", registry.host);
    for layout in [&nginx, &node, &scattered] {
        for tag in ["old", "new"] {
            registry.push(layout, tag);
            let name = format!("{}:{tag}", layout.repository);
            Accelerator::ingest(&url, &directory.join("data"), &name);
        }
    }
    for wanted in &rows {
        // Each time a new one, which has nothing in memory.
        let accelerator =
            Accelerator::start_with(&directory, &rounds.url(), &["--cache-bytes", "0"]);
        rounds.take();
        read_to_first_pack(&accelerator, wanted);
        let taken = rounds.take();
        let ranges = |round: &Vec<String>| {
            round.iter().filter(|head| head.to_lowercase().contains("\r\nrange: ")).count()
        };
        let ranges: Vec<_> = taken.iter().map(ranges).filter(|count| *count > 0).collect();
        let row = format!("{}, on {:?}", wanted.layout.repository, wanted.held);
        println!("{row}: {} rounds, those with ranges have {ranges:?}", taken.len());
        assert!((1..=2).contains(&ranges.len()), "{row}: {taken:?}");
        let _open = rounds.open();
        drop(accelerator);
    }
}
