//! The cross-built agent on emulated devices: with containerd (arm64) and on a plain directory (armv7),
//! each with Debian's kernel and a newer one. The devices with the newer kernel have no clock.
//!
//! Everywhere the gateway's image is pulled (in a cgroup of 8 MiB), run, updated, run, and compared; then pulled
//! once more, run while its files are cold, and compared when they are not. At last a made-up image is kept cold, and opened in
//! every way; daemon and holder are killed meanwhile. Others are removed and updated while they are cold.
#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::Value;
use skiff_tests::compare::{NEVER, report};
use skiff_tests::device::{Answer, ColdFiles, ColdImage, Device, Kernel, Model, Setup, guest_url};
use skiff_tests::gateway;
use skiff_tests::hard::repositories;
use skiff_tests::harness::{Accelerator, Containerd, Registry, Sandbox};
use skiff_tests::layout::Layout;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Exit codes, as `skiff --help` lists them.
const LINK: i32 = 4;
const DISK: i32 = 8;

/// A cgroup of 8 MiB for the shell that says this.
const SMALL: &str = "mkdir -p /sys/fs/cgroup/small; cd /sys/fs/cgroup/small; echo 8M >memory.max; \
                     echo 0 >cgroup.procs; cd /root";
/// Waits until 2 MB have come over the link since it was said, and the pull still runs.
const HALFWAY: &str = "rx() { cat /sys/class/net/eth0/statistics/rx_bytes; }; \
                       from=$(rx); while readlink /proc/$!/exe >/dev/null || exit 97; \
                       [ $(($(rx) - from)) -lt 2000000 ]; do sleep 0.02; done";
/// Of the hard images, those that a kernel or a machine could make a difference to.
const HARD: [&str; 6] = ["metadata", "times", "types", "xattrs", "hard-links", "whiteouts"];

/// An image in the registry.
struct Pushed {
    reference: String,
    /// Name of its snapshot.
    chain_id: String,
}

struct Ground {
    // Dropped in this order: processes before the directory that they use.
    accelerator: Accelerator,
    _registry: Registry,
    old: Pushed,
    new: Pushed,
    /// Of each hard image its first version and its last.
    hard: Vec<[Pushed; 2]>,
    sandbox: Sandbox,
    model: Model,
    kernel: Kernel,
    started: Instant,
}

impl Ground {
    fn new(model: Model, kernel: Kernel) -> Self {
        let sandbox = Sandbox::new();
        let registry = Registry::start(&sandbox);
        let layouts = sandbox.directory("layouts");
        let layout = gateway::layout(&layouts, model);
        let push = |layout: &Layout, tag: &str| Pushed {
            reference: registry.push(layout, tag),
            chain_id: layout.chain_id(tag, model.platform().0),
        };
        let [old, new] = ["old", "new"].map(|tag| push(&layout, tag));
        let (architecture, variant) = model.platform();
        let mut hard = repositories();
        hard.retain(|repository| HARD.contains(&repository.name));
        assert_eq!(hard.len(), HARD.len(), "hard images have other names now");
        let hard = hard.into_iter().map(|mut repository| {
            let last = repository.versions.len() - 1;
            for (_, images) in &mut repository.versions {
                for image in images {
                    *image = image.clone().platform(architecture, variant);
                }
            }
            let layout = repository.write(&layouts);
            [0, last].map(|version| push(&layout, &repository.versions[version].0))
        });
        let hard = hard.collect();
        let accelerator = Accelerator::start(&sandbox, &format!("http://{}", registry.host));
        let started = Instant::now();
        Self { accelerator, _registry: registry, old, new, hard, sandbox, model, kernel, started }
    }

    fn boot(&self) -> Device {
        let kernel = self.kernel;
        let clock = (kernel == Kernel::New).then_some(0);
        Device::boot(&self.sandbox, &Setup { clock, ..Setup::new(self.model, kernel) })
    }

    /// Where hard images are compared. What else can go wrong is tried with the other kernel: the
    /// devices are slow.
    fn hard_images(&self) -> &[[Pushed; 2]] {
        if self.kernel == Kernel::Old { &self.hard } else { &[] }
    }

    /// `skiff pull`, preceded and accompanied by other commands.
    fn pull_with(&self, device: &mut Device, before: &str, meanwhile: &str, tail: &str) -> Answer {
        let url = guest_url(&self.accelerator.url());
        device.run(&format!(
            "({before}; exec skiff pull --json --accelerator {url} {tail}) & {meanwhile}; wait $!"
        ))
    }

    fn pull(&self, device: &mut Device, tail: &str) -> Answer {
        self.pull_with(device, ":", ":", tail)
    }

    /// The first pull of a device, in a small cgroup. Whoever has no clock gets one meanwhile.
    fn first_pull(&self, device: &mut Device, options: &str) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let set = format!("{HALFWAY}; date -u -s @{now} >/dev/null");
        let meanwhile = if self.kernel == Kernel::New { &*set } else { ":" };
        let pulled =
            self.pull_with(device, SMALL, meanwhile, &format!("{options} {}", self.old.reference));
        if pulled.status != 0 {
            println!("{}", device.run("dmesg | tail -n 60").text());
        }
        let pulled = done(&pulled.ok("the first pull, in 8 MiB"));
        let small = "cd /sys/fs/cgroup/small; cat memory.peak; \
                     awk '$1 == \"oom_kill\" {print $2}' memory.events";
        let small = device.run(small).ok("the cgroup");
        let (peak, kills) = small.split_once('\n').unwrap();
        self.say(&format!("first pull done; peak of its cgroup: {peak}"));
        assert_eq!(kills, "0", "the kernel has killed in the cgroup");
        // With the page cache it is filled; else the pull was not in it.
        assert!(peak.parse::<u64>().unwrap() > 4 << 20, "the cgroup has held {peak} bytes only");
        pulled
    }

    /// Says what has been done, with the seconds.
    fn say(&self, what: &str) {
        let Self { model, kernel, started, .. } = self;
        println!("{model:?}, {kernel:?} kernel: {:4} s: {what}", started.elapsed().as_secs());
    }

    /// The new image once more, started while it is cold.
    fn cold(
        &self,
        device: &mut Device,
        options: &str,
        state: &str,
        run: impl Fn(&mut Device) -> String,
    ) {
        device.start_daemon(state);
        let tail = format!("--lazy=require {options} {}", self.new.reference);
        let pulled = done(&self.pull(device, &tail).ok("a lazy pull"));
        let cold = number(&pulled, "cold_files");
        let before = number(&pulled, "bytes_received");
        self.say(&format!("{cold} files are cold, {before} bytes came"));
        assert!(cold > 0, "nothing is cold");
        assert_eq!(run(device), gateway::expected(self.model, "new"));
        self.say("run while it was cold");
        device.wait_until_warm(options);
        device.run("kill $(pidof skiff); cat /proc/sys/fs/lease-break-time").ok("the daemon's end");
    }

    /// A cold image is removed; another is updated, and removed before its files have come.
    fn cold_images(&self, device: &mut Device) {
        let image = ColdImage::new(&self.sandbox, self.model);
        image.pull(device);
        image.remove(device);
        image.update(device);
        let [eager, lazy] = image.trees(device, true);
        assert_eq!(report(&eager, &lazy, &NEVER), None);
        self.say("a cold image was removed, and one updated");
    }

    /// Every way to open a cold file, and what becomes of who waits for one.
    fn ways(&self, device: &mut Device, least: usize) {
        let mut cold = ColdFiles::pull(&self.sandbox, device, self.model);
        self.say("files are cold");
        cold.privileges();
        let said = cold.cases();
        assert!(said.lines().count() >= least, "{said}");
        self.say(&format!("{} ways to open them", said.lines().count()));
        cold.takeovers();
        cold.both_killed();
        self.say("daemon and holder were killed");
    }

    /// A link that is down, and one that goes down for a while in the middle of a pull.
    fn link(&self, device: &mut Device, options: &str) {
        let tail = format!("{options} {}", self.old.reference);
        let answer = self.pull_with(device, "ip link set eth0 down", ":", &tail);
        assert_eq!(answer.status, LINK, "without a link: {}", answer.text());
        let cut = format!("{HALFWAY}; ip link set eth0 down; sleep 4; ip link set eth0 up");
        self.pull_with(device, "ip link set eth0 up", &cut, &tail).ok("a link that comes back");
        self.say("the link was cut and restored");
    }

    /// A disk with some 15 MB of room, where the image needs more. (ext4 keeps 16 MiB for itself.)
    fn full_disk(&self, device: &mut Device, options: &str, target_options: &str) {
        let fill = "sync; fallocate -l $(($(stat -f -c '%f * %S' /) - 30000000)) /fill";
        device.run(fill).ok("fill the disk");
        let tail = format!("{options} {}", self.old.reference);
        let answer = self.pull(device, &tail);
        assert_eq!(answer.status, DISK, "on a full disk: {}", answer.text());
        let left = device.run(&format!("skiff status --json {target_options}")).ok("status");
        assert_eq!(left.matches("\"id\"").count(), 0, "a full disk leaves: {left}");
        device.run("rm /fill").ok("room again");
        self.pull(device, &tail).ok("with room again");
        self.say("the disk was full");
    }
}

/// The last line of `skiff pull --json`.
fn done(output: &str) -> Value {
    let line = output.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|e| panic!("not JSON ({e}): {output:?}"))
}

fn number(done: &Value, field: &str) -> u64 {
    done[field].as_u64().unwrap_or_else(|| panic!("no number {field} in {done}"))
}

/// An update sends what is new, in one request.
fn check_delta(fresh: &Value, update: &Value) {
    assert_eq!(number(update, "requests"), 1);
    let [fresh, update] = [fresh, update].map(|done| number(done, "bytes_received"));
    assert!(update * 2 < fresh, "the update had {update} bytes, the fresh pull {fresh}");
}

#[test]
fn arm64_with_debians_kernel() {
    arm64(Kernel::Old);
}

#[test]
fn arm64_with_a_newer_kernel_and_no_clock() {
    arm64(Kernel::New);
}

fn arm64(kernel: Kernel) {
    let ground = Ground::new(Model::Arm64, kernel);
    let mut device = ground.boot();
    let device = &mut device;
    device.wait_for_containerd();
    ground.say("booted");
    let (old, new) = (&*ground.old.reference, &*ground.new.reference);

    let fresh = ground.first_pull(device, "");
    let printed = device.container(old).ok("the old image");
    assert_eq!(printed, gateway::expected(ground.model, "old"));
    ground.say("run");
    let update = done(&ground.pull(device, new).ok("update"));
    check_delta(&fresh, &update);
    let printed = device.container(new).ok("the new image");
    assert_eq!(printed, gateway::expected(ground.model, "new"));
    ground.say("updated and run");

    // What containerd itself unpacks here, beside it.
    let mut wrong = Vec::new();
    let mut compare = |device: &mut Device, image: &Pushed| {
        let stock = guest_url(&image.reference);
        let script = format!(
            "date +%s; ctr -n stock images pull --plain-http --snapshotter overlayfs {stock} \
             >/dev/null; date +%s"
        );
        let times = device.run(&script).ok("stock's pull");
        let mut times = times.lines().map(|line| line.parse::<i64>().unwrap());
        let unpacked = times.next().unwrap()..=times.next_back().unwrap();
        let trees = ["stock", "default"].map(|space| device.snapshot_tree(space, &image.chain_id));
        if let Some(said) = report(&trees[0], &trees[1], &unpacked) {
            wrong.push(format!("{}: {said}", image.reference));
        }
    };
    compare(device, &ground.new);
    ground.say("compared");
    for [first, last] in ground.hard_images() {
        for image in [first, last] {
            ground.pull(device, &image.reference).ok(&image.reference);
        }
        compare(device, last);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    ground.say(&format!("{} hard images compared", ground.hard_images().len()));

    let eager = device.snapshot_tree("default", &ground.new.chain_id);
    device.run(&format!("ctr images rm --sync {old} {new}")).ok("remove");
    ground.cold(device, "", "/var/lib/skiff", |device| device.container(new).ok("the cold image"));
    let lazy = device.snapshot_tree("default", &ground.new.chain_id);
    assert_eq!(report(&eager, &lazy, &NEVER), None);
    ground.say("compared again");

    if kernel == Kernel::New {
        device.run(&format!("ctr images rm --sync {new}")).ok("remove");
        ground.link(device, "");
        device.run(&format!("ctr images rm --sync {old}")).ok("remove");
        ground.full_disk(device, "", "");
        let printed = device.container(old).ok("after all that");
        assert_eq!(printed, gateway::expected(ground.model, "old"));
    }
    let leases = device.run("ctr leases ls -q").ok("leases");
    assert_eq!(leases, "", "leases are left");
    ground.ways(device, 51);
    ground.cold_images(device);
    ground.say("done");
}

#[test]
fn armv7_with_debians_kernel() {
    armv7(Kernel::Old);
}

#[test]
fn armv7_with_a_newer_kernel_and_no_clock() {
    armv7(Kernel::New);
}

fn armv7(kernel: Kernel) {
    let ground = Ground::new(Model::Armv7, kernel);
    // This device has no containerd: the host's unpacks for it.
    let containerd = Containerd::start(&ground.sandbox);
    let stock = |image: &str| containerd.stock_of(image, "linux/arm/v7");
    let mut device = ground.boot();
    let device = &mut device;
    let (old, new) = (&*ground.old.reference, &*ground.new.reference);
    let root = "--root /var/lib/images";
    device.run("mkdir /var/lib/images /run/mounted").ok("directories");
    ground.say("booted");
    let run = |device: &mut Device, image: &str| {
        let script = format!(
            "skiff mount {image} /run/mounted {root} && PYTHONDONTWRITEBYTECODE=1 \
             chroot /run/mounted /usr/bin/python3.11 /srv/gateway/report.py; s=$?; umount /run/mounted; exit $s"
        );
        device.run(&script).ok(image)
    };

    let fresh = ground.first_pull(device, root);
    assert_eq!(run(device, old), gateway::expected(ground.model, "old"));
    ground.say("run");
    let update = done(&ground.pull(device, &format!("{root} {new}")).ok("update"));
    check_delta(&fresh, &update);
    assert_eq!(run(device, new), gateway::expected(ground.model, "new"));
    ground.say("updated and run");

    let mut wrong = Vec::new();
    let mut compare = |device: &mut Device, image: &str| {
        let tree = device.mounted_tree("/var/lib/images", image);
        wrong.extend(stock(image).report(&tree).map(|said| format!("{image}: {said}")));
    };
    compare(device, new);
    for [first, last] in ground.hard_images() {
        for image in [first, last] {
            ground.pull(device, &format!("{root} {}", image.reference)).ok(&image.reference);
        }
        compare(device, &last.reference);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    ground.say("compared");

    let eager = device.mounted_tree("/var/lib/images", new);
    device.run(&format!("skiff rm {old} {root} && skiff rm {new} {root}")).ok("remove");
    ground.cold(device, root, "/var/lib/images/skiff", |device| run(device, new));
    let lazy = device.mounted_tree("/var/lib/images", new);
    assert_eq!(report(&eager, &lazy, &NEVER), None);
    ground.say("compared again");

    if kernel == Kernel::New {
        device.run(&format!("skiff rm {new} {root}")).ok("remove");
        ground.link(device, root);
        device.run(&format!("skiff rm {old} {root}")).ok("remove");
        ground.full_disk(device, root, root);
        assert_eq!(run(device, old), gateway::expected(ground.model, "old"));
    }
    ground.ways(device, 44);
    ground.cold_images(device);
    ground.say("done");
}
