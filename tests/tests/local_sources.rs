//! Contents that the device has are copied, not sent; and what was changed on the device meanwhile
//! is found out and sent after all, in one more request for all of it.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_tests::compare::{NEVER, report};
use skiff_tests::hard::noise;
use skiff_tests::harness::{Accelerator, Sandbox, Skiff};
use skiff_tests::layout::{Image, Layer, Layout};
use skiff_tests::tarball::Entry;
use std::fs;

const SIZE: usize = 300_000;

/// Version 2 has all contents of version 1: under another time, another name, and twice.
fn versions(layout: &Layout) {
    let contents: Vec<Vec<u8>> = (0..4).map(|seed| noise(seed, SIZE)).collect();
    let file = |name: &str, content: usize, second: i64| {
        Entry::file(name, &contents[content]).mtime(second, 0)
    };
    let v1 = [file("same", 0, 1), file("touched", 1, 1), file("moved", 2, 1), file("twice", 3, 1)];
    let v2 = [
        file("same", 0, 1),
        file("touched", 1, 2),
        file("elsewhere", 2, 1),
        file("twice", 3, 2),
        file("twice-again", 3, 3),
    ];
    layout.add("v1", &Image::new(vec![Layer::new(&v1)]));
    layout.add("v2", &Image::new(vec![Layer::new(&v2)]));
}

#[test]
fn what_is_held_is_not_sent_unless_it_was_changed() {
    let sandbox = Sandbox::new();
    let layouts = sandbox.directory("layouts");
    versions(&Layout::create(&layouts, "held"));
    let accelerator = Accelerator::start(&sandbox, &format!("oci:{}", layouts.display()));
    let fresh = Skiff::root(&sandbox, &sandbox.directory("fresh"));
    fresh.pull(&["held:v2"], &accelerator.url()).ok("fresh");
    let expected = fresh.tree("held:v2").unwrap();

    for (damaged, requests) in [(&[][..], 1), (&["touched", "moved", "twice"], 2)] {
        let root = sandbox.directory("device");
        let skiff = Skiff::root(&sandbox, &root);
        skiff.pull(&["held:v1"], &accelerator.url()).ok("v1");
        for name in damaged {
            let path = root.join("snapshots/1/fs").join(name);
            let mut bytes = fs::read(&path).unwrap();
            bytes[SIZE / 2] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
        let update = skiff.pull(&["held:v2"], &accelerator.url()).ok("v2");
        assert_eq!(update.number("requests"), requests, "{damaged:?}");
        let sent = update.number("pack_bytes");
        let size = u64::try_from(damaged.len() * SIZE).unwrap();
        assert!(sent >= size && sent <= size + size / 100, "{damaged:?}: {sent} bytes of packs");
        assert_eq!(report(&expected, &skiff.tree("held:v2").unwrap(), &NEVER), None, "{damaged:?}");
        fs::remove_dir_all(&root).unwrap();
    }
}

#[test]
fn several_images_come_in_one_request_and_share_contents() {
    let sandbox = Sandbox::new();
    let layouts = sandbox.directory("layouts");
    versions(&Layout::create(&layouts, "held"));
    let accelerator = Accelerator::start(&sandbox, &format!("oci:{}", layouts.display()));
    let skiff = Skiff::root(&sandbox, &sandbox.directory("both"));
    let both = skiff.pull(&["held:v1", "held:v2"], &accelerator.url()).ok("both");
    assert_eq!(both.number("requests"), 1);
    let (sent, size) = (both.number("pack_bytes"), u64::try_from(4 * SIZE).unwrap());
    assert!(sent >= size && sent <= size + size / 100, "{sent} bytes of packs");
    for tag in ["held:v1", "held:v2"] {
        let alone = Skiff::root(&sandbox, &sandbox.directory("alone"));
        alone.pull(&[tag], &accelerator.url()).ok(tag);
        let expected = alone.tree(tag).unwrap();
        let found = skiff.tree(tag).unwrap();
        assert_eq!(report(&expected, &found, &NEVER), None, "{tag}");
    }
}
