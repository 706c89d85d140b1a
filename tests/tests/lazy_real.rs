//! Real images that are started by stock containerd when nothing of them is there but the table of contents: they answer, and
//! end as plain files that are what containerd itself unpacks.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_tests::hard::many_files;
use skiff_tests::harness::{
    Accelerator, Containerd, Fault, NetNs, Registry, Relay, Sandbox, Skiff, SkiffDaemon, alone,
    images, wait_for,
};
use skiff_tests::layout::Layout;
use skiff_tests::service::{MARIADB, NGINX, NODE_RED, Service};
use std::fs;
use std::time::Duration;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

#[test]
fn nginx() {
    started_cold(&NGINX);
}

#[test]
fn mariadb() {
    started_cold(&MARIADB);
}

#[test]
fn node_red() {
    started_cold(&NODE_RED);
}

fn started_cold(service: &Service) {
    let _alone = alone();
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    let layout = Layout::open(&images(), service.name);
    let [old, new] = ["old", "new"].map(|tag| registry.push(&layout, tag));
    let accelerator = Accelerator::start(&sandbox, &format!("http://{}", registry.host));
    let netns = NetNs::new();
    let device = Containerd::start_in(&sandbox, &netns);
    let skiff = Skiff::containerd(&sandbox, &device.socket());
    let daemon = SkiffDaemon::start(&skiff);
    let stock = Containerd::start(&sandbox);

    for (reference, fresh) in [(&old, true), (&new, false)] {
        // What the pull brings stands still soon after the table of contents: an update is hardly longer. Node-RED's table alone
        // has more than 256 KiB.
        let held = match service.name {
            _ if fresh => MIB,
            "node-red" => 512 * KIB,
            _ => 256 * KIB,
        };
        let relay = Relay::start(&accelerator.address, Fault::HoldFirst(held));
        let pull = ["pull", reference, "--json", "--lazy=require", "--accelerator", &relay.url()];
        let pulled = skiff.run(&pull).ok(reference);
        let cold = pulled.number("cold_files");
        println!(
            "{reference}: {} bytes before it can be started, {cold} files cold",
            relay.counts().down
        );
        assert!(cold > 100, "{reference}: {cold} files are cold");
        // All containerds of this machine share runc's directory, and services are tested side by side.
        let id = format!("{}-cold-{fresh}", service.name);
        let container = device.container(reference, &id);
        let ready = || wait_for(Duration::from_secs(90), || service.answers());
        assert!(
            netns.inside(ready),
            "{reference}: no answer\n{}\n{:?}",
            daemon.said(),
            daemon.status()
        );
        let left = daemon.cold_files();
        println!("{reference}: it answers with {} of {cold} files hydrated", cold - left);
        // Of an update, how many depends on how soon it answers: what is waited for brings the rest of its pack along.
        let least = if fresh { cold / 4 } else { 0 };
        assert!(left > least, "{reference}: {left} of {cold} files are cold when it answers");
        relay.release();
        daemon.wait_until_warm();
        assert!(netns.inside(|| service.answers()), "{reference}: no answer at the end");
        drop(container);
        let unpacked = stock.stock(reference);
        assert_eq!(device.digest(reference), unpacked.digest);
        assert_eq!(unpacked.report(&device.tree(reference)), None, "{reference}");
    }
    assert!(device.ctr(&["leases", "ls", "-q"]).is_empty());
    println!("{}: daemon's peak RSS {} KiB", service.name, daemon.peak_rss() / KIB);
}

#[test]
fn memory_does_not_grow_with_cold_files() {
    let _alone = alone();
    let sandbox = Sandbox::new();
    let layouts = sandbox.directory("layouts");
    let layout = Layout::create(&layouts, "many");
    for (tag, files) in [("10", 10), ("10000", 10_000), ("20000", 20_000)] {
        layout.add(tag, &many_files(files, 1));
    }
    let accelerator = Accelerator::start(&sandbox, &format!("oci:{}", layouts.display()));
    let mut peaks = Vec::new();
    for tag in ["10", "10000", "20000"] {
        let root = sandbox.directory("root");
        let skiff = Skiff::root(&sandbox, &root);
        let daemon = SkiffDaemon::start(&skiff);
        let image = format!("many:{tag}");
        let url = accelerator.url();
        let pull = ["pull", &image, "--json", "--lazy=require", "--wait", "--accelerator", &url];
        let cold = skiff.run(&pull).ok(&image).number("cold_files");
        let peak = daemon.peak_rss();
        println!("{image}: {cold} cold files, peak RSS {} KiB", peak / KIB);
        // More files than there may be leases: the smallest came before.
        assert!(cold <= 16_384, "{image}: {cold} cold files");
        assert!(cold == 10_000 || tag != "10000", "{image}: {cold} cold files");
        assert!(peak <= Skiff::most_rss(), "{image}: peak RSS {} KiB", peak / KIB);
        peaks.push(peak);
        drop(daemon);
        fs::remove_dir_all(&root).unwrap();
    }
    assert!(peaks[2].abs_diff(peaks[0]) <= 2 * MIB, "{peaks:?}");
}
