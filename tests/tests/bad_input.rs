//! What goes wrong ends with one sentence and a documented exit code, and leaves nothing: no image,
//! no committed snapshot, nothing that `skiff status` doesn't list and `skiff gc` doesn't remove; and
//! the device's other image is as it was.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_tests::compare::{NEVER, Tree, report};
use skiff_tests::hard::noise;
use skiff_tests::harness::{
    Accelerator, Containerd, Fault, Outcome, Registry, Relay, Sandbox, Skiff, run, wait_for,
};
use skiff_tests::layout::{Image, Layer, Layout};
use skiff_tests::tarball::Entry;
use std::net::TcpListener;
use std::time::Duration;

/// Exit codes, as `skiff --help` lists them.
const UNKNOWN: i32 = 3;
const LINK: i32 = 4;
const SERVER: i32 = 5;
const DAMAGED: i32 = 6;
const CONTAINERD: i32 = 7;
const DISK: i32 = 8;
const BUSY: i32 = 9;

/// Registry, accelerator, and a device that holds one image.
struct Ground {
    device: Containerd,
    skiff: Skiff,
    accelerator: Accelerator,
    registry: Registry,
    other: String,
    other_tree: Tree,
    wanted: String,
    layout: Layout,
    sandbox: Sandbox,
}

fn image(seed: u64) -> Image {
    let files = (0..60).map(|number| {
        let length = if number == 7 { 1_500_000 } else { 4_000 };
        Entry::file(format!("data/{number}"), noise(seed + number, length))
    });
    let mut entries = vec![Entry::directory("data/")];
    entries.extend(files);
    Image::new(vec![Layer::new(&entries)])
}

impl Ground {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let registry = Registry::start(&sandbox);
        let layout = Layout::create(&sandbox.directory("layouts"), "bad");
        layout.add("other", &image(1));
        layout.add("wanted", &image(30));
        let other = registry.push(&layout, "other");
        let wanted = registry.push(&layout, "wanted");
        let accelerator = Accelerator::start(&sandbox, &format!("http://{}", registry.host));
        let device = Containerd::start(&sandbox);
        let skiff = Skiff::containerd(&sandbox, &device.socket());
        skiff.pull(&[&other], &accelerator.url()).ok("other");
        let other_tree = device.tree(&other);
        Self { device, skiff, accelerator, registry, other, other_tree, wanted, layout, sandbox }
    }

    /// The run failed as it should, and left nothing.
    fn check(&self, row: &str, outcome: &Outcome, codes: &[i32]) {
        failed_well(row, outcome, codes);
        self.check_nothing_left(row);
    }

    fn check_nothing_left(&self, row: &str) {
        self.skiff.run(&["gc"]).ok(&format!("{row}: gc"));
        let status = self.skiff.run(&["status", "--json"]).ok(&format!("{row}: status"));
        assert_eq!(leftovers(&status), 0, "{row}: status after gc: {}", status.stdout);
        assert_eq!(self.device.images(), [self.other.as_str()], "{row}: images");
        let snapshots = self.device.committed();
        assert_eq!(snapshots, [self.device.chain_id(&self.other)], "{row}: snapshots");
        let changed = report(&self.other_tree, &self.device.tree(&self.other), &NEVER);
        assert_eq!(changed, None, "{row}: the other image");
    }

    /// A pull through a relay with this fault.
    fn through(&self, fault: Fault) -> Outcome {
        let relay = Relay::start(&self.accelerator.address, fault);
        let url = relay.url();
        self.skiff.run(&["pull", &self.wanted, "--json", "--tries=1", "--accelerator", &url])
    }
}

fn leftovers(status: &Outcome) -> usize {
    let lines = status.stdout.lines();
    lines.filter(|line| !line.trim().is_empty() && !line.contains("\"done\"")).count()
}

/// One sentence on standard error, and one of these codes.
fn failed_well(row: &str, outcome: &Outcome, codes: &[i32]) {
    let Outcome { code, stderr, .. } = outcome;
    assert!(codes.contains(code), "{row}: exit code {code}, not {codes:?}: {stderr}");
    let said: Vec<_> = stderr.lines().collect();
    assert!(said.len() == 1 && said[0].starts_with("skiff: "), "{row}: not one sentence: {stderr}");
    assert!(!stderr.contains("panicked"), "{row}: {stderr}");
}

/// A port of the loopback where nobody listens.
fn nowhere() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn what_is_not_there() {
    let ground = Ground::new();
    let url = ground.accelerator.url();
    let host = &ground.registry.host;
    for (row, name) in [("unknown tag", "bad:none"), ("unknown repository", "none:v1")] {
        let outcome = ground.skiff.pull(&[&format!("{host}/{name}")], &url);
        ground.check(row, &outcome, &[UNKNOWN]);
    }
    let absent = format!("{host}/bad@sha256:{}", "ab".repeat(32));
    ground.check("unknown digest", &ground.skiff.pull(&[&absent], &url), &[UNKNOWN]);
    let both = ground.skiff.pull(&[&ground.wanted, &format!("{host}/bad:none")], &url);
    ground.check("one of two is unknown", &both, &[UNKNOWN]);
    let outcome = ground.skiff.pull(&[&ground.wanted], &format!("http://{}", nowhere()));
    ground.check("no accelerator", &outcome, &[LINK]);
    let lonely = Accelerator::start(&ground.sandbox, &format!("http://{}", nowhere()));
    let outcome = ground.skiff.pull(&[&ground.wanted], &lonely.url());
    ground.check("no registry", &outcome, &[SERVER]);
}

#[test]
fn a_damaged_image() {
    let ground = Ground::new();
    // The layout's blob isn't what its digest says.
    let directory = ground.sandbox.directory("damaged");
    let layout = Layout::create(&directory, "bad");
    layout.add("v1", &image(90));
    let manifest = layout.manifest_of("v1");
    let layer = layout.blob_path(manifest["layers"][0]["digest"].as_str().unwrap());
    let mut bytes = std::fs::read(&layer).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&layer, bytes).unwrap();
    let accelerator = Accelerator::start(&ground.sandbox, &format!("oci:{}", directory.display()));
    let outcome = ground.skiff.pull(&["bad:v1"], &accelerator.url());
    ground.check("flipped byte in a layer", &outcome, &[SERVER, DAMAGED]);
    std::fs::remove_file(&layer).unwrap();
    let outcome = ground.skiff.pull(&["bad:v1"], &accelerator.url());
    ground.check("missing layer", &outcome, &[UNKNOWN, SERVER, DAMAGED]);
}

#[test]
fn a_damaged_stream() {
    let ground = Ground::new();
    // How long is the whole of it?
    let relay = Relay::start(&ground.accelerator.address, Fault::None);
    ground.skiff.pull(&[&ground.wanted], &relay.url()).ok("whole");
    let whole = relay.counts().down;
    ground.skiff.run(&["rm", &ground.wanted]).ok("rm");
    ground.device.ctr(&["content", "prune", "references"]);
    // Places from a seed, and both ends.
    let seeded = noise(2024, 8 * 12);
    let mut places: Vec<u64> = seeded
        .chunks(8)
        .map(|eight| u64::from_le_bytes(eight.try_into().unwrap()) % whole)
        .collect();
    // The last bytes are the last frame's and HTTP's end of the body: all contents have arrived before them.
    places.extend([0, 1, 100, 400, whole - 1000]);
    for place in places {
        let row = format!("cut after {place} of {whole}");
        ground.check(&row, &ground.through(Fault::CutAfter(place)), &[LINK, DAMAGED]);
    }
    let seeded = noise(2025, 8 * 16);
    for eight in seeded.chunks(8) {
        // The head of the answer is HTTP's: a flip there may do nothing.
        let place = 400 + u64::from_le_bytes(eight.try_into().unwrap()) % (whole - 410);
        let row = format!("flip at {place} of {whole}");
        let outcome = ground.through(Fault::FlipAt(place));
        ground.check(&row, &outcome, &[LINK, SERVER, DAMAGED]);
    }
    // And then it works.
    let outcome = ground.skiff.pull(&[&ground.wanted], &ground.accelerator.url());
    outcome.ok("after all that");
}

#[test]
fn a_killed_pull() {
    let ground = Ground::new();
    let leases = || ground.device.ctr(&["leases", "ls", "-q"]).lines().count();
    let relay = Relay::start(&ground.accelerator.address, Fault::StallAfter(300_000));
    let arguments = ["pull", &ground.wanted, "--accelerator", &relay.url()];
    let running = ground.skiff.start(&arguments);
    let stalled = || relay.counts().down >= 300_000 && leases() == 1;
    assert!(wait_for(Duration::from_secs(20), stalled), "{:?}", relay.counts());
    drop(running);
    let status = ground.skiff.run(&["status", "--json"]).ok("status");
    assert!(leftovers(&status) > 1, "scratch and a snapshot are left: {}", status.stdout);
    ground.skiff.pull(&[&ground.wanted], &ground.accelerator.url()).ok("the next pull");
    let status = ground.skiff.run(&["status", "--json"]).ok("status");
    assert_eq!(leftovers(&status), 0, "after the next pull: {}", status.stdout);
    assert_eq!(leases(), 0, "leases after the next pull");
    // A plain directory.
    let skiff = Skiff::root(&ground.sandbox, &ground.sandbox.directory("root"));
    let relay = Relay::start(&ground.accelerator.address, Fault::StallAfter(300_000));
    let running = skiff.start(&["pull", &ground.wanted, "--accelerator", &relay.url()]);
    assert!(wait_for(Duration::from_secs(20), || relay.counts().down >= 300_000));
    drop(running);
    skiff.pull(&[&ground.wanted], &ground.accelerator.url()).ok("the next pull into a directory");
    let status = skiff.run(&["status", "--json"]).ok("status");
    assert_eq!(leftovers(&status), 0, "after the next pull: {}", status.stdout);
}

#[test]
fn a_full_disk_and_a_read_only_one() {
    let ground = Ground::new();
    let point = ground.sandbox.directory("small");
    let target = point.to_str().unwrap();
    run("mount", &["-t", "tmpfs", "-o", "size=1m", "tmpfs", target]);
    let skiff = Skiff::root(&ground.sandbox, &point.join("root"));
    let outcome = skiff.pull(&[&ground.wanted], &ground.accelerator.url());
    failed_well("full disk", &outcome, &[DISK]);
    skiff.run(&["gc"]).ok("gc on a full disk");
    let status = skiff.run(&["status", "--json"]).ok("status on a full disk");
    assert_eq!(leftovers(&status), 0, "after gc: {}", status.stdout);
    let listed = skiff.run(&["ls"]).ok("ls");
    assert!(!listed.stdout.contains("wanted"), "an image on a full disk: {}", listed.stdout);
    run("mount", &["-o", "remount,ro", target]);
    let outcome = skiff.pull(&[&ground.wanted], &ground.accelerator.url());
    failed_well("read-only disk", &outcome, &[DISK]);
    run("mount", &["-o", "remount,rw,size=50m", target]);
    skiff.pull(&[&ground.wanted], &ground.accelerator.url()).ok("a larger disk");
    ground.check_nothing_left("on the other disk");
}

#[test]
fn the_disk_of_containerd_is_full() {
    let ground = Ground::new();
    let point = ground.sandbox.directory("small");
    run("mount", &["-t", "tmpfs", "-o", "size=16m", "tmpfs", point.to_str().unwrap()]);
    let device = Containerd::at(&point, None);
    let skiff = Skiff::containerd(&ground.sandbox, &device.socket());
    let filler = point.join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    // Writes until nothing fits, then leaves less room than the image takes.
    while std::io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
    file.set_len(file.metadata().unwrap().len() - 1024 * 1024).unwrap();
    drop(file);
    let outcome = skiff.pull(&[&ground.wanted], &ground.accelerator.url());
    failed_well("containerd's disk is full", &outcome, &[DISK]);
    skiff.run(&["gc"]).ok("gc");
    assert_eq!(leftovers(&skiff.run(&["status", "--json"]).ok("status")), 0);
    assert!(device.images().is_empty() && device.committed().is_empty());
    std::fs::remove_file(&filler).unwrap();
    skiff.pull(&[&ground.wanted], &ground.accelerator.url()).ok("with room again");
}

#[test]
fn containerd_is_away() {
    let mut ground = Ground::new();
    ground.device.pause();
    let outcome = ground.skiff.pull(&[&ground.wanted], &ground.accelerator.url());
    failed_well("containerd is away", &outcome, &[CONTAINERD]);
    ground.device.resume();
    ground.check_nothing_left("containerd is away");
}

#[test]
fn the_snapshot_is_there_already() {
    let ground = Ground::new();
    // Stock has pulled it, and lost the image's record, but not its snapshot.
    ground.device.pull(&ground.wanted);
    let chain = ground.device.chain_id(&ground.wanted);
    ground.device.ctr(&["snapshots", "label", &chain, "containerd.io/gc.root=kept"]);
    let stock = ground.device.tree(&ground.wanted);
    ground.device.remove(&ground.wanted);
    assert!(ground.device.committed().contains(&chain), "the snapshot is kept");
    let outcome = ground.skiff.pull(&[&ground.wanted], &ground.accelerator.url());
    outcome.ok("snapshot exists");
    assert_eq!(report(&stock, &ground.device.tree(&ground.wanted), &NEVER), None, "the tree");
    assert_eq!(ground.device.digest(&ground.wanted), ground.layout.digest_of("wanted"));
}

#[test]
fn two_pulls_at_once() {
    let ground = Ground::new();
    let url = ground.accelerator.url();
    let arguments = ["pull", "--json", "--accelerator", &url, &ground.wanted];
    let (one, two) = (ground.skiff.start(&arguments), ground.skiff.start(&arguments));
    let outcomes = [one.finish(), two.finish()];
    let done = outcomes.iter().filter(|outcome| outcome.code == 0).count();
    assert!(done >= 1, "neither pull succeeds: {outcomes:?}");
    for outcome in outcomes.iter().filter(|outcome| outcome.code != 0) {
        failed_well("the second pull", outcome, &[BUSY]);
    }
    let fresh = ground.skiff.pull(&[&ground.wanted], &url).ok("a third pull");
    assert_eq!(fresh.done()["images"][0]["fetched"], false, "it is there already");
    // Two agents that know nothing of each other.
    ground.skiff.run(&["rm", &ground.wanted]).ok("rm");
    ground.device.ctr(&["content", "prune", "references"]);
    let other = Skiff::containerd(&ground.sandbox, &ground.device.socket());
    let (one, two) = (ground.skiff.start(&arguments), other.start(&arguments));
    for outcome in [one.finish(), two.finish()] {
        outcome.ok("with a state directory of its own");
    }
    assert_eq!(ground.device.digest(&ground.wanted), ground.layout.digest_of("wanted"));
}
