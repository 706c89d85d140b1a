//! Power cuts in the middle of pulls and updates, on an emulated device whose disk loses its cache.
//!
//! A case boots the device, starts a pull, kills the emulator at a seeded moment (a time, or a number of
//! flushes), lets the disk lose a seeded part of what was not flushed, and boots again. Then the file
//! system must be clean, containerd start, the old image run, the next pull complete with the tree that
//! stock containerd unpacks, and nothing be left of the dead pull.
//!
//! One more case cuts the power while an image can be started and is not all there, and one while programs that give who
//! runs them more rights than he has are half written.
//!
//! `SKIFF_CUTS` says how many cuts (4), `SKIFF_SEED` from which seed on (the time).
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_tests::compare::{NEVER, report};
use skiff_tests::device::{Answer, ColdImage, Device, Kernel, LIMIT, Model, Setup, guest_url};
use skiff_tests::disk::{Cut, Disk, Lost};
use skiff_tests::gateway;
use skiff_tests::harness::{Accelerator, Containerd, Registry, Sandbox, Stock};
use skiff_tests::random::SplitMix64;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

struct Ground {
    // Dropped in this order: processes before the directory that they use.
    accelerator: Accelerator,
    _registry: Registry,
    old: String,
    new: String,
    /// Name of the new image's snapshot.
    chain_id: String,
    stock: Stock,
    /// A disk on which containerd has started once.
    bare: PathBuf,
    /// One that holds the old image, too.
    with_old: PathBuf,
    /// What a pull takes here.
    fresh: Measure,
    /// What an update takes here.
    update: Measure,
    sandbox: Sandbox,
}

/// What a pull took that nothing disturbed.
#[derive(Debug, Clone, Copy)]
struct Measure {
    time: Duration,
    flushes: u64,
}

/// When the power goes.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// After this time.
    Time(Duration),
    /// After so many flushes of the disk.
    Flushes(u64),
    /// When the pull says that it is done.
    End,
}

impl Ground {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let registry = Registry::start(&sandbox);
        let layout = gateway::layout(&sandbox.directory("layouts"), Model::Arm64);
        let [old, new] = ["old", "new"].map(|tag| registry.push(&layout, tag));
        let stock = Containerd::start(&sandbox).stock_of(&new, "linux/arm64");
        let accelerator = Accelerator::start(&sandbox, &format!("http://{}", registry.host));
        let chain_id = layout.chain_id("new", "arm64");

        let disks = sandbox.directory("disks");
        let [bare, with_old] = ["bare", "with-old"].map(|name| disks.join(name));
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/qemu/arm64/root.ext4");
        let nothing = Measure { time: Duration::ZERO, flushes: 0 };
        let (fresh, update) = (nothing, nothing);
        let _registry = registry;
        let mut ground = Self {
            accelerator,
            _registry,
            old,
            new,
            chain_id,
            stock,
            bare,
            with_old,
            fresh,
            update,
            sandbox,
        };
        let base = ground.bare.clone();
        ground.on_disk(&root, &base, |_, _| ());
        let (from, to, old) = (base, ground.with_old.clone(), ground.old.clone());
        ground.fresh =
            ground.on_disk(&from, &to, |device, disk| ground.measure(device, disk, &old));
        let (from, to, new) = (to, disks.join("done"), ground.new.clone());
        ground.update =
            ground.on_disk(&from, &to, |device, disk| ground.measure(device, disk, &new));
        println!("nothing disturbed: fresh {:?}, update {:?}", ground.fresh, ground.update);
        ground
    }

    /// Boots with a disk, does something, turns the device off, and saves the disk.
    fn on_disk<T>(
        &self,
        base: &Path,
        saved: &Path,
        act: impl FnOnce(&mut Device, &Disk) -> T,
    ) -> T {
        let (disk, mut device) = self.boot(base, None);
        device.wait_for_containerd();
        let done = act(&mut device, &disk);
        device.turn_off();
        disk.cut(Cut::DropAll);
        disk.save(saved);
        done
    }

    fn measure(&self, device: &mut Device, disk: &Disk, image: &str) -> Measure {
        let (start, flushes) = (Instant::now(), disk.stats().flushes);
        device.run(&self.pull_command(image)).ok(image);
        Measure { time: start.elapsed(), flushes: disk.stats().flushes - flushes }
    }

    fn boot(&self, base: &Path, flavour: Option<&'static str>) -> (Disk, Device) {
        assert!(base.exists(), "{} is missing; run qemu/build.sh", base.display());
        let socket = self.sandbox.directory("disk").join("socket");
        let disk = Disk::new(base, &socket);
        let device = Device::boot(&self.sandbox, &self.setup(&socket, flavour));
        (disk, device)
    }

    fn setup(&self, socket: &Path, flavour: Option<&'static str>) -> Setup {
        let disk = Some(socket.to_owned());
        Setup { disk, flavour, ..Setup::new(Model::Arm64, Kernel::Old) }
    }

    fn pull_command(&self, image: &str) -> String {
        format!("skiff pull --accelerator {} {image}", guest_url(&self.accelerator.url()))
    }

    /// One case. `update`: the device holds the old image, and pulls the new one.
    fn cut(
        &self,
        update: bool,
        moment: Moment,
        cut: Cut,
        flavour: Option<&'static str>,
    ) -> Result<Lost, String> {
        let base = if update { &self.with_old } else { &self.bare };
        let (disk, mut device) = self.boot(base, flavour);
        device.wait_for_containerd();
        let flushes = disk.stats().flushes;
        device.start(&self.pull_command(&self.new));
        match moment {
            Moment::Time(time) => std::thread::sleep(time),
            Moment::Flushes(count) => {
                let start = Instant::now();
                while disk.stats().flushes < flushes + count
                    && start.elapsed() < self.fresh.time * 2
                {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            Moment::End => {
                let done = device.wait(LIMIT);
                done.ok_or("the pull does not end")?.ok("the pull that is cut at its end");
            }
        }
        drop(device);
        let lost = disk.cut(cut);
        self.recover(&disk, update).map(|()| lost)
    }

    /// The power is back: is everything as it should be?
    fn recover(&self, disk: &Disk, update: bool) -> Result<(), String> {
        let mut device = Device::boot(&self.sandbox, &self.setup(disk.socket(), None));
        let errors = device.run(
            "dmesg | grep -E 'EXT4-fs (error|warning)|I/O error'; cat /sys/fs/ext4/vd*/errors_count",
        );
        expect("the file system", &errors, "0")?;
        device.wait_for_containerd();
        if update {
            let old = device.container(&self.old);
            expect("the old image", &old, &gateway::expected(Model::Arm64, "old"))?;
        }
        let pulled = device.run(&self.pull_command(&self.new));
        if pulled.status != 0 {
            return Err(format!("the next pull: exit code {}: {}", pulled.status, pulled.text()));
        }
        let tree = device.snapshot_tree("default", &self.chain_id);
        if let Some(said) = self.stock.report(&tree) {
            return Err(format!("the next pull's tree: {said}"));
        }
        let new = device.container(&self.new);
        expect("the new image", &new, &gateway::expected(Model::Arm64, "new"))?;
        let left = "skiff status --json; ctr leases ls -q; ctr snapshots ls | grep -c Active";
        expect("leftovers", &device.run(left), "0")?;
        device.turn_off();
        disk.cut(Cut::DropAll);
        let saved = self.sandbox.directory("saved").join("disk");
        disk.save(&saved);
        let checked = Command::new("e2fsck").args(["-f", "-n"]).arg(&saved).output().unwrap();
        std::fs::remove_file(&saved).unwrap();
        if !checked.status.success() {
            return Err(format!("e2fsck: {}", String::from_utf8_lossy(&checked.stdout)));
        }
        Ok(())
    }
}

fn expect(what: &str, answer: &Answer, expected: &str) -> Result<(), String> {
    if answer.text() == expected {
        return Ok(());
    }
    Err(format!("{what}: exit code {}, says {:?}, not {expected:?}", answer.status, answer.text()))
}

fn number(variable: &str, default: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, not a number"))
    })
}

#[test]
fn a_power_cut_loses_nothing_that_was_said_to_be_done() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (cuts, first) = (number("SKIFF_CUTS", 4), number("SKIFF_SEED", now));
    println!("seeds from {first} on; SKIFF_SEED={first} repeats them");
    let ground = Ground::new();
    let next = AtomicU64::new(0);
    let wrong = Mutex::new(Vec::new());
    // Each emulator keeps one core busy, most of the time.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let said = match next.fetch_add(1, Ordering::Relaxed) {
                        0 => ground.at_the_end(),
                        1 => ground.without_sync(),
                        2 => ground.while_cold(first),
                        3 => ground.while_filling(first),
                        case if case < cuts + 4 => ground.seeded(first + case - 4),
                        _ => return,
                    };
                    wrong.lock().unwrap().extend(said.err());
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cuts + 4, wrong.join("\n"));
}

impl Ground {
    fn seeded(&self, seed: u64) -> Result<(), String> {
        let update = seed.is_multiple_of(2);
        let (what, whole) = if update { ("update", self.update) } else { ("pull", self.fresh) };
        let mut random = SplitMix64(seed);
        let moment = if random.next().is_multiple_of(2) {
            let permille = u32::try_from(random.next() % 1100).unwrap();
            Moment::Time(whole.time * permille / 1000)
        } else {
            Moment::Flushes(random.next() % whole.flushes + 1)
        };
        let start = Instant::now();
        let row = format!("seed {seed}: {what}, {moment:?}");
        let lost = self.cut(update, moment, Cut::Seeded(seed), None);
        let lost = lost.map_err(|said| format!("{row}: {said}"))?;
        println!("{row}: {lost}; well ({} s)", start.elapsed().as_secs());
        Ok(())
    }

    /// A cut right after the pull's end takes nothing of it.
    fn at_the_end(&self) -> Result<(), String> {
        let lost = self.cut(true, Moment::End, Cut::DropAll, None);
        println!("at the end: {lost:?}");
        lost.map(drop).map_err(|said| format!("at the end: {said}"))
    }

    /// A cut while the image is cold: it can be started after that, too, since what is cold is guarded before
    /// containerd starts.
    fn while_cold(&self, seed: u64) -> Result<(), String> {
        let (disk, mut device) = self.boot(&self.bare, None);
        device.wait_for_containerd();
        device.start_daemon("/var/lib/skiff");
        let lazily = self.pull_command(&format!("--lazy=require {}", self.new));
        device.run(&lazily).ok("the lazy pull that is cut");
        // Most of it is hydrated within a second.
        std::thread::sleep(Duration::from_millis(seed % 200));
        drop(device);
        let lost = disk.cut(Cut::Seeded(seed));
        let mut device = Device::boot(&self.sandbox, &self.setup(disk.socket(), None));
        device.wait_for_containerd();
        let guarded = device.run("cat /run/skiff.log");
        let new = device.container(&self.new);
        expect("the cold image after a cut", &new, &gateway::expected(Model::Arm64, "new"))
            .map_err(|said| format!("while cold, seed {seed}: {said}; {}", guarded.text()))?;
        device.wait_until_warm("");
        device.run("kill $(pidof skiff)").ok("the daemon's end");
        let tree = device.snapshot_tree("default", &self.chain_id);
        if let Some(said) = self.stock.report(&tree) {
            return Err(format!("while cold, seed {seed}: {said}"));
        }
        let said = guarded.text();
        println!(
            "while cold, seed {seed}: {lost}; {}; well",
            said.lines().next().unwrap_or("all was there")
        );
        device.turn_off();
        disk.cut(Cut::DropAll);
        self.recover(&disk, false)
    }

    /// A cut while programs with privileges are half written: they are whole when they run, and have their privileges.
    fn while_filling(&self, seed: u64) -> Result<(), String> {
        let image = ColdImage::new(&self.sandbox, Model::Arm64);
        let (disk, mut device) = self.boot(&self.bare, None);
        image.pull(&mut device);
        image.begin_to_fill(&mut device);
        drop(device);
        let lost = disk.cut(Cut::Seeded(seed));
        let mut device = Device::boot(&self.sandbox, &self.setup(disk.socket(), None));
        let said = image.run(&mut device);
        let [eager, lazy] = image.trees(&mut device, false);
        device.turn_off();
        let wrong = said.err().or_else(|| report(&eager, &lazy, &NEVER));
        match wrong {
            Some(wrong) => Err(format!("while filling, seed {seed}: {lost}; {wrong}")),
            None => {
                println!("while filling, seed {seed}: {lost}; well");
                Ok(())
            }
        }
    }

    /// The same must go wrong with an agent that syncs nothing, or these tests see nothing.
    fn without_sync(&self) -> Result<(), String> {
        let caught = self.cut(true, Moment::End, Cut::DropAll, Some("without-sync"));
        match caught {
            Ok(_) => Err("an agent that syncs nothing passes".to_owned()),
            Err(said) => {
                println!("without sync: {}", said.lines().next().unwrap_or_default());
                Ok(())
            }
        }
    }
}
