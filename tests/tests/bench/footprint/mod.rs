//! What a pull takes of a device: processors and memory, of the agent and of `ctr` with containerd, for the same image
//! from the same machine. And the sizes of the agent's binaries, as `cross/build.sh` has built them.
//!
//! containerd works for it, too (snapshots, image records), which is said apart.

mod device;

use crate::report::{Cell, Table};
use skiff_tests::fleet;
use skiff_tests::harness::{
    Accelerator, Containerd, Registry, Sandbox, Skiff, SkiffDaemon, Usage, images, run,
};
use skiff_tests::layout::Layout;
use std::env::consts::ARCH;
use std::path::{Path, PathBuf};
use std::time::Duration;

const AARCH64: &str = "aarch64-unknown-linux-musl";
const ARMV7: &str = "armv7-unknown-linux-musleabihf";

pub(super) fn tables() {
    let columns = ["agent's bytes", "with containerd's and `ctr`'s, a ratio"];
    let mut sizes = Table::new("footprint", "The agent's binaries", "", &columns);
    let stock = ["containerd", "ctr"].map(|name| size(&installed(name))).iter().sum::<u64>();
    for triple in [format!("{ARCH}-unknown-linux-musl").as_str(), AARCH64, ARMV7] {
        let bytes = size(&cross().join(triple).join("skiff"));
        let ratio = Cell::ratio(bytes as f64 / stock as f64);
        sizes.row(triple, &[Cell::number(bytes as f64, "bytes", 0), ratio]);
    }
    sizes.print();

    let mut table = Table::new(
        "footprint",
        "Processors and memory of a pull",
        "Seconds of processors; peak of the resident set, MB. Ratios are to `ctr` and containerd together.",
        &[
            "`ctr` and containerd",
            "their memory",
            "agent",
            "containerd for it",
            "ratio of the agent",
            "with containerd",
            "agent's memory",
            "ratio of memory",
            "lazy: agent and daemon",
            "ratio of lazy",
        ],
    );
    for image in crate::services("nginx mariadb").split_whitespace() {
        table.row(image, &row(image));
    }
    table.print();
    device::table();
}

fn row(image: &str) -> [Cell; 10] {
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    let image = registry.push(&Layout::open(&images(), image), "new");
    let accelerator = Accelerator::start(&sandbox, &format!("http://{}", registry.host));

    let device = Containerd::start(&sandbox);
    let mut pull = device.ctr_command(&Containerd::pulling(&image));
    let (ctr, containerd) = beside(&device, || Usage::run(&mut pull));
    let stock = ctr.cpu + containerd.cpu;
    let memory = ctr.peak_rss + containerd.peak_rss;

    let device = Containerd::start(&sandbox);
    let skiff = Skiff::containerd(&sandbox, &device.socket());
    let url = accelerator.url();
    // Once, so that the accelerator has the image; to somebody who keeps nothing of it.
    fleet::deploy(&accelerator.address, &fleet::request(&image, &[]));
    let mut pull = skiff.command(&["pull", &image, "--lazy=never", "--accelerator", &url]);
    let (eager, meanwhile) = beside(&device, || Usage::run(&mut pull));

    let device = Containerd::start(&sandbox);
    let skiff = Skiff::containerd(&sandbox, &device.socket());
    let daemon = SkiffDaemon::start(&skiff);
    let pull = ["pull", &image, "--lazy=require", "--wait", "--accelerator", &url];
    let (before, lazy) = (Usage::of(daemon.id()).cpu, Usage::run(&mut skiff.command(&pull)));
    let lazy = lazy.cpu + Usage::of(daemon.id()).cpu - before;

    let to_stock = |time: Duration| Cell::ratio(time.as_secs_f64() / stock.as_secs_f64());
    [
        Cell::time(stock),
        Cell::bytes(memory),
        Cell::time(eager.cpu),
        Cell::time(meanwhile.cpu),
        to_stock(eager.cpu),
        to_stock(eager.cpu + meanwhile.cpu),
        Cell::bytes(eager.peak_rss),
        Cell::ratio(eager.peak_rss as f64 / memory as f64),
        Cell::time(lazy),
        to_stock(lazy),
    ]
}

/// Does something, and says what containerd took for it.
fn beside(device: &Containerd, work: impl FnOnce() -> Usage) -> (Usage, Usage) {
    let before = Usage::of(device.id());
    let usage = work();
    let after = Usage::of(device.id());
    (usage, Usage { cpu: after.cpu - before.cpu, ..after })
}

fn cross() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/cross")
}

fn installed(program: &str) -> PathBuf {
    run("sh", &["-c", &format!("command -v {program}")]).trim().into()
}

fn size(path: &Path) -> u64 {
    let metadata = std::fs::metadata(path);
    metadata.unwrap_or_else(|error| panic!("{}: {error}; run `make bench`", path.display())).len()
}
