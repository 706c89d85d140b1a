//! `skiff verify`: what was changed on the device is found and named, and mended so that the tree is again what it was;
//! what was not changed is left alone. With containerd and with `--root`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod damage;

use damage::{ROWS, entries, mknod, rot, write};
use skiff_tests::compare::{NEVER, Tree, report};
use skiff_tests::hard::{noise, repositories};
use skiff_tests::harness::{Accelerator, Containerd, Outcome, Sandbox, Skiff, SkiffDaemon, alone};
use skiff_tests::layout::{Image, Layer, Layout};
use skiff_tests::startable::{IMAGE, Startable};
use skiff_tests::tarball::Entry;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

const WRONG: i32 = 15;
const MENDED: i32 = 16;
/// Of the agent, as in `tests/tests/real.rs`.
const RSS: u64 = 8 << 20;

/// A device, in one of the two ways.
struct Device {
    // Dropped in this order: processes before the directory that they use.
    _containerd: Option<Containerd>,
    skiff: Skiff,
    url: String,
    snapshots: PathBuf,
}

impl Device {
    fn both(sandbox: &Sandbox, accelerator: &Accelerator) -> [Self; 2] {
        let containerd = Containerd::start(sandbox);
        let skiff = Skiff::containerd(sandbox, &containerd.socket());
        let snapshots = containerd.snapshots();
        let with = Self { _containerd: Some(containerd), skiff, url: accelerator.url(), snapshots };
        [with, Self::root(sandbox, accelerator)]
    }

    fn root(sandbox: &Sandbox, accelerator: &Accelerator) -> Self {
        let root = sandbox.directory("device");
        let skiff = Skiff::root(sandbox, &root);
        let snapshots = root.join("snapshots");
        Self { _containerd: None, skiff, url: accelerator.url(), snapshots }
    }

    fn pull(&self, images: &[&str]) {
        self.skiff.pull(images, &self.url).ok("pull");
    }

    fn verify(&self, arguments: &[&str]) -> Outcome {
        self.skiff.run(&[&["verify", "--accelerator", &self.url], arguments].concat())
    }

    fn tree(&self, image: &str) -> Tree {
        self.skiff.tree(image).unwrap()
    }

    /// The layers that have a path, the newest first.
    fn layers_with(&self, path: &str) -> Vec<PathBuf> {
        let mut numbers: Vec<u64> = Vec::new();
        for entry in fs::read_dir(&self.snapshots).unwrap() {
            numbers.extend(entry.unwrap().file_name().to_str().unwrap().parse::<u64>());
        }
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        let layer = |number: u64| self.snapshots.join(number.to_string()).join("fs");
        let layers = numbers.into_iter().map(layer);
        layers.filter(|layer| layer.join(path).symlink_metadata().is_ok()).collect()
    }

    /// The newest layer that has a path.
    fn layer(&self, path: &str) -> PathBuf {
        self.layers_with(path).remove(0)
    }

    /// A path in the newest layer that has it.
    fn place(&self, path: &str) -> PathBuf {
        self.layers_with(path).first().unwrap_or_else(|| panic!("no layer has {path}")).join(path)
    }

    /// Nothing is wrong, and nothing is left of a verification.
    fn is_right(&self, row: &str) {
        let outcome = self.verify(&[]);
        assert_eq!(outcome.code, 0, "{row}: {}{}", outcome.stdout, outcome.stderr);
        assert!(
            outcome.stdout.lines().all(|line| line.ends_with("all is as it should be")),
            "{row}"
        );
        assert!(outcome.peak_rss <= RSS, "{row}: {} bytes", outcome.peak_rss);
        let left = self.skiff.run(&["status", "--json"]).ok("status").stdout;
        assert_eq!(left, "", "{row}");
    }
}

/// The lines that name what is wrong, without the image in front.
fn named(outcome: &Outcome) -> Vec<String> {
    let lines = outcome.stdout.lines().filter_map(|line| line.split_once(": /"));
    lines.map(|(_, rest)| rest.to_owned()).collect()
}

/// Version 2 adds to version 1, so that most of it lies in the lower layer there.
fn versions(sandbox: &Sandbox) -> Accelerator {
    let layouts = sandbox.directory("layouts");
    let layout = Layout::create(&layouts, "it");
    let v1 = Image::new(vec![Layer::new(&entries())]);
    layout.add("1", &v1);
    let mut more = vec![Entry::directory("d/").mode(0o700).mtime(1_700_000_000, 1)];
    more.push(Entry::file("d/new", noise(9, 20_000)).mtime(1_700_000_000, 1));
    more.push(Entry::file("d/e/three", noise(10, 10_000)).mtime(1_600_000_000, 5).owner(3, 4));
    more.push(Entry::whiteout("gone"));
    layout.add("2", &Image::new(vec![Layer::new(&entries()), Layer::new(&more)]));
    Accelerator::start(sandbox, &format!("oci:{}", layouts.display()))
}

#[test]
fn everything_that_can_be_wrong_is_named_and_mended() {
    let sandbox = Sandbox::new();
    let accelerator = versions(&sandbox);
    for device in Device::both(&sandbox, &accelerator) {
        device.pull(&["it:1"]);
        let expected = device.tree("it:1");
        device.is_right("fresh");
        for (row, damage, said) in ROWS {
            damage(&device);
            let outcome = device.verify(&["it:1"]);
            assert_eq!(named(&outcome), *said, "{row}");
            assert_eq!(outcome.code, WRONG, "{row}: {}", outcome.stderr);
            assert!(outcome.peak_rss <= RSS, "{row}: {} bytes", outcome.peak_rss);
            let damaged = device.tree("it:1");
            assert!(report(&expected, &damaged, &NEVER).is_some(), "{row}: nothing was done");

            let outcome = device.verify(&["it:1", "--repair", "--json"]);
            assert_eq!(outcome.code, MENDED, "{row}: {}{}", outcome.stdout, outcome.stderr);
            let different = u64::try_from(said.len()).unwrap();
            assert!(outcome.number("different") >= different, "{row}");
            assert_eq!(outcome.number("mended"), outcome.number("different"), "{row}");
            assert_eq!(report(&expected, &device.tree("it:1"), &NEVER), None, "{row}");
            device.is_right(row);
        }
    }
}

#[test]
fn what_shows_from_a_lower_layer_is_mended_without_harm_to_others() {
    let sandbox = Sandbox::new();
    let accelerator = versions(&sandbox);
    let images = ["it:1", "it:2"];
    for device in Device::both(&sandbox, &accelerator) {
        images.iter().for_each(|image| device.pull(&[image]));
        let expected = images.map(|image| device.tree(image));
        let are_right = |row: &str| {
            for (image, expected) in images.iter().zip(&expected) {
                assert_eq!(report(expected, &device.tree(image), &NEVER), None, "{row}: {image}");
            }
            device.is_right(row);
        };
        are_right("fresh");
        assert_eq!(device.layers_with("d/one").len(), 1, "version 2 has a file of its own");

        // What only a hash shows is mended where it lies.
        let one = device.place("d/one");
        rot(&one);
        assert_eq!(named(&device.verify(&[])), ["d/one has other bytes"; 2]);
        assert_eq!(device.verify(&["it:2", "--repair"]).code, MENDED);
        assert_eq!(device.layers_with("d/one").len(), 1);
        are_right("rotten");

        // What somebody has changed below is mended above, for each image that shows it.
        write(&one, |bytes| bytes.truncate(10));
        assert_eq!(device.verify(&["it:2", "--repair"]).code, MENDED);
        assert_eq!(fs::metadata(&one).unwrap().size(), 10, "the layer of version 1");
        assert_eq!(device.verify(&["it:1"]).code, WRONG);
        let outcome = device.verify(&["--repair"]);
        assert_eq!(outcome.code, MENDED, "{}{}", outcome.stdout, outcome.stderr);
        are_right("cut");

        // What lies below is the right file of another image: the same size and time, but other bytes.
        let layers = device.layers_with("d/e/three");
        assert_eq!(layers.len(), 2);
        fs::remove_file(layers[0].join("d/e/three")).unwrap();
        let outcome = device.verify(&["it:2", "--repair"]);
        assert_eq!(outcome.code, MENDED, "{}{}", outcome.stdout, outcome.stderr);
        assert!(named(&outcome).contains(&"d/e/three has other bytes".to_owned()));
        are_right("what was above");

        // A whiteout that is gone shows what was removed; one too much hides what is there.
        let whiteout = device.place("gone");
        assert_eq!(fs::symlink_metadata(&whiteout).unwrap().rdev(), 0);
        fs::remove_file(&whiteout).unwrap();
        mknod(&device.layer("d/new").join("d/two"), "0");
        let outcome = device.verify(&["it:2"]);
        let lines = named(&outcome);
        assert!(lines.contains(&"gone is not in the image".to_owned()), "{lines:?}");
        assert!(lines.contains(&"d/two is missing".to_owned()), "{lines:?}");
        assert_eq!(device.verify(&["--repair"]).code, MENDED);
        are_right("whiteouts");
    }
}

#[test]
fn a_deep_stack_and_one_that_was_laid_into_one_layer() {
    const VERSIONS: u64 = 18;
    let sandbox = Sandbox::new();
    let layouts = sandbox.directory("layouts");
    let layout = Layout::create(&layouts, "deep");
    let (mut names, mut entries) = (Vec::new(), entries());
    for version in 1..=VERSIONS {
        entries.push(Entry::file(format!("d/v{version:02}"), noise(version, 4000)).mtime(9, 9));
        layout.add(&version.to_string(), &Image::new(vec![Layer::new(&entries)]));
        names.push(format!("deep:{version}"));
    }
    let accelerator = Accelerator::start(&sandbox, &format!("oci:{}", layouts.display()));
    for device in Device::both(&sandbox, &accelerator) {
        names.iter().for_each(|name| device.pull(&[name]));
        let expected: Vec<Tree> = names.iter().map(|name| device.tree(name)).collect();
        device.is_right("fresh");
        // The 17th has a layer of its own for all, which shares its files with those before where they can't be cloned.
        rot(&device.layers_with("kept/large").pop().unwrap().join("kept/large"));
        write(&device.layers_with("d/v03").pop().unwrap().join("d/v03"), |bytes| bytes.clear());
        assert_eq!(device.verify(&[]).code, WRONG);
        let outcome = device.verify(&["--repair"]);
        assert_eq!(outcome.code, MENDED, "{}{}", outcome.stdout, outcome.stderr);
        for (name, expected) in names.iter().zip(&expected) {
            let found = device.tree(name);
            // Files of the layer that was made of others may have names there.
            let links = |tree: &Tree| {
                let mut tree = tree.clone();
                tree.nodes.values_mut().for_each(|node| node.links = 1);
                tree
            };
            assert_eq!(report(&links(expected), &links(&found), &NEVER), None, "{name}");
        }
        device.is_right("mended");
    }
}

#[test]
fn a_base_of_several_images_and_what_cannot_be_verified() {
    let sandbox = Sandbox::new();
    let layouts = sandbox.directory("layouts");
    let shared = Entry::file("shared", noise(5, 3_000_000)).mtime(7, 7);
    for name in ["web", "db"] {
        let own = Entry::file(name, noise(6, 50_000)).mtime(8, 8);
        let image = Image::new(vec![Layer::new(&[shared.clone(), own])]);
        Layout::create(&layouts, name).add("1", &image);
    }
    let accelerator = Accelerator::start(&sandbox, &format!("oci:{}", layouts.display()));
    let images = ["web:1", "db:1"];
    for device in Device::both(&sandbox, &accelerator) {
        device.pull(&images);
        assert_eq!(device.layers_with("shared").len(), 1, "no base");
        let expected = images.map(|image| device.tree(image));
        rot(&device.place("shared"));
        assert_eq!(named(&device.verify(&[])), ["shared has other bytes"; 2]);
        assert_eq!(device.verify(&["db:1", "--repair"]).code, MENDED);
        for (image, expected) in images.iter().zip(&expected) {
            assert_eq!(report(expected, &device.tree(image), &NEVER), None, "{image}");
        }
        device.is_right("base");

        // An accelerator that has no such image, and whose registry has none.
        let empty = sandbox.directory("empty");
        Layout::create(&empty, "other").add("1", &Image::new(vec![Layer::new(&[])]));
        let other = Accelerator::start_with(
            &sandbox.directory("other"),
            &format!("oci:{}", empty.display()),
            &[],
        );
        let away = Device { url: other.url(), skiff: device.skiff.clone(), ..device };
        let outcome = away.verify(&["web:1"]);
        assert_eq!(outcome.code, 3, "{}", outcome.stderr);
        assert!(outcome.stderr.contains("web:1 can't be verified"), "{}", outcome.stderr);
        let unknown = away.verify(&["none:1"]);
        assert_eq!((unknown.code, unknown.stdout.as_str()), (3, ""), "{}", unknown.stderr);
        drop(other);
        assert_eq!(away.verify(&[]).code, 4);
        let without = away.skiff.run(&["verify"]);
        assert_eq!(without.code, 2);
        assert!(without.stderr.contains("--accelerator"), "{}", without.stderr);
    }
}

#[test]
fn hard_images_are_right() {
    let sandbox = Sandbox::new();
    let layouts = sandbox.directory("layouts");
    let mut names = Vec::new();
    for repository in repositories() {
        repository.write(&layouts);
        let tags = repository.versions.iter();
        names.push(tags.map(|(tag, _)| format!("{}:{tag}", repository.name)).collect::<Vec<_>>());
    }
    let accelerator = Accelerator::start(&sandbox, &format!("oci:{}", layouts.display()));
    for device in Device::both(&sandbox, &accelerator) {
        for versions in &names {
            versions.iter().for_each(|name| device.pull(&[name]));
            device.is_right(&versions[0]);
            let all: Vec<&str> = versions.iter().map(String::as_str).collect();
            device.skiff.run(&[&["rm"], &*all].concat()).ok("rm");
        }
    }
}

#[test]
fn cold_files_are_not_damaged() {
    let _alone = alone();
    let mut it = Startable::new(&[], &entries());
    let url = it.accelerator.url();
    let verify = ["verify", IMAGE, "--json", "--accelerator", &url];
    let outcome = it.skiff.run(&verify).ok("cold");
    assert!(outcome.number("cold_files") >= 1, "{}", outcome.stdout);
    assert_eq!(outcome.number("different"), 0, "{}", outcome.stdout);

    it.daemon.take().unwrap().kill();
    let repair = it.skiff.run(&["verify", IMAGE, "--repair", "--accelerator", &url]);
    assert_eq!(repair.code, 10, "{}{}", repair.stdout, repair.stderr);
    it.daemon = Some(SkiffDaemon::start(&it.skiff));
    write(&it.layer.join("d/empty"), |bytes| bytes.push(1));
    let repair = it.skiff.run(&["verify", IMAGE, "--repair", "--accelerator", &url]);
    assert_eq!(repair.code, MENDED, "{}{}", repair.stdout, repair.stderr);
    it.relay.release();
    it.daemon().wait_until_warm();
    let outcome = it.skiff.run(&verify).ok("warm");
    assert_eq!(outcome.number("cold_files"), 0);
}

#[test]
fn a_repair_that_is_killed_is_done_by_the_next() {
    let sandbox = Sandbox::new();
    let accelerator = versions(&sandbox);
    let device = Device::root(&sandbox, &accelerator);
    device.pull(&["it:1"]);
    let expected = device.tree("it:1");
    for path in ["d/one", "d/two", "kept/large"] {
        write(&device.place(path), |bytes| bytes[0] ^= 1);
    }
    let large = File::open(device.place("kept/large")).unwrap();
    let inode = large.metadata().unwrap().ino();
    let repair = ["verify", "--repair", "--accelerator", &device.url];
    drop(device.skiff.start(&repair));
    let outcome = device.verify(&["--repair"]);
    assert!([0, MENDED].contains(&outcome.code), "{}{}", outcome.stdout, outcome.stderr);
    assert_eq!(report(&expected, &device.tree("it:1"), &NEVER), None);
    // Who had the damaged file open has it still: it was not written to.
    assert_ne!(fs::metadata(device.place("kept/large")).unwrap().ino(), inode);
    assert_eq!(large.metadata().unwrap().nlink(), 0);
    device.pull(&["it:1"]);
    device.is_right("killed");
}
