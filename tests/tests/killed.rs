//! A pull that is killed at any step: before each of its system calls that change something, one by one.
//!
//! `strace` counts the calls of each kind in each thread, and sends SIGKILL at the Nth, before the kernel does it. After that the old image must be
//! whole, the new one whole or not there, and the next pull must complete it and leave nothing. A sample of the steps;
//! `SKIFF_KILLS=all` (`make test-long`) walks all of them. And what a power cut leaves of containerd's own steps.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_tests::compare::{NEVER, Tree, report};
use skiff_tests::hard::noise;
use skiff_tests::harness::{Accelerator, Containerd, Sandbox, Skiff};
use skiff_tests::layout::{Image, Layer, Layout};
use skiff_tests::tarball::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

const OLD: &str = "app:old";
const NEW: &str = "app:new";
/// Steps of the sample, for each kind of target.
const SAMPLE: usize = 30;
/// Calls that change a disk, or tell containerd to.
const CALLS: &str = "openat,?openat2,write,pwrite64,mkdir,mkdirat,symlinkat,linkat,rename,renameat,\
    ?renameat2,unlink,unlinkat,rmdir,mknodat,fchmod,fchmodat,fchown,fchownat,fsetxattr,lsetxattr,\
    setxattr,fremovexattr,utimensat,ftruncate,fsync,fdatasync,syncfs,sync_file_range,copy_file_range,\
    ioctl,sendto,sendmsg,flock";

fn old() -> Vec<Entry> {
    let file = |name: &str, seed| Entry::file(name, noise(seed, 20_000)).mtime(1_600_000_000, 0);
    vec![
        Entry::directory("d/"),
        file("d/touched", 1),
        file("d/gone", 2),
        file("d/kept", 3),
        file("moved", 4),
        Entry::symlink("link", "moved"),
    ]
}

fn new() -> Vec<Entry> {
    let file = |name: &str, seed| Entry::file(name, noise(seed, 20_000)).mtime(1_600_000_001, 7);
    vec![
        Entry::directory("d/"),
        file("d/touched", 1),
        Entry::file("d/.wh.gone", ""),
        Entry::directory("e/"),
        file("e/moved", 4),
        file("e/fresh", 5).mode(0o4755),
        file("e/large", 6),
        Entry::hardlink("e/again", "e/fresh"),
        Entry::symlink("link", "e/moved"),
        Entry::file("e/empty", ""),
    ]
}

/// An accelerator that has both.
fn start(sandbox: &Sandbox) -> Accelerator {
    let layouts = sandbox.directory("layouts");
    let layout = Layout::create(&layouts, "app");
    layout.add("old", &Image::new(vec![Layer::new(&old())]));
    layout.add("new", &Image::new(vec![Layer::new(&old()), Layer::new(&new())]));
    Accelerator::start(sandbox, &format!("oci:{}", layouts.display()))
}

/// A device in one of the two ways.
struct Device {
    name: &'static str,
    skiff: Skiff,
    containerd: Option<Containerd>,
}

impl Device {
    /// What is there beside image records, in words.
    fn holds(&self) -> BTreeSet<String> {
        match &self.containerd {
            Some(containerd) => {
                let snapshots = containerd.ctr(&["snapshots", "ls"]);
                let names = |text: String| {
                    let words =
                        text.lines().skip(1).filter_map(|line| line.split_whitespace().next());
                    words.map(str::to_owned).collect::<BTreeSet<_>>()
                };
                let leases = names(containerd.ctr(&["leases", "ls"]));
                names(snapshots).into_iter().chain(leases).collect()
            }
            None => {
                let directory = self.skiff.state.with_file_name("snapshots");
                let count = fs::read_dir(directory).unwrap().count();
                BTreeSet::from([format!("{count} snapshots")])
            }
        }
    }

    /// Names of its images.
    fn images(&self) -> BTreeSet<String> {
        let listed = self.skiff.run(&["ls"]).ok("ls").stdout;
        listed.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
    }

    fn same(&self, row: &str, image: &str, expected: &Tree) {
        let found = self.skiff.tree(image).unwrap();
        assert_eq!(report(expected, &found, &NEVER), None, "{row}: {image}");
    }

    /// Pulls under `strace` with these options.
    fn traced(&self, url: &str, options: &[&str]) -> bool {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o"]).args(options).arg(Skiff::program());
        command
            .args(["pull", NEW, "--lazy=never", "--accelerator", url])
            .args(self.skiff.options());
        let output = command.stdin(Stdio::null()).output();
        let output = output
            .unwrap_or_else(|e| panic!("strace can't be run ({e}); tests/install.sh installs it"));
        output.status.success()
    }

    /// Walks through steps.
    fn walk(&self, url: &str, trees: &[Tree; 2], log: &Path) {
        let log = log.to_str().unwrap();
        let trace = format!("trace={CALLS}");
        assert!(self.traced(url, &[log, "-e", &trace]), "{}: strace", self.name);
        let steps = steps(&fs::read_to_string(log).unwrap());
        let expected = self.holds();
        self.same(self.name, NEW, &trees[1]);
        self.skiff.run(&["rm", NEW]).ok("rm");

        let all = std::env::var("SKIFF_KILLS").is_ok_and(|kills| kills == "all");
        let every = if all { 1 } else { steps.len() / SAMPLE };
        let (mut killed, mut tried) = (0, 0);
        for (call, count) in steps.iter().step_by(every) {
            let row = format!("{}, killed at {call} number {count}", self.name);
            let kill = format!("inject={call}:signal=SIGKILL:when={count}");
            tried += 1;
            killed += u32::from(!self.traced(url, &["/dev/null", "-e", &trace, "-e", &kill]));
            let images = self.images();
            assert!(images.contains(OLD), "{row}: {images:?}");
            self.same(&row, OLD, &trees[0]);
            if images.contains(NEW) {
                self.same(&row, NEW, &trees[1]);
            }
            let pull = ["pull", NEW, "--lazy=never", "--accelerator", url];
            self.skiff.run(&pull).ok(&row);
            self.same(&row, NEW, &trees[1]);
            self.same(&row, OLD, &trees[0]);
            assert_eq!(self.skiff.run(&["status", "--json"]).ok(&row).stdout, "", "{row}");
            assert_eq!(self.holds(), expected, "{row}");
            self.skiff.run(&["rm", NEW]).ok(&row);
        }
        println!("{}: killed at {killed} of {} steps", self.name, steps.len());
        assert!(killed >= tried * 9 / 10, "{}: {killed} of {tried} were killed", self.name);
    }
}

/// The calls of a trace, and which of its kind in its thread each is.
fn steps(log: &str) -> Vec<(String, u32)> {
    let mut counts = HashMap::new();
    let mut steps = Vec::new();
    for line in log.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        let count = counts.entry((thread, call)).or_insert(0);
        *count += 1;
        steps.push((call.to_owned(), *count));
    }
    steps
}

#[test]
fn a_pull_can_be_killed_at_any_step() {
    let sandbox = Sandbox::new();
    let accelerator = start(&sandbox);
    let url = accelerator.url();
    let containerd = Containerd::start(&sandbox);
    let devices = [
        Device {
            name: "root",
            skiff: Skiff::root(&sandbox, &sandbox.directory("root")),
            containerd: None,
        },
        Device {
            name: "containerd",
            skiff: Skiff::containerd(&sandbox, &containerd.socket()),
            containerd: Some(containerd),
        },
    ];
    let fresh = Skiff::root(&sandbox, &sandbox.directory("fresh"));
    fresh.pull(&[NEW], &url).ok("fresh");
    for device in devices {
        device.skiff.run(&["pull", OLD, "--lazy=never", "--accelerator", &url]).ok("old");
        let trees = [device.skiff.tree(OLD).unwrap(), fresh.tree(NEW).unwrap()];
        device.walk(&url, &trees, &sandbox.directory("strace").join("log"));
    }
}

/// containerd's snapshotter makes a snapshot's directory before its database has it, so a power cut may leave one of
/// the next number.
#[test]
fn a_directory_that_is_not_in_its_database_stops_containerd_only_once() {
    let sandbox = Sandbox::new();
    let accelerator = start(&sandbox);
    let url = accelerator.url();
    let containerd = Containerd::start(&sandbox);
    let skiff = Skiff::containerd(&sandbox, &containerd.socket());
    skiff.run(&["pull", OLD, "--lazy=never", "--accelerator", &url]).ok("old");

    let snapshots = containerd.snapshots();
    let number = |entry: io::Result<fs::DirEntry>| -> Option<u32> {
        entry.unwrap().file_name().to_str()?.parse().ok()
    };
    let last = fs::read_dir(&snapshots).unwrap().filter_map(number).max().unwrap();
    // More than a pull uses, since snapshots that are removed have used numbers, too.
    let lost: Vec<_> =
        (last + 1..last + 20).map(|id| snapshots.join(id.to_string()).join("fs/lost")).collect();
    for lost in &lost {
        fs::create_dir_all(lost).unwrap();
    }
    skiff.run(&["pull", NEW, "--lazy=never", "--accelerator", &url]).ok("new");
    assert!(lost.iter().any(|lost| !lost.exists()), "no number was used");

    let fresh = Skiff::root(&sandbox, &sandbox.directory("fresh"));
    fresh.pull(&[NEW], &url).ok("fresh");
    let found = skiff.tree(NEW).unwrap();
    assert_eq!(report(&fresh.tree(NEW).unwrap(), &found, &NEVER), None);
}
