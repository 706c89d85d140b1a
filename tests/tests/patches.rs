//! Contents that are much like what the device has come as patches: few bytes, stock's tree, and a base that is not what it
//! should be is survived in the same deployment, with one more request.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_tests::compare::{NEVER, report};
use skiff_tests::hard::{code, noise, touched};
use skiff_tests::harness::{Accelerator, Containerd, Registry, Sandbox, Skiff, Usage};
use skiff_tests::layout::{Image, Layer, Layout};
use skiff_tests::tarball::{Entry, SparseStyle};
use std::fs;
use std::path::Path;

const MIB: usize = 1 << 20;

/// Version 2 changes some of most contents of version 1, and has one that is all new.
fn versions(layout: &Layout) {
    let version = |number: u8| {
        let files = [
            Entry::file("bin", code(1, 4 * MIB, 0x770 * u32::from(number))),
            Entry::file("data", touched(noise(2, 3 * MIB), 8192, number)),
            Entry::file("lib.so.1", touched(noise(3, MIB / 2), 2048, number)),
            Entry::file("new", noise(3 + u64::from(number), 40_000)),
            // Copied on the device, as only its time is new.
            Entry::file("same", noise(9, 100_000)).mtime(number.into(), 0),
        ];
        Image::new(vec![Layer::new(&files)])
    };
    layout.add("v1", &version(1));
    layout.add("v2", &version(2));
}

/// A device that has version 1, and what stock's tree of version 2 is.
struct Ground {
    accelerator: Accelerator,
    sandbox: Sandbox,
}

impl Ground {
    fn new(options: &[&str]) -> Self {
        let sandbox = Sandbox::new();
        let layouts = sandbox.directory("layouts");
        versions(&Layout::create(&layouts, "like"));
        let data = sandbox.directory("accelerator");
        let registry = format!("oci:{}", layouts.display());
        Self { accelerator: Accelerator::start_with(&data, &registry, options), sandbox }
    }

    /// Updates after something was done to the old version's files; gives requests and bytes of packs.
    fn update(&self, before: impl FnOnce(&Path)) -> (u64, u64) {
        let other = self.sandbox.directory("fresh");
        let fresh = Skiff::root(&self.sandbox, &other);
        fresh.pull(&["like:v2"], &self.accelerator.url()).ok("fresh");
        let expected = fresh.tree("like:v2").unwrap();
        let root = self.sandbox.directory("device");
        let skiff = Skiff::root(&self.sandbox, &root);
        skiff.pull(&["like:v1"], &self.accelerator.url()).ok("v1");
        before(&root.join("snapshots/1/fs"));
        // With a budget a pack waits for its patches, however slow the machine is.
        let budget = ["like:v2", "--max-bytes=1000000000"];
        let update = skiff.pull(&budget, &self.accelerator.url()).ok("v2");
        assert_eq!(report(&expected, &skiff.tree("like:v2").unwrap(), &NEVER), None);
        fs::remove_dir_all(&root).unwrap();
        fs::remove_dir_all(&other).unwrap();
        (update.number("requests"), update.number("pack_bytes"))
    }
}

#[test]
fn what_changed_is_sent_and_not_the_rest() {
    for options in [&[][..], &["--cache-bytes", "0"]] {
        let (requests, bytes) = Ground::new(options).update(|_| {});
        assert_eq!(requests, 1, "{options:?}");
        // The new one, a moved address for every 16 bytes, and some single bytes, of 7.5 MiB.
        println!("{bytes} bytes of packs");
        assert!((40_000..300_000).contains(&bytes), "{options:?}: {bytes} bytes of packs");
    }
}

#[test]
fn packs_get_shorter_when_nothing_else_is_to_be_done() {
    let ground = Ground::new(&["--idle-zstd-level", "19"]);
    let pulled = |name: &str| {
        let root = ground.sandbox.directory(name);
        let pull =
            Skiff::root(&ground.sandbox, &root).pull(&["like:v2"], &ground.accelerator.url());
        pull.ok(name).number("pack_bytes")
    };
    let fresh = pulled("before");
    let (_, update) = ground.update(|_| {});
    let saved = ground.accelerator.wait_for_idle_work();
    let fresh_saved = fresh - pulled("after");
    // This compares what comes with what came before, byte for byte.
    let (requests, shorter) = ground.update(|_| {});
    let update_saved = update - shorter;
    println!("{fresh_saved} of {fresh} and {update_saved} of {update} bytes less, {saved} in all");
    assert_eq!(requests, 1);
    assert!(fresh_saved > 0 && update_saved > 0);
    // The first version's packs were compressed again, too.
    assert!(saved > fresh_saved + update_saved);
}

#[test]
fn a_base_that_was_changed_is_survived() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 4] = [
        ("a byte", |file| {
            let mut bytes = fs::read(file).unwrap();
            bytes[MIB] ^= 1;
            fs::write(file, bytes).unwrap();
        }),
        ("cut short", |file| {
            fs::File::options().write(true).open(file).unwrap().set_len(9).unwrap()
        }),
        ("gone", |file| fs::remove_file(file).unwrap()),
        ("a directory", |file| {
            fs::remove_file(file).unwrap();
            fs::create_dir(file).unwrap();
        }),
    ];
    let ground = Ground::new(&[]);
    for (change, make) in changes {
        let (requests, bytes) = ground.update(|layer| make(&layer.join("data")));
        assert_eq!(requests, 2, "{change}");
        // That one is sent whole, and is noise.
        let whole = u64::try_from(3 * MIB).unwrap();
        assert!((whole..whole + 400_000).contains(&bytes), "{change}: {bytes} bytes of packs");
    }
    // What is copied and what is patched is asked for together.
    let (requests, _) = ground.update(|layer| {
        for name in ["data", "same", "bin"] {
            fs::write(layer.join(name), b"other").unwrap();
        }
    });
    assert_eq!(requests, 2);
}

/// A file of 1 GiB that is nearly all holes, and 10,000 small ones, of which each version has some bytes changed.
fn nasty(number: u8) -> Image {
    let place = (512 << 20) + 1000 * u64::from(number);
    let pieces =
        vec![(0, noise(1, 9000)), (place, noise(2, 9000)), ((1 << 30) - 9000, noise(3, 9000))];
    let mut files = vec![Entry::sparse("sparse", SparseStyle::Pax10, 1 << 30, pieces)];
    for file in 0..10_000 {
        if file % 100 == 0 {
            files.push(Entry::directory(format!("{:02}/", file / 100)));
        }
        let bytes = touched(noise(1000 + file, 1500), 700, number);
        files.push(Entry::file(format!("{:02}/{file:04}", file / 100), bytes));
    }
    Image::new(vec![Layer::new(&files)])
}

#[test]
fn a_huge_hole_and_very_many_small_changes() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    let layout = Layout::create(&sandbox.directory("layouts"), "nasty");
    let [old, new] = [("v1", 1), ("v2", 2)].map(|(tag, number)| {
        layout.add(tag, &nasty(number));
        registry.push(&layout, tag)
    });
    let stock = Containerd::start(&sandbox).stock(&new);
    let accelerator = Accelerator::start(&sandbox, &format!("http://{}", registry.host));
    let skiff = Skiff::root(&sandbox, &sandbox.directory("device"));
    let mut bytes = Vec::new();
    for image in [&old, &new] {
        let pulled = skiff.pull(&[image, "--max-bytes=1000000000"], &accelerator.url()).ok(image);
        assert_eq!(pulled.number("requests"), 1, "{image}");
        bytes.push(pulled.number("pack_bytes"));
    }
    assert_eq!(stock.report(&skiff.tree(&new).unwrap()), None);
    // Three changes in 1,500 bytes of noise, a head or two for each, and packs of zeros; the file is patched in parts of 64 MiB.
    let memory = Usage::of(accelerator.id()).peak_rss >> 20;
    println!("{bytes:?} bytes of packs, {memory} MiB of the accelerator's memory");
    assert!(bytes[1] * 150 < bytes[0], "{bytes:?} bytes of packs");
    assert!(memory < 1024, "{memory} MiB for contents of 1 GiB");
}
