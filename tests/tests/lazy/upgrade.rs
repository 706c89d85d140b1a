//! The program is replaced while somebody waits for a file.

use super::{Opener, name, startable};
use rustix::process::Pid;
use skiff_tests::harness::{Skiff, SkiffDaemon, alone, wait_for};
use std::fs;
use std::io::Write as _;
use std::time::Duration;

#[test]
fn a_daemon_of_another_version_goes_on_for_who_waits() {
    let _alone = alone();
    let mut it = startable();
    it.relay.pause();
    let mut waits = Opener::of(&it, &name(3)).waits();
    it.daemon.take().unwrap().stop();
    // As a package replaces it: another file, with other bytes.
    let other = it.sandbox.directory("upgrade").join("skiff");
    fs::copy(Skiff::program(), &other).unwrap();
    fs::OpenOptions::new().append(true).open(&other).unwrap().write_all(b"newer").unwrap();
    waits.still_waits();
    it.relay.resume();
    it.daemon = Some(SkiffDaemon::start_program(&it.skiff, &other));
    waits.reads(3);
    // The holder is the old one, until it goes.
    let of = |holder: Pid| fs::read_link(format!("/proc/{}/exe", holder.as_raw_nonzero())).unwrap();
    assert_eq!(it.daemon().holder().map(of), Some(Skiff::program()));
    it.daemon().kill_holder();
    let renewed = || it.daemon().holder().map(of).is_some_and(|program| program == other);
    assert!(wait_for(Duration::from_secs(10), renewed), "{}", it.daemon().said());
    Opener::of(&it, &name(20)).reads(20);
    it.relay.release();
    it.daemon().wait_until_warm();
}
