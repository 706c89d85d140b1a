//! The accelerator streams: its memory does not grow with the size of a layer.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_tests::hard::noise;
use skiff_tests::harness::{Accelerator, Sandbox, Skiff};
use skiff_tests::layout::{Image, Layer, Layout};
use skiff_tests::tarball::Entry;

const MIB: usize = 1024 * 1024;

/// Peak resident set of an accelerator, in KiB, that ingests and serves one layer of this size.
fn peak(size: usize) -> u64 {
    let sandbox = Sandbox::new();
    let layouts = sandbox.directory("layouts");
    let entries = [Entry::file("file", noise(7, size))];
    Layout::create(&layouts, "big").add("v1", &Image::new(vec![Layer::new(&entries)]));
    let accelerator = Accelerator::start(&sandbox, &format!("oci:{}", layouts.display()));
    let skiff = Skiff::root(&sandbox, &sandbox.directory("root"));
    skiff.pull(&["big:v1"], &accelerator.url()).ok("big");
    let status = std::fs::read_to_string(format!("/proc/{}/status", accelerator.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

#[test]
fn memory_does_not_grow_with_the_layer() {
    let (small, big) = (peak(128 * MIB), peak(512 * MIB));
    println!("peak RSS: {small} KiB with a layer of 128 MiB, {big} KiB with one of 512 MiB");
    assert!(big <= small + 16 * 1024, "{small} KiB with 128 MiB, {big} KiB with 512 MiB");
}
