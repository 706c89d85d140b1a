//! An emulated device (`qemu/`), with the cross-built agent and comparer on it.
//!
//! [`Device::run`] runs a shell script on it; a dropped device has lost its power (SIGKILL). Whatever is
//! missing (emulator, kernel, agent) fails the test.

mod cold;
mod cold_image;
mod control;
mod model;

pub use cold::ColdFiles;
pub use cold_image::ColdImage;
pub use control::Answer;
pub use model::{Kernel, Model};

use crate::compare::Tree;
use crate::harness::{Daemon, Sandbox, wait_for};
use control::{Control, Listener};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How to boot.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Which device.
    pub model: Model,
    /// Whose kernel.
    pub kernel: Kernel,
    /// Socket of its [disk](crate::disk::Disk); without one, what it writes is forgotten.
    pub disk: Option<PathBuf>,
    /// The agent, in `target/cross/FLAVOUR/TRIPLE`, or in `target/cross/TRIPLE`.
    pub flavour: Option<&'static str>,
    /// What it takes for the time, in seconds since 1970; without it the host's.
    pub clock: Option<u64>,
}

impl Setup {
    /// The ordinary agent on a new disk.
    pub fn new(model: Model, kernel: Kernel) -> Self {
        Self { model, kernel, disk: None, flavour: None, clock: None }
    }
}

/// A running device.
#[derive(Debug)]
pub struct Device {
    emulator: Daemon,
    control: Control,
    serial: PathBuf,
}

/// No command takes longer on a device that is well, also if its emulator has a fraction of a processor.
pub const LIMIT: Duration = Duration::from_secs(600);

impl Device {
    /// Boots one, and waits until it takes commands.
    pub fn boot(sandbox: &Sandbox, setup: &Setup) -> Self {
        let directory = sandbox.directory("device");
        let programs = programs(&directory, setup);
        let (socket, serial) = (directory.join("control"), directory.join("serial"));
        let listener = Listener::new(&socket);
        let mut command = Command::new(workspace().join("qemu/run.sh"));
        command.args(["--device", setup.model.name(), "--kernel", setup.kernel.name()]);
        command.arg("--control").arg(&socket).arg("--serial").arg(&serial);
        command.arg("--programs").arg(programs);
        if let Some(disk) = &setup.disk {
            command.arg("--disk").arg(format!("nbd:{}", disk.display()));
        }
        if let Some(clock) = setup.clock {
            command.arg("--clock").arg(clock.to_string());
        }
        let mut emulator = Daemon::start(&mut command, &directory.join("log"), false);
        let mut control = None;
        // The first time, run.sh builds what the device boots from.
        wait_for(Duration::from_secs(300), || {
            control = listener.accept();
            control.is_some() || emulator.child().try_wait().unwrap().is_some()
        });
        let control = control.unwrap_or_else(|| panic!("no emulator: {}", emulator.said()));
        let mut device = Self { emulator, control, serial };
        device.answer();
        device
    }

    /// Runs a shell script to its end.
    pub fn run(&mut self, script: &str) -> Answer {
        self.start(script);
        self.answer()
    }

    /// Starts a script, and leaves it running.
    pub fn start(&mut self, script: &str) {
        self.control.send(script).unwrap_or_else(|e| panic!("{e}: {}", self.said()));
    }

    /// Waits for the end of a started script, and gives up after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<Answer> {
        let answer = self.control.receive(limit);
        answer.unwrap_or_else(|e| panic!("the device is gone ({e}): {}", self.said()))
    }

    /// Waits until containerd answers.
    pub fn wait_for_containerd(&mut self) {
        let script = "for i in $(seq 1500); do ctr version >/dev/null 2>&1 && exit; sleep 0.2; done; \
                      cat /run/containerd.log; exit 1";
        self.run(script).ok("containerd does not start");
    }

    /// `skiff pull --json`, the accelerator's address being that of the host's loopback.
    pub fn pull(&mut self, options: &str, images: &[&str], accelerator: &str) -> Answer {
        let url = guest_url(accelerator);
        let images = images.join(" ");
        self.run(&format!("skiff pull --json --accelerator {url} {options} {images}"))
    }

    /// Starts the agent's daemon for this state directory, and waits until it is ready.
    pub fn start_daemon(&mut self, state: &str) {
        let script = format!(
            "mkdir -p {state}; setsid skiff daemon --state {state} >/run/skiff.log 2>&1 </dev/null & \
             until grep -q ready /run/skiff.log; do sleep 0.1; [ -d /proc/$! ] || \
             {{ cat /run/skiff.log; exit 1; }}; done"
        );
        self.run(&script).ok("the daemon does not start");
    }

    /// Waits until nothing is cold any more. `options` say where the images are.
    pub fn wait_until_warm(&mut self, options: &str) {
        let script = format!(
            "for i in $(seq 1000); do skiff status --json {options} >/run/status || exit; \
             grep -q hydrating /run/status || exit 0; sleep 0.5; done; cat /run/status /run/skiff.log; exit 1"
        );
        self.run(&script).ok("it stays cold");
    }

    /// The tree of an image of a plain directory.
    pub fn mounted_tree(&mut self, root: &str, image: &str) -> Tree {
        let script = format!(
            "mkdir -p /run/mounted; skiff mount {image} /run/mounted --root {root} \
             && skiff-compare /run/mounted; s=$?; umount /run/mounted; exit $s"
        );
        self.run_for_tree(&script)
    }

    fn run_for_tree(&mut self, script: &str) -> Tree {
        let answer = self.run(script);
        assert!(answer.status == 0, "no tree: {}", answer.text());
        Tree::from_bytes(&answer.output).unwrap()
    }

    /// The tree of a snapshot in a namespace of its containerd.
    pub fn snapshot_tree(&mut self, namespace: &str, chain_id: &str) -> Tree {
        // `ctr images mount` wants a snapshot for each layer.
        let script = format!(
            "mkdir -p /run/mounted; command=$(ctr -n {namespace} snapshots prepare --target \
             /run/mounted mounted {chain_id}) && eval \"$(echo \"$command\" | sed 's/ -o / -o ro,/')\" \
             && skiff-compare /run/mounted; s=$?; umount /run/mounted; \
             ctr -n {namespace} snapshots rm mounted; exit $s"
        );
        self.run_for_tree(&script)
    }

    /// Runs an image in its containerd; gives what it printed.
    pub fn container(&mut self, image: &str) -> Answer {
        self.run(&format!("ctr run --rm --snapshotter overlayfs {image} container"))
    }

    /// Turns it off: everything is written and unmounted.
    pub fn turn_off(mut self) {
        self.start("poweroff");
        let ended = wait_for(LIMIT, || self.emulator.child().try_wait().unwrap().is_some());
        assert!(ended, "the device does not turn off: {}", self.said());
    }

    fn answer(&mut self) -> Answer {
        let answer = self.wait(LIMIT);
        answer.unwrap_or_else(|| panic!("no answer in {} s: {}", LIMIT.as_secs(), self.said()))
    }

    /// The end of what emulator and kernel have said.
    fn said(&self) -> String {
        let serial = fs::read(&self.serial).unwrap_or_default();
        let serial = String::from_utf8_lossy(&serial[serial.len().saturating_sub(2000)..]);
        format!("{}\n{serial}", self.emulator.said())
    }
}

/// A URL of the host's loopback, as the device reaches it.
pub fn guest_url(url: &str) -> String {
    url.replace("127.0.0.1", "10.0.2.2")
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What a script built, in `target`.
fn built(path: &str) -> Vec<u8> {
    let path = workspace().join("target").join(path);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; run tests/programs.sh", path.display()))
}

/// A directory with what the device gets along: the agent, and what the tests run there.
fn programs(directory: &Path, setup: &Setup) -> PathBuf {
    let programs = directory.join("programs");
    fs::create_dir(&programs).unwrap();
    let cross = workspace().join("target/cross");
    let agent = setup.flavour.map_or_else(|| cross.clone(), |flavour| cross.join(flavour));
    let triple = setup.model.triple();
    let copy = |from: &Path| {
        fs::copy(from, programs.join(from.file_name().unwrap()))
            .unwrap_or_else(|e| panic!("{}: {e}; run tests/programs.sh", from.display()));
    };
    copy(&agent.join(triple).join("skiff"));
    for name in TESTED_WITH {
        copy(&cross.join("tests").join(triple).join(name));
    }
    programs
}

/// What `tests/programs.sh` makes for each device.
const TESTED_WITH: [&str; 5] = ["skiff-compare", "skiff-cold", "uring", "mapped", "ld.so"];
