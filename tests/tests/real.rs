//! Real images, pulled, updated and run: the promises in numbers, on images as people have them.
//! `make images` builds the pairs.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_tests::bounds::gzip_of_new;
use skiff_tests::compare::Tree;
use skiff_tests::hard::many_files;
use skiff_tests::harness::{
    Accelerator, Containerd, Fault, NetNs, Outcome, Registry, Relay, Sandbox, Skiff, images,
    wait_for,
};
use skiff_tests::layout::Layout;
use skiff_tests::service::{MARIADB, NGINX, NODE_RED, Service};
use std::time::Duration;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// A budget that nothing exceeds: for one every pack waits for its patches, however slow the machine is.
const WITH_PATCHES: &str = "--max-bytes=1000000000";

#[test]
fn nginx() {
    pulled_updated_and_run(&NGINX);
}

#[test]
fn mariadb() {
    pulled_updated_and_run(&MARIADB);
}

#[test]
fn node_red() {
    pulled_updated_and_run(&NODE_RED);
}

fn pulled_updated_and_run(pair: &Service) {
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    let layout = Layout::open(&images(), pair.name);
    let old = registry.push(&layout, "old");
    let new = registry.push(&layout, "new");
    let accelerator = Accelerator::start(&sandbox, &format!("http://{}", registry.host));

    // Stock, through a relay that counts.
    let stock_side = Containerd::start(&sandbox);
    let relay = Relay::start(&registry.host, Fault::None);
    let by_relay = |tag: &str| format!("{}/{}:{tag}", relay.address, pair.name);
    let stock_new = stock_side.stock(&by_relay("new"));
    let counts = relay.counts();
    let stock_bytes = counts.up + counts.down;
    let stock_old = stock_side.stock(&by_relay("old"));
    check_pair(pair, &stock_old.tree, &stock_new.tree);

    // Fresh.
    let relay = Relay::start(&accelerator.address, Fault::None);
    let root = sandbox.directory("root");
    let fresh = Skiff::root(&sandbox, &root).pull(&[&new, WITH_PATCHES], &relay.url()).ok("fresh");
    let counts = relay.counts();
    let fresh_bytes = counts.up + counts.down;
    println!("{}: fresh {fresh_bytes} bytes, stock {stock_bytes}", pair.name);
    assert_eq!(fresh.number("bytes_received"), counts.down, "skiff counts what it receives");
    assert_eq!(fresh.number("bytes_sent"), counts.up, "skiff counts what it sends");
    assert_eq!(fresh.number("requests"), 1);
    check_memory("fresh", &fresh);
    assert_eq!(stock_new.report(&Skiff::root(&sandbox, &root).tree(&new).unwrap()), None, "root");
    std::fs::remove_dir_all(&root).unwrap();

    // The same as a delta.
    let root = sandbox.directory("root");
    let skiff = Skiff::root(&sandbox, &root);
    skiff.pull(&[&old], &accelerator.url()).ok("old, root");
    skiff.pull(&[&new], &accelerator.url()).ok("update, root");
    assert_eq!(stock_new.report(&skiff.tree(&new).unwrap()), None, "root, updated");
    std::fs::remove_dir_all(&root).unwrap();
    let percent = if pair.name == MARIADB.name { 75 } else { 92 };
    let allowed = stock_bytes * percent / 100;
    assert!(fresh_bytes <= allowed, "fresh: {fresh_bytes} bytes, {allowed} are allowed");

    // Old, run, updated, run.
    let netns = NetNs::new();
    let mut device = Containerd::start_in(&sandbox, &netns);
    let skiff = Skiff::containerd(&sandbox, &device.socket());
    skiff.pull(&[&old], &accelerator.url()).ok("old");
    check_runs(pair, &device, &netns, &old, "old");
    let update = skiff.pull(&[&new, WITH_PATCHES], &accelerator.url()).ok("update");
    assert_eq!(device.digest(&new), stock_new.digest);
    assert_eq!(stock_new.report(&device.tree(&new)), None, "new, updated");
    assert_eq!(stock_old.report(&device.tree(&old)), None, "old, after the update");
    check_runs(pair, &device, &netns, &new, "new");
    check_memory("update", &update);
    let mounted = stock_side.mount(&by_relay("new"));
    let gzip = gzip_of_new(&[&stock_old.tree], &[(&mounted.path, &stock_new.tree)]);
    check_update(pair, &update, gzip);

    // Garbage collection and a restart change nothing.
    device.ctr(&["content", "prune", "references"]);
    device.pause();
    device.resume();
    assert_eq!(stock_new.report(&device.tree(&new)), None, "new, after garbage collection");
    check_runs(pair, &device, &netns, &new, "restarted");
}

/// An update must be one: not empty, not everything, and of the main program.
fn check_pair(pair: &Service, old: &Tree, new: &Tree) {
    let (all, fresh) = new.content_bytes(old);
    let percent = 100 * fresh / all;
    println!("{}: {fresh} of {all} content bytes are new", pair.name);
    assert!((5..=95).contains(&percent), "{}: {percent} % of the contents changed", pair.name);
    let program = |tree: &Tree| {
        let node = tree.nodes.get(pair.program.as_bytes());
        node.unwrap_or_else(|| panic!("no /{}", pair.program)).content
    };
    assert_ne!(program(old), program(new), "{} did not change", pair.program);
}

fn check_update(pair: &Service, update: &Outcome, gzip: u64) {
    let packs = update.number("pack_bytes");
    let overhead = update.number("overhead_bytes");
    println!("{}: packs {packs} bytes, gzip -9 {gzip}, overhead {overhead}", pair.name);
    assert_eq!(update.number("requests"), 1);
    assert!(packs * 4 <= gzip, "packs {packs} bytes, gzip -9 {gzip}");
    // Patches make packs shorter, and metadata are what they were.
    let allowed = (gzip / 50).max(64 * KIB);
    assert!(overhead <= allowed, "overhead {overhead} bytes, {allowed} are allowed");
}

fn check_memory(what: &str, outcome: &Outcome) {
    println!("{what}: peak RSS {} KiB", outcome.peak_rss / KIB);
    assert!(outcome.peak_rss > 0, "{what}: no RSS was measured");
    assert!(
        outcome.peak_rss <= Skiff::most_rss(),
        "{what}: peak RSS {} KiB",
        outcome.peak_rss / KIB
    );
}

/// Runs an image until its program answers.
fn check_runs(pair: &Service, device: &Containerd, netns: &NetNs, reference: &str, id: &str) {
    // All containerds of this machine share runc's directory, and services are tested side by side.
    let container = device.container(reference, &format!("{}-{id}", pair.name));
    let ready = netns.inside(|| wait_for(Duration::from_secs(90), || pair.answers()));
    assert!(ready, "{}: {id}: nothing answers on port {}", pair.name, pair.port);
    drop(container);
    let silent = netns.inside(|| wait_for(Duration::from_secs(10), || !pair.answers()));
    assert!(silent, "{}: {id}: still answers after its end", pair.name);
}

#[test]
fn memory_does_not_grow_with_the_image() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    let layout = Layout::create(&sandbox.directory("layouts"), "many");
    layout.add("v1", &many_files(100_000, 1));
    let many = registry.push(&layout, "v1");
    let big = registry.push(&Layout::open(&images(), MARIADB.name), "new");
    let accelerator = Accelerator::start(&sandbox, &format!("http://{}", registry.host));
    let peak = |reference: &str| {
        let root = sandbox.directory("root");
        let pulled = Skiff::root(&sandbox, &root).pull(&[reference], &accelerator.url());
        let pulled = pulled.ok(reference);
        check_memory(reference, &pulled);
        std::fs::remove_dir_all(&root).unwrap();
        pulled.peak_rss
    };
    let (many, big) = (peak(&many), peak(&big));
    let difference = many.abs_diff(big);
    assert!(difference <= MIB, "100,000 files: {many} bytes, the biggest image: {big}");
}
