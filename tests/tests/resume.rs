//! What came counts: streams that are cut, pulls that are killed, plans that are known no more.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_tests::compare::{NEVER, Tree, report};
use skiff_tests::hard::noise;
use skiff_tests::harness::{
    Accelerator, Containerd, Fault, Outcome, Relay, Sandbox, Skiff, SkiffDaemon, alone, wait_for,
};
use skiff_tests::layout::{Image, Layer, Layout};
use skiff_tests::tarball::Entry;
use std::time::{Duration, Instant};

const IMAGE: &str = "app:1";
/// A pack of bytes that can't be compressed, with its frames.
const PACK: u64 = (1 << 20) + 20_000;
/// Whatever else an answer has: HTTP's head, plan, metadata of some files.
const REST: u64 = 4_000;

/// A large file, and others that are smaller than a pack: 9.2 MB.
fn files(large: u64) -> Vec<Entry> {
    let file =
        |name: &str, seed, size| Entry::file(name, noise(seed, size)).mtime(1_600_000_000, 0);
    let small = (0..20).map(|number| file(&format!("d/{number:02}"), 100 + number, 150_000));
    let large = [file("large", large, 5_200_000), file("middle", 2, 1_000_000)];
    let mut capable = file("d/capable", 3, 20_000);
    capable = capable.mode(0o4755);
    [Entry::directory("d/")].into_iter().chain(large).chain(small).chain([capable]).collect()
}

struct Ground {
    accelerator: Accelerator,
    layout: Layout,
    layouts: String,
    /// The image as an undisturbed pull makes it, and what that received.
    whole: (Tree, u64),
    sandbox: Sandbox,
}

impl Ground {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let directory = sandbox.directory("layouts");
        let layout = Layout::create(&directory, "app");
        layout.add("1", &Image::new(vec![Layer::new(&files(1))]));
        let layouts = format!("oci:{}", directory.display());
        let accelerator = Accelerator::start(&sandbox, &layouts);
        let skiff = Skiff::root(&sandbox, &sandbox.directory("whole"));
        let whole = skiff.pull(&[IMAGE], &accelerator.url()).ok("whole");
        let whole = (skiff.tree(IMAGE).unwrap(), whole.number("bytes_received"));
        Self { accelerator, layout, layouts, whole, sandbox }
    }

    fn device(&self, name: &str) -> Skiff {
        Skiff::root(&self.sandbox, &self.sandbox.directory(name))
    }

    fn relay(&self, fault: Fault) -> Relay {
        Relay::start(&self.accelerator.address, fault)
    }

    /// Another accelerator, with a database of its own.
    fn replica(&self) -> Accelerator {
        Accelerator::start_with(&self.sandbox.directory("replica"), &self.layouts, &[])
    }

    /// The image is as it should be, and nothing of a pull is left.
    fn check(&self, row: &str, skiff: &Skiff) {
        let found = skiff.tree(IMAGE).unwrap();
        assert_eq!(report(&self.whole.0, &found, &NEVER), None, "{row}");
        let status = skiff.run(&["status", "--json"]).ok(row);
        assert_eq!(status.stdout, "", "{row}");
    }

    /// A pull that stands still after so many bytes, and is killed then.
    fn killed(&self, row: &str, skiff: &Skiff, after: u64) {
        let relay = self.relay(Fault::StallAfter(after));
        let pull = ["pull", IMAGE, "--lazy=never", "--accelerator", &relay.url()];
        let running = skiff.start(&pull);
        assert!(wait_for(Duration::from_secs(20), || relay.counts().down >= after), "{row}");
        // What it got is written by then.
        std::thread::sleep(Duration::from_millis(300));
        drop(running);
    }
}

/// Bytes of contents that a pull has taken over from an earlier one.
fn resumed(outcome: &Outcome) -> u64 {
    let events = outcome.stdout.lines().map(serde_json::from_str::<serde_json::Value>);
    let found = events.map(Result::unwrap).find(|event| event["event"] == "resumed");
    found.map_or(0, |event| event["bytes"].as_u64().unwrap())
}

#[test]
fn a_stream_that_is_cut_goes_on_with_its_packs() {
    let ground = Ground::new();
    for each in [1_500_000, 2_000_000, 4_000_000] {
        let row = format!("cut after {each} each");
        let skiff = ground.device(&each.to_string());
        let relay = ground.relay(Fault::CutEach(each));
        let outcome = skiff.pull(&[IMAGE], &relay.url()).ok(&row);
        let (down, cuts) = (relay.counts().down, relay.counts().connections - 1);
        assert!(cuts >= ground.whole.1 / each && cuts < 20, "{row}: {cuts} cuts");
        assert_eq!(outcome.number("requests"), cuts + 1, "{row}");
        let most = ground.whole.1 + cuts * (PACK + REST);
        assert!(down <= most, "{row}: {down} bytes for {} and {cuts} cuts", ground.whole.1);
        ground.check(&row, &skiff);
    }
    // A bit that is turned over in the stream is a cut, too.
    let skiff = ground.device("flipped");
    let relay = ground.relay(Fault::FlipAt(3_000_000));
    let outcome = skiff.pull(&[IMAGE], &relay.url()).ok("flipped");
    assert_eq!(outcome.number("requests"), 2);
    assert!(outcome.number("bytes_received") <= ground.whole.1 + PACK + REST);
    ground.check("flipped", &skiff);
}

#[test]
fn a_pull_that_was_killed_is_gone_on_with() {
    let ground = Ground::new();
    let containerd = Containerd::start(&ground.sandbox);
    let devices = [
        ("containerd", Skiff::containerd(&ground.sandbox, &containerd.socket())),
        ("root", ground.device("root")),
    ];
    for (row, skiff) in devices {
        let mut received = 0;
        let places = [1_200_000, 3_600_000, 1_000_000];
        for after in places {
            ground.killed(row, &skiff, after);
            received += after;
        }
        let outcome = skiff.pull(&[IMAGE], &ground.accelerator.url()).ok(row);
        received += outcome.number("bytes_received");
        let most = ground.whole.1 + 3 * (PACK + 2 * REST) + 150_000;
        assert!(received <= most, "{row}: {received} bytes for {}", ground.whole.1);
        let there = resumed(&outcome);
        assert!(there >= 5_800_000 - 3 * PACK, "{row}: {there} bytes were there");
        assert_eq!(outcome.number("requests"), 2, "{row}");
        ground.check(row, &skiff);
        if row == "containerd" {
            assert_eq!(containerd.ctr(&["leases", "ls", "-q"]), "", "leases are left");
        }
    }
}

#[test]
fn what_came_counts_for_another_plan_too() {
    let ground = Ground::new();
    // A replica that has nothing of the first one's database.
    let replica = ground.replica();
    let skiff = ground.device("replica");
    ground.killed("replica", &skiff, 7_500_000);
    let outcome = skiff.pull(&[IMAGE], &replica.url()).ok("replica");
    let (there, more) = (resumed(&outcome), outcome.number("bytes_received"));
    assert!(there >= 7_500_000 - 2 * PACK, "{there}");
    assert!(there + more <= ground.whole.1 + PACK + 2 * REST, "{there} there, {more} came");
    ground.check("replica", &skiff);

    // The tag moves: what the new image shares with the old one is there.
    let skiff = ground.device("moved");
    ground.killed("moved", &skiff, 8_500_000);
    ground.layout.add("1", &Image::new(vec![Layer::new(&files(9))]));
    let outcome = skiff.pull(&[IMAGE], &ground.accelerator.url()).ok("moved");
    let (there, more) = (resumed(&outcome), outcome.number("bytes_received"));
    assert!(there >= 2_000_000, "{there} bytes were there");
    assert!(there + more <= ground.whole.1 + PACK + 2 * REST, "{there} there, {more} came");
    let again = ground.device("again");
    again.pull(&[IMAGE], &ground.accelerator.url()).ok("again");
    let (expected, found) = (again.tree(IMAGE).unwrap(), skiff.tree(IMAGE).unwrap());
    assert_eq!(report(&expected, &found, &NEVER), None);

    // Both in the middle of a pull, which begins anew by itself.
    let skiff = ground.device("begun anew");
    let relay = ground.relay(Fault::HoldFirst(8_000_000));
    let pull = ["pull", IMAGE, "--json", "--lazy=never", "--accelerator", &relay.url()];
    let running = skiff.start(&pull);
    assert!(wait_for(Duration::from_secs(20), || relay.counts().down >= 8_000_000));
    ground.layout.add("1", &Image::new(vec![Layer::new(&files(8))]));
    relay.redirect(&replica.address);
    relay.cut();
    std::thread::sleep(Duration::from_millis(300));
    relay.mend();
    let outcome = running.finish().ok("begun anew");
    assert!(replica.log().contains("PlanChanged"), "{}", replica.log());
    let there = resumed(&outcome);
    assert!(there >= 2_000_000, "{there} bytes were there");
    let most = 8_000_000 + ground.whole.1 - there + PACK + 3 * REST;
    assert!(relay.counts().down <= most, "{:?}, {there} were there", relay.counts());
    let again = ground.device("again");
    again.pull(&[IMAGE], &replica.url()).ok("again");
    let (expected, found) = (again.tree(IMAGE).unwrap(), skiff.tree(IMAGE).unwrap());
    assert_eq!(report(&expected, &found, &NEVER), None);
}

#[test]
fn what_came_before_a_power_cut_is_read_before_it_is_believed() {
    let ground = Ground::new();
    let skiff = ground.device("cut");
    ground.killed("cut", &skiff, 7_500_000);
    // As if the last writes had not reached the disk: one file is short, one is empty of its bytes.
    let layer = skiff.state.with_file_name("snapshots/1/fs");
    let whole =
        |name: &str| std::fs::metadata(layer.join(name)).is_ok_and(|it| it.len() == 150_000);
    let names: Vec<String> = (0..20).map(|number| format!("d/{number:02}")).collect();
    let [first, second, ..] = &names.iter().filter(|name| whole(name)).collect::<Vec<_>>()[..]
    else {
        panic!("no small file had come");
    };
    let file = std::fs::File::options().write(true).open(layer.join(first)).unwrap();
    file.set_len(100_000).unwrap();
    std::fs::write(layer.join(second), vec![0; 150_000]).unwrap();
    let large = std::fs::File::options().write(true).open(layer.join("large")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&large, &[0; 4096], 1_000_000).unwrap();
    skiff.pull(&[IMAGE], &ground.accelerator.url()).ok("after the power cut");
    ground.check("after the power cut", &skiff);
}

#[test]
fn a_budget_is_kept() {
    let ground = Ground::new();
    let url = ground.accelerator.url();
    let skiff = ground.device("budget");
    let pull = |url: &str, more: &[&str]| {
        skiff.run(&[&["pull", IMAGE, "--json", "--accelerator", url], more].concat())
    };
    let refused = pull(&url, &["--no-full-download"]);
    assert_eq!(refused.code, 5, "{}", refused.stderr);
    assert!(refused.stderr.contains("9.2 MB"), "{}", refused.stderr);
    let refused = pull(&url, &["--max-bytes=1000000"]);
    assert_eq!(refused.code, 5, "{}", refused.stderr);
    assert_eq!(skiff.run(&["status", "--json"]).ok("status").stdout, "");

    // Nobody waits longer than he wants.
    let dead = ground.relay(Fault::CutAfter(3_000_000));
    let tried = pull(&dead.url(), &["--tries=2"]);
    assert_eq!(tried.code, 4, "{}", tried.stderr);
    assert_eq!(tried.stderr.matches("trying again").count(), 0, "it is JSON");
    assert_eq!(tried.stdout.matches("waiting").count(), 1, "{}", tried.stdout);
    let out = pull(&dead.url(), &["--max-seconds=2"]);
    assert_eq!(out.code, 4, "{}", out.stderr);

    let silent = ground.relay(Fault::StallAfter(3_500_000));
    let out = pull(&silent.url(), &["--max-seconds=2"]);
    assert_eq!(out.code, 4, "{}", out.stderr);

    // Not faster than allowed, and what came before is of the same budget.
    let started = Instant::now();
    let slow = pull(&url, &["--limit-rate=3000000", "--max-bytes=7500000"]).ok("slow");
    let received = slow.number("bytes_received");
    let least = Duration::from_secs_f64(received as f64 / 3_000_000.0 - 0.6);
    assert!(started.elapsed() >= least, "{received} bytes in {:?}", started.elapsed());
    ground.check("slow", &skiff);
}

#[test]
fn hydration_goes_on_with_its_packs() {
    let _alone = alone();
    let ground = Ground::new();
    let skiff = ground.device("lazy");
    let relay = ground.relay(Fault::CutEach(2_000_000));
    let mut daemon = SkiffDaemon::start(&skiff);
    let pull = ["pull", IMAGE, "--json", "--lazy=require", "--accelerator", &relay.url()];
    skiff.run(&pull).ok("lazy pull");
    // Killed in the middle, and started again.
    assert!(wait_for(Duration::from_secs(20), || relay.counts().down > 3_000_000));
    daemon.kill();
    daemon = SkiffDaemon::start(&skiff);
    daemon.wait_until_warm();
    let (down, cuts) = (relay.counts().down, relay.counts().connections);
    let most = ground.whole.1 + cuts * (PACK + REST);
    assert!(cuts < 20 && down <= most, "{down} bytes for {} and {cuts} cuts", ground.whole.1);
    ground.check("lazy", &skiff);
}

#[test]
fn hydration_goes_on_by_digest_when_its_plan_is_known_no_more() {
    let _alone = alone();
    let ground = Ground::new();
    let skiff = ground.device("forgotten");
    let relay = ground.relay(Fault::HoldFirst(1_000_000));
    let daemon = SkiffDaemon::start(&skiff);
    let pull = ["pull", IMAGE, "--json", "--lazy=require", "--accelerator", &relay.url()];
    skiff.run(&pull).ok("lazy pull");
    daemon.kill();
    // In the accelerator's place is one that knows nothing of it, and would send it in another order.
    let replica = ground.replica();
    replica.set_hot(&ground.sandbox, IMAGE, &["d/19", "middle"]);
    relay.redirect(&replica.address);
    relay.release();
    let daemon = SkiffDaemon::start(&skiff);
    // Somebody waits for a file, too.
    let layer = skiff.state.with_file_name("snapshots/1/fs");
    assert!(std::fs::read(layer.join("d/07")).unwrap() == noise(107, 150_000));
    daemon.wait_until_warm();
    assert!(replica.log().contains("PlanChanged"), "{}", replica.log());
    ground.check("forgotten", &skiff);
}
