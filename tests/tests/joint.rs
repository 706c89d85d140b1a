//! An update of an application whose images share what has changed, though no registry layer: on the device it is one
//! new base and a layer for each image; and another application that has that, too. With `--cache-bytes 0`, with
//! containerd and with `--root`.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_tests::compare::{FileType, Tree};
use skiff_tests::hard::noise;
use skiff_tests::harness::{
    Accelerator, Containerd, Outcome, Registry, Sandbox, Skiff, Stock, run, wait_for,
};
use skiff_tests::layout::{Image, Layer, Layout};
use skiff_tests::tarball::Entry;
use std::path::{Path, PathBuf};
use std::time::Duration;

const KIB: u64 = 1 << 10;
/// Bytes of all images: what stays, and what is new with each version.
const KEPT: u64 = 512 * KIB;
const NEW: u64 = 3072 * KIB;
/// Bytes of each image alone: what stays, and what is new with each version.
const OWN: u64 = 256 * KIB;
const OWN_NEW: u64 = 64 * KIB;

const SHOP: [&str; 3] = ["web", "db", "api"];
const OTHER: [&str; 2] = ["job", "mail"];

fn file(name: &str, seed: u64, size: u64) -> Entry {
    Entry::file(name, noise(seed, usize::try_from(size).unwrap())).mtime(1_000_000, 5)
}

/// An image of one layer, so that no two have one in common.
fn image(number: u64, version: u64) -> Image {
    let mut entries: Vec<Entry> = ["lib/", "lib/new/", "own/"]
        .map(|name| Entry::directory(name).mtime(1_000_000, 0).mode(0o755))
        .into();
    entries.push(file("lib/kept", 1, KEPT));
    for part in 0..6 {
        entries.push(file(&format!("lib/new/{part}"), 10 * version + part, NEW / 6));
    }
    // Gone with the next version, and hard links.
    entries.push(file(&format!("lib/only-{version}"), 2, 100));
    entries.push(Entry::hardlink("lib/linked", "lib/new/0"));
    entries.push(file("own/kept", 100 + number, OWN));
    entries.push(file("own/new", 1000 * version + number, OWN_NEW));
    Image::new(vec![Layer::new(&entries)])
}

struct Ground {
    // Dropped in this order: processes before the directory that they use.
    accelerator: Option<Accelerator>,
    registry: Registry,
    /// References and stock's trees of the shop's images, first and second version, and of the other application's.
    images: [Vec<(String, Stock)>; 3],
    data: PathBuf,
    before: Tree,
    sandbox: Sandbox,
}

impl Ground {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let registry = Registry::start(&sandbox);
        let containerd = Containerd::start(&sandbox);
        let layouts = sandbox.directory("layouts");
        let stock = |repositories: &[&str], first: u64, version: u64| {
            let stock = |(number, repository): (u64, &&str)| {
                let layout = Layout::create(&layouts.join(version.to_string()), repository);
                layout.add(&format!("v{version}"), &image(number, version));
                let reference = registry.push(&layout, &format!("v{version}"));
                let stock = containerd.stock(&reference);
                (reference, stock)
            };
            (first..).zip(repositories).map(stock).collect::<Vec<_>>()
        };
        let images = [stock(&SHOP, 0, 1), stock(&SHOP, 0, 2), stock(&OTHER, 5, 2)];
        drop(containerd);
        let before = Tree::read(&registry.data()).unwrap();
        let directory = sandbox.directory("accelerator");
        let url = format!("http://{}", registry.host);
        let accelerator = Accelerator::start_with(&directory, &url, &["--cache-bytes", "0"]);
        let data = accelerator.data();
        registry.requests();
        Self { accelerator: Some(accelerator), registry, images, data, before, sandbox }
    }

    fn set(&self, name: &str, images: &[(String, Stock)]) {
        let data = self.data.to_str().unwrap();
        let references: Vec<_> = images.iter().map(|(reference, _)| &**reference).collect();
        run(
            Accelerator::program(),
            &[&["app", "--data", data, "set", name], &references[..]].concat(),
        );
    }
}

/// A device, in one of the two ways.
struct Device {
    containerd: Option<Containerd>,
    skiff: Skiff,
    snapshots: PathBuf,
}

impl Device {
    fn with_containerd(sandbox: &Sandbox) -> Self {
        let containerd = Containerd::start(sandbox);
        let skiff = Skiff::containerd(sandbox, &containerd.socket());
        let snapshots = containerd.snapshots();
        Self { containerd: Some(containerd), skiff, snapshots }
    }

    fn with_root(sandbox: &Sandbox) -> Self {
        let root = sandbox.directory("device");
        let skiff = Skiff::root(sandbox, &root);
        Self { containerd: None, skiff, snapshots: root.join("snapshots") }
    }

    fn deploy(&self, name: &str, accelerator: &Accelerator) -> Outcome {
        let url = accelerator.url();
        let outcome = self.skiff.run(&["deploy", name, "--json", "--accelerator", &url]).ok(name);
        assert_eq!(outcome.number("requests"), 1, "{name}");
        outcome
    }

    fn check(&self, what: &str, images: &[(String, Stock)]) {
        for (reference, stock) in images {
            let tree = self.skiff.tree(reference).unwrap();
            assert_eq!(stock.report(&tree), None, "{what}: {reference}");
            if let Some(containerd) = &self.containerd {
                assert_eq!(stock.report(&containerd.tree(reference)), None, "{what}: {reference}");
                assert_eq!(containerd.digest(reference), stock.digest, "{what}: {reference}");
            }
        }
        assert_eq!(self.skiff.run(&["status", "--json"]).ok("status").stdout, "", "{what}");
    }

    /// Committed snapshots: how many there come to be, when what may be collected is.
    fn comes_to(&self, snapshots: usize, what: &str) {
        self.skiff.run(&["gc"]).ok("gc");
        let count = || match &self.containerd {
            Some(containerd) => containerd.committed().len(),
            None => std::fs::read_dir(&self.snapshots).unwrap().count(),
        };
        let there = wait_for(Duration::from_secs(20), || count() == snapshots);
        assert!(there, "{what}: {} snapshots, not {snapshots}", count());
    }

    /// Bytes of the files in all snapshots.
    fn bytes(&self) -> u64 {
        bytes_below(&self.snapshots)
    }
}

fn bytes_below(directory: &Path) -> u64 {
    let tree = Tree::read(directory).unwrap();
    let files = tree.nodes.values().filter(|node| node.kind == FileType::File);
    // Two names of one file are two entries of the tree.
    files.map(|node| node.size / node.links).sum()
}

/// What a device got for a deployment, in bytes of contents that noise is.
fn check_packs(what: &str, outcome: &Outcome, contents: u64) {
    let packs = outcome.number("pack_bytes");
    assert!(packs <= contents + contents / 100 + 4096, "{what}: {packs} bytes for {contents}");
    assert!(packs * 100 >= contents * 99, "{what}: {packs} bytes for {contents}");
}

#[test]
fn what_images_share_anew_is_one_base() {
    let mut ground = Ground::new();
    let accelerator = ground.accelerator.take().unwrap();
    let [first, second, other] = &ground.images;
    for device in [Device::with_containerd(&ground.sandbox), Device::with_root(&ground.sandbox)] {
        ground.set("shop", first);
        let fresh = device.deploy("shop", &accelerator);
        device.check("fresh", first);
        check_packs("fresh", &fresh, 100 + KEPT + NEW + 3 * (OWN + OWN_NEW));
        device.comes_to(4, "fresh: a base and three layers");
        let before = device.bytes();

        ground.set("shop", second);
        let update = device.deploy("shop", &accelerator);
        device.check("update", second);
        // What is new: that of all images is sent once, as ever.
        check_packs("update", &update, NEW + 3 * OWN_NEW);
        device.comes_to(8, "update: a base and three layers more");
        // And it lies on the device once. What is each image's own is copied there, though it is not new.
        let more = device.bytes() - before;
        let all = NEW + 3 * (OWN + OWN_NEW);
        assert!(
            (all..all + 100 * KIB).contains(&more),
            "{more} bytes more on the device, not {all}"
        );

        // Its images share with the shop what no registry layer is, and find it on the device.
        ground.set("other", other);
        let across = device.deploy("other", &accelerator);
        device.check("another application", other);
        check_packs("another application", &across, 2 * (OWN + OWN_NEW));
        device.comes_to(10, "another application: two layers on the base that is there");
        device.check("beside another application", second);

        device.skiff.run(&["rollback", "shop"]).ok("back");
        device.check("back", first);
        device.skiff.run(&["rollback", "shop"]).ok("forward");
        device.check("forward", second);
        device.comes_to(10, "back and forward");

        // A stock pull beside it.
        if let Some(containerd) = &device.containerd {
            for (reference, stock) in [&first[0], &second[1], &other[0]] {
                assert_eq!(stock.report(&containerd.stock(reference).tree), None, "{reference}");
            }
        }
    }
    let requests = ground.registry.requests();
    assert!(!requests.is_empty());
    let written = requests.iter().filter(|one| !["GET", "HEAD"].contains(&&*one.method));
    assert_eq!(written.count(), 0, "the registry was written to");
    let after = Tree::read(&ground.registry.data()).unwrap();
    assert!(ground.before == after, "the registry's files have changed");
}
