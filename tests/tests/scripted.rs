//! Applications, bases and rollbacks, with answers that are written down here: what the agent does with them, whatever
//! an accelerator would plan. With containerd and with `--root`.
#![allow(clippy::unwrap_used, reason = "tests")]

use flate2::Compression;
use flate2::write::DeflateEncoder;
use sha2::{Digest as _, Sha256};
use skiff_protocol::frame::{Kind as FrameKind, write};
use skiff_protocol::record::{
    Base, Blob, Content, Entry, Image, Kind, Layer, Metadata, Parent, Record, Role, Source,
};
use skiff_protocol::request::{DeployRequest, Want};
use skiff_protocol::response::{Codec, Complete, Pack, Plan, encode};
use skiff_protocol::{Digest, MEDIA_TYPE, Version};
use skiff_tests::compare::report;
use skiff_tests::harness::{Containerd, Outcome, Sandbox, Skiff};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};

const ID: Digest = Digest([7; 32]);

/// An image of an answer: its reference, which version of it, its layer.
type Images<'a> = &'a [(&'a str, u8, Option<u16>)];
/// A layer: the name of the tree if it is a base, its parent, its file.
type Layers<'a> = &'a [(Option<u8>, Parent, &'a str)];

fn sha256(bytes: impl AsRef<[u8]>) -> Digest {
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

fn manifest(reference: &str, version: u8) -> String {
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
fn answer(images: Images<'_>, layers: Layers<'_>, measure: bool) -> Vec<u8> {
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

/// Runs skiff against a server that gives this answer; gives the request, too.
fn run(skiff: &Skiff, arguments: &[&str], answer: Vec<u8>) -> (Outcome, Vec<u8>) {
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
    let outcome = skiff.run(&[arguments, &["--json", "--accelerator", &url]].concat());
    (outcome, serving.join().unwrap())
}

/// A device, in one of the two ways.
struct Device {
    containerd: Option<Containerd>,
    skiff: Skiff,
    /// Where a plain directory has its snapshots.
    snapshots: PathBuf,
}

impl Device {
    fn both(sandbox: &Sandbox) -> [Self; 2] {
        let containerd = Containerd::start(sandbox);
        let skiff = Skiff::containerd(sandbox, &containerd.socket());
        let root = sandbox.directory("device");
        let plain = Skiff::root(sandbox, &root);
        [
            Self { containerd: Some(containerd), skiff, snapshots: PathBuf::new() },
            Self { containerd: None, skiff: plain, snapshots: root.join("snapshots") },
        ]
    }

    fn deploy(&self, images: Images<'_>, layers: Layers<'_>) -> Vec<u8> {
        let (outcome, asked) = run(&self.skiff, &["deploy", "shop"], answer(images, layers, false));
        outcome.ok("deploy");
        asked
    }

    /// Image records: name and which version they point to.
    fn records(&self) -> BTreeMap<String, u8> {
        let listed = self.skiff.run(&["ls"]).ok("ls").stdout;
        let version = |name: &str, digest: &str| {
            let reference = name.strip_prefix("skiff.previous/shop/").unwrap_or(name);
            (0..9).find(|version| sha256(manifest(reference, *version)).to_string() == digest)
        };
        let record = |line: &str| {
            let (name, digest) = line.split_once(' ').unwrap();
            (name.to_owned(), version(name, digest).unwrap())
        };
        listed.lines().map(record).collect()
    }

    /// Checks the image records, by name and version, and the files of the current ones.
    fn check(&self, current: &[(&str, u8, &[&str])], previous: &[(&str, u8)]) {
        // Whatever may be collected is.
        self.skiff.run(&["gc"]).ok("gc");
        let mut expected = BTreeMap::new();
        expected.extend(current.iter().map(|(name, version, _)| ((*name).to_owned(), *version)));
        let before =
            |(name, version): &(&str, u8)| (format!("skiff.previous/shop/{name}"), *version);
        expected.extend(previous.iter().map(before));
        assert_eq!(self.records(), expected);
        for (name, _, files) in current {
            let tree = self.skiff.tree(name).unwrap();
            let names: Vec<_> = tree.nodes.keys().filter(|path| !path.is_empty()).collect();
            assert_eq!(names, files.iter().map(|file| file.as_bytes()).collect::<Vec<_>>());
            if let Some(containerd) = &self.containerd {
                let never = i64::MAX..=i64::MAX;
                assert_eq!(report(&tree, &containerd.tree(name), &never), None, "{name}");
            }
        }
        assert_eq!(self.skiff.run(&["status", "--json"]).ok("status").stdout, "");
    }

    /// Snapshots, committed or not. (containerd removes their directories when it likes.)
    fn count(&self) -> usize {
        match &self.containerd {
            Some(containerd) => containerd.ctr(&["snapshots", "ls"]).lines().skip(1).count(),
            None => std::fs::read_dir(&self.snapshots).unwrap().count(),
        }
    }

    /// Name and depth of what a request says is held.
    fn held(asked: &[u8]) -> Vec<(String, u16)> {
        let request = DeployRequest::decode(asked).unwrap();
        assert!(matches!(request.want, Want::Application("shop")));
        let mut held: Vec<_> = request
            .held
            .iter()
            .map(|held| match held.reference {
                "" => (held.manifest.to_string(), held.depth),
                reference => (reference.to_owned(), held.depth),
            })
            .collect();
        held.sort();
        held
    }
}

const BASE: Option<u8> = Some(0xab);

#[test]
fn an_application_on_a_base_is_deployed_and_rolled_back() {
    let sandbox = Sandbox::new();
    for device in Device::both(&sandbox) {
        let unknown = device.skiff.run(&["rollback", "shop"]);
        assert_eq!(unknown.code, 3, "{}", unknown.stderr);
        let (measured, _) =
            run(&device.skiff, &["deploy", "shop", "--dry-run"], answer(&[], &[], true));
        assert_eq!(measured.ok("dry run").number("would_receive"), 4711);

        // The base, and two images on it.
        let asked = device.deploy(
            &[("host:5000/web:1", 1, Some(1)), ("db", 1, Some(2))],
            &[
                (BASE, Parent::None, "base"),
                (None, Parent::Layer(0), "web-1"),
                (None, Parent::Layer(0), "db-1"),
            ],
        );
        assert_eq!(Device::held(&asked), []);
        let first: [(&str, u8, &[&str]); 2] =
            [("db", 1, &["base", "db-1"]), ("host:5000/web:1", 1, &["base", "web-1"])];
        device.check(&first, &[]);
        assert_eq!(device.count(), 3);
        let nothing = device.skiff.run(&["rollback", "shop"]);
        assert_eq!(nothing.code, 3, "{}", nothing.stderr);

        // One image is replaced by one of another name, on the base that is held; the other stays.
        let asked = device.deploy(
            &[("host:5000/web:2", 2, Some(0)), ("db", 1, None)],
            &[(None, Parent::Held(2), "web-2")],
        );
        let base = (Digest([0xab; 32]).to_string(), 1);
        let expected = [("db".to_owned(), 2), ("host:5000/web:1".to_owned(), 2), base.clone()];
        assert_eq!(Device::held(&asked), expected);
        let second: [(&str, u8, &[&str]); 2] =
            [("db", 1, &["base", "db-1"]), ("host:5000/web:2", 2, &["base", "web-2"])];
        let versions = |images: &[(&'static str, u8, &[&str])]| {
            images.iter().map(|(name, version, _)| (*name, *version)).collect::<Vec<_>>()
        };
        device.check(&second, &versions(&first));
        assert_eq!(device.count(), 4);

        // Nothing new: what was before stays. Each image is held once, by its own name.
        let asked = device.deploy(&[("host:5000/web:2", 2, None), ("db", 1, None)], &[]);
        let mut names: Vec<_> = Device::held(&asked).into_iter().map(|(name, _)| name).collect();
        names.retain(|name| name.starts_with("host"));
        assert_eq!(names, ["host:5000/web:1", "host:5000/web:2"]);
        device.check(&second, &versions(&first));

        for (now, before) in [(&first, &second), (&second, &first), (&first, &second)] {
            let back = device.skiff.run(&["rollback", "shop", "--json"]).ok("rollback").done();
            assert_eq!(back["application"], "shop");
            assert_eq!(back["images"].as_array().unwrap().len(), 2);
            device.check(now, &versions(before));
            assert_eq!(device.count(), 4);
        }

        // A switch that was begun is finished by whatever comes next.
        let files = device.skiff.state.join("applications/shop");
        let text = std::fs::read_to_string(files.join("deployed")).unwrap();
        let (head, lists) = text.split_once("current\n").unwrap();
        let (current, previous) = lists.split_once("previous\n").unwrap();
        let swapped = format!("{head}current\n{previous}previous\n{current}");
        std::fs::write(files.join("switching"), swapped).unwrap();
        device.check(&second, &versions(&first));

        // Two deployments later nothing is left of the first one, nor of the base.
        let third: [(&str, u8, &[&str]); 1] = [("db", 3, &["db-3"])];
        device.deploy(&[("db", 3, Some(0))], &[(None, Parent::None, "db-3")]);
        device.check(&third, &versions(&second));
        device.deploy(&[("db", 4, Some(0))], &[(None, Parent::Held(0), "db-4")]);
        let records = device.records();
        let expected = [("db".to_owned(), 4), ("skiff.previous/shop/db".to_owned(), 3)];
        assert_eq!(records, expected.into());
    }
}

#[test]
fn what_is_wrong_with_bases_and_applications_is_refused() {
    let sandbox = Sandbox::new();
    let image = |layer| [("a", 1, Some(layer))];
    let base = (BASE, Parent::None, "base");
    let rows: [(&str, &[(&str, u8, Option<u16>)], Layers<'_>); 8] = [
        ("a base as an image's layer", &image(0), &[base]),
        ("its own parent", &image(1), &[base, (None, Parent::Layer(1), "a")]),
        (
            "a parent that is no base",
            &image(1),
            &[(None, Parent::None, "b"), (None, Parent::Layer(0), "a")],
        ),
        ("a layer of no image", &image(0), &[(None, Parent::None, "b"), (None, Parent::None, "a")]),
        ("a later parent", &image(0), &[(None, Parent::Layer(1), "a"), base]),
        ("no image", &[], &[]),
        (
            "one image twice",
            &[("a", 1, Some(0)), ("a", 2, Some(1))],
            &[(None, Parent::None, "a"), (None, Parent::None, "b")],
        ),
        ("no reference", &[("skiff.previous/x/a", 1, Some(0))], &[(None, Parent::None, "a")]),
    ];
    for device in Device::both(&sandbox) {
        for (row, images, layers) in rows {
            let (outcome, _) =
                run(&device.skiff, &["deploy", "shop"], answer(images, layers, false));
            assert_eq!(outcome.code, 6, "{row}: {}", outcome.stderr);
            assert_eq!(outcome.stderr.lines().count(), 1, "{row}: {}", outcome.stderr);
            device.check(&[], &[]);
            assert_eq!(device.count(), 0, "{row}");
        }
        let bad = device.skiff.run(&["deploy", "../shop"]);
        assert_eq!(bad.code, 2, "{}", bad.stderr);
        assert!(!Path::new(&device.skiff.state.join("applications")).exists());
    }
}
