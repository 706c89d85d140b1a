//! The accelerator streams: its memory does not grow with the size of a layer, nor much with the number of
//! devices.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_protocol::Digest;
use skiff_tests::fleet;
use skiff_tests::hard::noise;
use skiff_tests::harness::{Accelerator, Sandbox, Skiff, Usage, images};
use skiff_tests::layout::{Image, Layer, Layout};
use skiff_tests::tarball::Entry;

const MIB: usize = 1024 * 1024;

/// Peak resident set of an accelerator so far, in KiB.
fn peak_of(accelerator: &Accelerator) -> u64 {
    Usage::of(accelerator.id()).peak_rss / 1024
}

/// The peak of one that ingests and serves one layer of this size.
fn peak(size: usize) -> u64 {
    let sandbox = Sandbox::new();
    let layouts = sandbox.directory("layouts");
    let entries = [Entry::file("file", noise(7, size))];
    Layout::create(&layouts, "big").add("v1", &Image::new(vec![Layer::new(&entries)]));
    let accelerator = Accelerator::start(&sandbox, &format!("oci:{}", layouts.display()));
    let skiff = Skiff::root(&sandbox, &sandbox.directory("root"));
    skiff.pull(&["big:v1"], &accelerator.url()).ok("big");
    peak_of(&accelerator)
}

#[test]
fn memory_does_not_grow_with_the_layer() {
    let (small, big) = (peak(128 * MIB), peak(512 * MIB));
    println!("peak RSS: {small} KiB with a layer of 128 MiB, {big} KiB with one of 512 MiB");
    assert!(big <= small + 16 * 1024, "{small} KiB with 128 MiB, {big} KiB with 512 MiB");
}

/// 200 devices want one image at once. They hold different ones, so that there are five plans.
#[test]
fn two_hundred_devices_at_once() {
    const DEVICES: usize = 200;
    let sandbox = Sandbox::new();
    let accelerator = Accelerator::start(&sandbox, &format!("oci:{}", images().display()));
    let held: Vec<(String, Digest)> = [("nginx", "old"), ("mariadb", "old"), ("node-red", "old")]
        .map(|(name, tag)| {
            let digest = Layout::open(&images(), name).digest_of(tag);
            (format!("{name}:{tag}"), Digest::parse(&digest).unwrap())
        })
        .into();
    let holds: [&[usize]; 5] = [&[], &[0], &[1], &[2], &[1, 2]];
    let requests = holds.map(|holds| {
        let held: Vec<_> = holds.iter().map(|&index| (&*held[index].0, held[index].1)).collect();
        fleet::request("nginx:new", &held)
    });
    // What is new to it is ingested once, whoever asks; that is not what is measured here.
    let alone: Vec<u64> =
        requests.iter().map(|request| fleet::deploy(&accelerator.address, request)).collect();
    println!("bytes for one device of each kind: {alone:?}");
    assert!(alone.iter().all(|&bytes| bytes > 5_000_000), "{alone:?}");
    let before = peak_of(&accelerator);
    std::thread::scope(|scope| {
        for device in 0..DEVICES {
            let (kind, address) = (device % requests.len(), &accelerator.address);
            let (request, alone) = (&requests[kind], alone[kind]);
            scope.spawn(move || {
                let bytes = fleet::deploy(address, request);
                // Beside the packs there are messages on the progress, fewer or more.
                assert!(bytes.abs_diff(alone) < 100_000, "{bytes} bytes, alone {alone}");
            });
        }
    });
    let peak = peak_of(&accelerator);
    println!("peak RSS: {before} KiB with one device at a time, {peak} KiB with {DEVICES}");
    assert!(peak <= 256 * 1024, "{peak} KiB with {DEVICES} devices");
}
