//! What becomes of cold files when the daemon, its holder, the link, or the image goes away.
#![allow(clippy::unwrap_used, reason = "tests")]

mod containers;
mod execute;
mod patched;
mod upgrade;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use skiff_tests::compare::{NEVER, report};
use skiff_tests::hard::noise;
use skiff_tests::harness::{
    Accelerator, Fault, Relay, Sandbox, Skiff, SkiffDaemon, alone, end_holder, wait_for,
};
use skiff_tests::layout::{Image, Layer, Layout};
use skiff_tests::startable::{FILLER, IMAGE, Startable};
use skiff_tests::tarball::Entry;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const FILES: u64 = 40;
const SIZE: usize = 50_000;

fn name(number: u64) -> String {
    format!("d/{number:02}")
}

fn startable() -> Startable {
    let directory = Entry::directory("d/");
    let file = |number| Entry::file(name(number), noise(number, SIZE)).mtime(1_600_000_000, 5);
    Startable::new(&[], &std::iter::once(directory).chain((0..FILES).map(file)).collect::<Vec<_>>())
}

/// Somebody who opens a file and waits.
struct Opener(Child);

impl Opener {
    fn of(it: &Startable, name: &str) -> Self {
        let mut command = Command::new("cat");
        Self(command.arg(it.path(name)).stdout(Stdio::piped()).spawn().unwrap())
    }

    /// Waits for it to wait.
    fn waits(self) -> Self {
        let wchan = format!("/proc/{}/wchan", self.0.id());
        let waits = || fs::read_to_string(&wchan).is_ok_and(|place| place == "__break_lease");
        assert!(wait_for(Duration::from_secs(10), waits), "nobody waits");
        self
    }

    fn still_waits(&mut self) {
        std::thread::sleep(Duration::from_millis(300));
        assert!(self.0.try_wait().unwrap().is_none(), "it did not wait");
    }

    #[track_caller]
    fn reads(self, number: u64) {
        let found = self.0.wait_with_output().unwrap().stdout;
        let zeros = found.iter().filter(|&&byte| byte == 0).count();
        assert!(found == noise(number, SIZE), "{} bytes, {zeros} of them zero", found.len());
    }
}

/// Fails unless the image on a device is what an eager pull makes of it.
fn is_as_eager(sandbox: &Sandbox, accelerator: &Accelerator, skiff: &Skiff, image: &str) {
    let eager = Skiff::root(sandbox, &sandbox.directory("eager"));
    eager.run(&["pull", image, "--lazy=never", "--accelerator", &accelerator.url()]).ok("eager");
    let (expected, found) = (eager.tree(image).unwrap(), skiff.tree(image).unwrap());
    assert_eq!(report(&expected, &found, &NEVER), None);
}

#[test]
fn it_ends_as_plain_files_and_leaves_no_trace() {
    let _alone = alone();
    let before = fs::read_to_string("/proc/sys/fs/lease-break-time").unwrap();
    let it = startable();
    assert_eq!(fs::read_to_string("/proc/sys/fs/lease-break-time").unwrap().trim(), "0");
    let (lines, code) = it.daemon().status();
    let hydrating = lines.iter().find(|line| line["event"] == "hydrating").unwrap();
    assert_eq!((hydrating["cold_files"].as_u64(), code), (Some(FILES + 1), 0));
    it.relay.release();
    it.daemon().wait_until_warm();

    is_as_eager(&it.sandbox, &it.accelerator, &it.skiff, IMAGE);
    assert_eq!(fs::read_to_string("/proc/sys/fs/lease-break-time").unwrap(), before);
    assert_eq!(fs::read_dir(it.skiff.state.join("hydrating")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(it.skiff.state.join("pulls")).unwrap().count(), 0);
    // Nothing is under a lease: this open would fail.
    let file = it.layer.join(name(0));
    rustix::fs::open(&file, rustix::fs::OFlags::NONBLOCK, rustix::fs::Mode::empty()).unwrap();
    let holder = it.daemon().holder();
    assert!(holder.is_some());
    drop(it);
    assert!(wait_for(Duration::from_secs(5), || rustix::process::test_kill_process(
        holder.unwrap()
    )
    .is_err()));
}

#[test]
fn a_daemon_that_is_killed_is_replaced_and_who_waited_is_answered() {
    let _alone = alone();
    let mut it = startable();
    it.relay.pause();
    let mut first = Opener::of(&it, &name(3)).waits();
    let second = Opener::of(&it, &name(7)).waits();
    it.daemon.take().unwrap().kill();
    first.still_waits();
    let third = Opener::of(&it, &name(9)).waits();
    // Two takeovers in a row.
    SkiffDaemon::start(&it.skiff).kill();
    first.still_waits();
    it.relay.resume();
    it.daemon = Some(SkiffDaemon::start(&it.skiff));
    first.reads(3);
    second.reads(7);
    third.reads(9);
    // And a signal after that names the right file.
    Opener::of(&it, &name(20)).reads(20);
    it.relay.release();
    it.daemon().wait_until_warm();
}

#[test]
fn a_daemon_that_is_stopped_in_an_orderly_way_leaves_who_waits_waiting() {
    let _alone = alone();
    let mut it = startable();
    it.relay.pause();
    let mut waits = Opener::of(&it, &name(3)).waits();
    let said = it.daemon.take().unwrap().stop();
    assert!(said.contains("41 files are cold"), "{said}");
    let status = it.skiff.run(&["status"]).ok("status");
    assert!(status.stdout.contains("no daemon brings the rest"), "{}", status.stdout);
    waits.still_waits();
    it.relay.resume();
    it.daemon = Some(SkiffDaemon::start(&it.skiff));
    waits.reads(3);
}

#[test]
fn a_daemon_that_is_killed_while_it_fills_loses_nothing() {
    let _alone = alone();
    let mut it = startable();
    it.relay.release();
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(3));
        it.daemon.take().unwrap().kill();
        it.daemon = Some(SkiffDaemon::start(&it.skiff));
    }
    it.daemon().wait_until_warm();
    for number in 0..FILES {
        assert!(fs::read(it.path(&name(number))).unwrap() == noise(number, SIZE), "{number}");
        let meta = fs::metadata(it.path(&name(number))).unwrap();
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (1_600_000_000, 5));
    }
}

#[test]
fn a_holder_that_is_killed_is_replaced_at_once() {
    let _alone = alone();
    let mut it = startable();
    let before = it.daemon().holder().unwrap();
    it.daemon().kill_holder();
    let renewed = || it.daemon().holder().is_some_and(|holder| holder != before);
    assert!(wait_for(Duration::from_secs(10), renewed), "{}", it.daemon().said());
    // It has everything: the daemon may go.
    it.relay.pause();
    let mut waits = Opener::of(&it, &name(3)).waits();
    std::thread::sleep(Duration::from_millis(200));
    it.daemon.take().unwrap().kill();
    waits.still_waits();
    it.relay.resume();
    it.daemon = Some(SkiffDaemon::start(&it.skiff));
    waits.reads(3);
}

#[test]
fn when_both_are_killed_who_may_have_read_zeros_is_named() {
    let _alone = alone();
    let mut it = startable();
    it.relay.pause();
    let holder = it.daemon().holder().unwrap();
    it.daemon.take().unwrap().kill();
    kill_process(holder, Signal::KILL).unwrap();
    assert!(
        wait_for(Duration::from_secs(5), || rustix::process::test_kill_process(holder).is_err())
    );
    // Without a guard a cold file is zeros: these tests would see it.
    assert!(it.read(&name(6)).iter().all(|&byte| byte == 0));
    // And somebody holds one open.
    let path = it.path(&name(5));
    let script = format!("exec 3< {}; read -r x <&3; echo open; sleep 60", path.display());
    let mut command = Command::new("/bin/sh");
    let mut reader =
        command.args(["-c", &script]).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
    std::io::Read::read_exact(reader.stdout.as_mut().unwrap(), &mut [0; 5]).unwrap();

    it.relay.resume();
    it.daemon = Some(SkiffDaemon::start(&it.skiff));
    let (lines, code) = it.daemon().status();
    assert_eq!(code, 11);
    let named: Vec<_> = lines.iter().filter(|it| it["event"] == "may_have_read_zeros").collect();
    assert_eq!(named.len(), 1, "{lines:?}");
    assert_eq!(named[0]["path"], name(5).as_str());
    let process = format!("process {}", reader.id());
    assert!(named[0]["processes"].to_string().contains(&process), "{named:?}");
    kill_process(Pid::from_child(&reader), Signal::KILL).unwrap();
    reader.wait().unwrap();
    // It is filled all the same, though nothing makes others wait for it, and the warning stays until it is read
    // and done with.
    let filled = || it.read(&name(5)) == noise(5, SIZE);
    assert!(wait_for(Duration::from_secs(10), filled), "it is not filled");
    it.relay.release();
    it.daemon().wait_until_warm();
    assert_eq!(it.daemon().status().1, 11);
    it.skiff.run(&["gc"]).ok("gc");
    it.daemon.take().unwrap().kill();
    it.daemon = Some(SkiffDaemon::start(&it.skiff));
    assert_eq!(it.daemon().status().1, 0);
}

#[test]
fn lost_signals_are_made_good() {
    let _alone = alone();
    let it = startable();
    let pid = Pid::from_raw(it.daemon().id().try_into().unwrap());
    let limit = Rlimit { current: Some(0), maximum: Some(0) };
    prlimit(pid, Resource::Sigpending, limit).unwrap();
    let openers: Vec<_> =
        (0..FILES).map(|number| (number, Opener::of(&it, &name(number)))).collect();
    for (number, opener) in openers {
        opener.reads(number);
    }
}

#[test]
fn while_the_link_is_down_an_open_waits_and_says_why() {
    let _alone = alone();
    let it = startable();
    it.relay.cut();
    let mut waits = Opener::of(&it, &name(3)).waits();
    waits.still_waits();
    let named = || {
        let text = it.skiff.run(&["status"]).ok("status").stdout;
        text.contains("/d/03 is waited for") && text.contains("cat (process ")
    };
    // Who wakes for a tick of the clock may be missed.
    assert!(wait_for(Duration::from_secs(10), named), "{:?}", it.daemon().status());
    let troubled = || {
        let (lines, _) = it.daemon().status();
        lines.iter().any(|line| line["trouble"].is_string())
    };
    assert!(wait_for(Duration::from_secs(30), troubled), "{:?}", it.daemon().status());
    it.relay.mend();
    waits.reads(3);
}

#[test]
fn an_update_of_an_image_that_is_still_cold() {
    let _alone = alone();
    let it = startable();
    let url = it.accelerator.url();
    let update = ["pull", "cold:2", "--json", "--wait", "--accelerator", &url];
    it.skiff.run(&update).ok("update");
    it.relay.release();
    it.daemon().wait_until_warm();
    is_as_eager(&it.sandbox, &it.accelerator, &it.skiff, "cold:2");
}

#[test]
fn of_more_files_than_may_be_cold_some_come_before_the_start() {
    let _alone = alone();
    let sandbox = Sandbox::new();
    let layouts = sandbox.directory("layouts");
    let file = |number| Entry::file(format!("{number:03}"), noise(number, SIZE));
    let entries: Vec<Entry> = (0..100).map(file).collect();
    Layout::create(&layouts, "many").add("1", &Image::new(vec![Layer::new(&entries)]));
    let accelerator = Accelerator::start(&sandbox, &format!("oci:{}", layouts.display()));
    let skiff = Skiff::root(&sandbox, &sandbox.directory("device"));
    // 256 are kept for other things, so 44 files may be cold. Packs end within files.
    let daemon = SkiffDaemon::start_small(&skiff, 300);
    let url = accelerator.url();
    let pull = ["pull", "many:1", "--json", "--lazy=require", "--wait", "--accelerator", &url];
    let pulled = skiff.run(&pull).ok("pull");
    let cold = pulled.number("cold_files");
    assert!((1..=44).contains(&cold), "{cold} files are cold");
    daemon.wait_until_warm();
    is_as_eager(&sandbox, &accelerator, &skiff, "many:1");
}

#[test]
fn an_image_that_is_removed_needs_nothing_more() {
    let _alone = alone();
    let it = startable();
    let _ = rustix::mount::unmount(&it.merged, rustix::mount::UnmountFlags::DETACH);
    it.skiff.run(&["rm", IMAGE]).ok("rm");
    it.daemon().wait_until_warm();
    assert_eq!(fs::read_dir(it.skiff.state.join("hydrating")).unwrap().count(), 0);
    assert!(it.relay.counts().down < 1 << 20, "it was fetched all the same");
}

#[test]
fn who_presses_ctrl_c_gives_up_what_can_not_be_started_yet() {
    let _alone = alone();
    let sandbox = Sandbox::new();
    let layouts = sandbox.directory("layouts");
    let file = |number| Entry::file(name(number), noise(number, SIZE));
    let entries: Vec<Entry> = (0..FILES).map(file).collect();
    Layout::create(&layouts, "some").add("1", &Image::new(vec![Layer::new(&entries)]));
    let accelerator = Accelerator::start(&sandbox, &format!("oci:{}", layouts.display()));
    let skiff = Skiff::root(&sandbox, &sandbox.directory("device"));
    let daemon = SkiffDaemon::start(&skiff);
    // Nothing of the table of contents comes.
    let relay = Relay::start(&accelerator.address, Fault::HoldFirst(0));
    let pull = |url: String| skiff.start(&["pull", "some:1", "--json", "--accelerator", &url]);
    let held = pull(relay.url());
    assert!(wait_for(Duration::from_secs(10), || relay.counts().up > 0), "it asks for nothing");
    assert_eq!(pull(accelerator.url()).finish().code, 9, "the daemon is at work");
    assert_eq!(held.interrupt(), None, "it ends by the signal");
    let pulled = || pull(accelerator.url()).finish().code == 0;
    assert!(wait_for(Duration::from_secs(10), pulled), "the daemon goes on: {}", daemon.said());
    daemon.wait_until_warm();
}

#[test]
fn who_presses_ctrl_c_when_it_can_be_started_only_waits_no_longer() {
    let _alone = alone();
    let it = startable();
    // All that it asks for stands still behind the table of contents: what is cold can't be copied on the device.
    let fault = Fault::HoldLong { first: 16 << 10, answer: 16 << 10 };
    let relay = Relay::start(&it.accelerator.address, fault);
    let url = relay.url();
    let waiting = it.skiff.start(&["pull", "cold:2", "--json", "--wait", "--accelerator", &url]);
    let stands =
        || it.daemon().status().0.iter().filter(|line| line["event"] == "hydrating").count() == 2;
    assert!(wait_for(Duration::from_secs(20), stands), "{:?}", it.daemon().status());
    assert_eq!(waiting.interrupt(), None);
    it.relay.release();
    relay.release();
    it.daemon().wait_until_warm();
    is_as_eager(&it.sandbox, &it.accelerator, &it.skiff, "cold:2");
}

#[test]
fn local_copies_wait_for_no_stream_and_it_goes_on_where_it_was() {
    let _alone = alone();
    let old = [Entry::directory("d/"), Entry::file("d/was", noise(5, 3 << 20))];
    let new = [Entry::directory("d/"), Entry::file("d/is", noise(5, 3 << 20))];
    let cold = Entry::file("d/cold", noise(6, SIZE));
    // The stream stands still in the middle of a frame.
    let it = Startable::new(&old, &[&new[..], &[cold]].concat());
    assert!(!it.is_cold("d/is") && it.is_cold("d/cold"));
    assert!(it.read("d/is") == noise(5, 3 << 20) && it.read("d/cold") == noise(6, SIZE));
    let before = it.relay.counts();
    it.relay.release();
    it.daemon().wait_until_warm();
    assert_eq!(it.relay.counts().connections, before.connections, "the stream went on");
    assert_eq!(it.read(FILLER).len(), 4 << 20);
}

#[test]
fn where_it_can_not_be_lazy_it_says_so() {
    let _alone = alone();
    let mut it = startable();
    let url = it.accelerator.url();
    it.daemon.take().unwrap().kill();
    let end = |it: &Startable| end_holder(&it.skiff.state);
    let other = Skiff::root(&it.sandbox, &it.sandbox.directory("other"));
    let refused = other.run(&["pull", IMAGE, "--lazy=require", "--accelerator", &url]);
    assert_eq!(refused.code, 10, "{}", refused.stderr);
    assert!(refused.stderr.contains("no daemon is running"), "{}", refused.stderr);
    let eager = other.run(&["pull", IMAGE, "--accelerator", &url]).ok("auto");
    assert!(eager.stderr.contains("no daemon is running"), "{}", eager.stderr);
    end(&it);
}
