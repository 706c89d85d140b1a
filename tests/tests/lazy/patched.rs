//! An update whose cold files come as patches against the files of the old image.

use super::is_as_eager;
use skiff_tests::hard::{code, noise, touched};
use skiff_tests::harness::{Accelerator, Fault, Relay, Sandbox, Skiff, SkiffDaemon, alone};
use skiff_tests::layout::{Image, Layer, Layout};
use skiff_tests::tarball::Entry;
use std::fs;

const MIB: usize = 1 << 20;

fn version(number: u8) -> Image {
    let mut entries = vec![
        Entry::file("bin", code(1, 4 * MIB, 0x770 * u32::from(number))),
        Entry::file("data", touched(noise(2, 3 * MIB), 8192, number)),
    ];
    for file in 0..20 {
        let bytes = touched(noise(10 + file, 30_000), 3000, number);
        entries.push(Entry::file(format!("file{file:02}"), bytes));
    }
    Image::new(vec![Layer::new(&entries)])
}

/// An accelerator that has both versions, as `like:1` and `like:2`, and all packs of the update.
fn accelerator(sandbox: &Sandbox) -> Accelerator {
    let layouts = sandbox.directory("layouts");
    let layout = Layout::create(&layouts, "like");
    layout.add("1", &version(1));
    layout.add("2", &version(2));
    let accelerator = Accelerator::start(sandbox, &format!("oci:{}", layouts.display()));
    let url = accelerator.url();
    // With a budget the patches are made before anything is sent, and for the second device they are there.
    let measured = Skiff::root(sandbox, &sandbox.directory("measured"));
    measured.pull(&["like:1"], &url).ok("old");
    measured.pull(&["like:2", "--max-bytes=1000000000"], &url).ok("new");
    accelerator
}

#[test]
fn what_is_still_cold_is_no_base() {
    let _alone = alone();
    let sandbox = Sandbox::new();
    let accelerator = accelerator(&sandbox);
    // The first connection brings the old version's table of contents, and next to nothing of its files.
    let relay = Relay::start(&accelerator.address, Fault::HoldFirst(64 << 10));
    let skiff = Skiff::root(&sandbox, &sandbox.directory("device"));
    let daemon = SkiffDaemon::start(&skiff);
    let pull = |image, url: &str| {
        let lazily = ["pull", image, "--json", "--lazy=require", "--accelerator", url];
        skiff.run(&lazily).ok(image);
    };
    pull("like:1", &relay.url());
    let answers = || accelerator.counter("skiff_deployments_total{result=\"complete\"}");
    let before = answers();
    pull("like:2", &accelerator.url());
    relay.release();
    daemon.wait_until_warm();
    // The rest of the old version's, and the new one's: nothing is asked for again.
    assert_eq!(answers() - before, 2);
    for image in ["like:1", "like:2"] {
        is_as_eager(&sandbox, &accelerator, &skiff, image);
    }
}

#[test]
fn cold_files_come_as_patches_and_a_changed_base_is_survived() {
    let _alone = alone();
    let sandbox = Sandbox::new();
    let accelerator = accelerator(&sandbox);
    let url = accelerator.url();
    for is_changed in [false, true] {
        let root = sandbox.directory("device");
        let skiff = Skiff::root(&sandbox, &root);
        let daemon = SkiffDaemon::start(&skiff);
        let pull = |image| {
            skiff.run(&["pull", image, "--json", "--lazy=require", "--wait", "--accelerator", &url])
        };
        pull("like:1").ok("old");
        daemon.wait_until_warm();
        if is_changed {
            for name in ["data", "file07"] {
                fs::write(root.join("snapshots/1/fs").join(name), b"other").unwrap();
            }
        }
        let before = accelerator.counter("skiff_sent_bytes_total");
        pull("like:2").ok("new");
        daemon.wait_until_warm();
        let sent = accelerator.counter("skiff_sent_bytes_total") - before;
        // The packs that have the two files, whole.
        let most = if is_changed { 5_300_000 } else { 400_000 };
        assert!(sent < most, "{sent} bytes of answers, of 7.6 MB");
        is_as_eager(&sandbox, &accelerator, &skiff, "like:2");
    }
}
