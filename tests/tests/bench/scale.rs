//! How many devices an accelerator serves: light clients that speak the protocol and throw the bytes away, all at once,
//! on this machine, so that they share its processors with it.
//!
//! They make the same update, or each of [`VERSIONS`] another one; few devices make several, one after the other, so that there are
//! [`UPDATES`] at least. What is new to the accelerator was ingested before. With SQLite; and with PostgreSQL and two accelerators, each with half of the
//! devices. `SKIFF_DEVICES="1000"` is how many.

use super::report::{Cell, Table, plot};
use skiff_protocol::Digest;
use skiff_tests::fleet;
use skiff_tests::hard::noise;
use skiff_tests::harness::{Accelerator, Postgres, Registry, Sandbox, Usage};
use skiff_tests::layout::{Image, Layer, Layout};
use skiff_tests::tarball::Entry;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

/// Versions that devices hold before.
const VERSIONS: u64 = 50;
/// Files of each, their bytes, and how many of them are new in each version.
const FILES: u64 = 40;
const BYTES: usize = 50_000;
const NEW: u64 = 10;
/// What is measured of few devices: one update takes as long as a few ticks of the clock that counts processor time.
const UPDATES: usize = 100;

pub(super) fn table() {
    let mut table = Table::new(
        "scale",
        "Many devices at once",
        "An update of 0.5 to 2 MB, by devices that hold the same version before, or one of 50; 100 updates, or one by each device. \
         Processor time and peak memory are the accelerators', together.",
        &[
            "updates a second",
            "MB a second",
            "processor time each, ms",
            "memory, MB",
            "read of the registry by each, MB",
        ],
    );
    let sandbox = Sandbox::new();
    let cloud = Cloud::new(&sandbox);
    let postgres = Postgres::start(&sandbox);
    let mut speeds = [Vec::new(), Vec::new()];
    let devices = std::env::var("SKIFF_DEVICES").unwrap_or_else(|_| "1 10 100 1000".to_owned());
    for devices in devices.split_whitespace().map(|number| number.parse().unwrap()) {
        for (kind, speeds) in speeds.iter_mut().enumerate() {
            for shared in [false, true] {
                let (cells, speed) = row(&cloud, shared.then_some(&postgres), devices, kind == 1);
                let update = ["the same update", "different updates"][kind];
                let accelerators = if shared { ", two accelerators" } else { "" };
                table.row(&format!("{update}, {devices} devices{accelerators}"), &cells);
                if !shared {
                    speeds.push((devices as f64, speed));
                }
            }
        }
    }
    table.print();
    let [same, different] = speeds;
    plot::lines(
        "scale.svg",
        "One accelerator, devices at once",
        ["devices", "updates a second"],
        &[("the same update", same), ("different updates", different)],
    );
}

/// A registry with all versions.
struct Cloud {
    registry: Registry,
    /// What devices have, and its manifest.
    held: Vec<(String, Digest)>,
    /// What they want.
    new: String,
}

impl Cloud {
    fn new(sandbox: &Sandbox) -> Self {
        let registry = Registry::start(sandbox);
        let layout = Layout::create(&sandbox.directory("layouts"), "fleet");
        let push = |version| {
            let tag = format!("v{version}");
            let digest = layout.add(&tag, &image(version));
            (registry.push(&layout, &tag), Digest::parse(&digest).unwrap())
        };
        let held = (0..VERSIONS).map(push).collect();
        let (new, _) = push(VERSIONS);
        Self { registry, held, new }
    }
}

/// What so many devices take. With PostgreSQL there are two accelerators.
fn row(
    cloud: &Cloud,
    postgres: Option<&Postgres>,
    devices: usize,
    different: bool,
) -> (Vec<Cell>, f64) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let sandbox = Sandbox::new();
    let held = &cloud.held[..if different { cloud.held.len() } else { 1 }];
    let url = format!("http://{}", cloud.registry.host);
    let database = postgres.map(|postgres| {
        postgres.create(&format!("fleet_{}", NEXT.fetch_add(1, Ordering::Relaxed)))
    });
    let options: Vec<&str> = database.iter().flat_map(|url| ["--database", url]).collect();
    let accelerators: Vec<Accelerator> = (0..if postgres.is_some() { 2 } else { 1 })
        .map(|_| Accelerator::start_with(&sandbox.directory("accelerator"), &url, &options))
        .collect();
    for accelerator in &accelerators {
        for reference in held.iter().map(|(reference, _)| reference).chain([&cloud.new]) {
            fleet::deploy(&accelerator.address, &fleet::request(reference, &[]));
        }
    }
    let usage = || {
        let all = accelerators.iter().map(|accelerator| Usage::of(accelerator.id()));
        all.fold(Usage::default(), |sum, one| Usage {
            cpu: sum.cpu + one.cpu,
            peak_rss: sum.peak_rss + one.peak_rss,
        })
    };
    let turns = UPDATES.div_ceil(devices);
    settle(&cloud.registry);
    let (before, started) = (usage(), Instant::now());
    let bytes: u64 = std::thread::scope(|scope| {
        let accelerators = &accelerators;
        let device = |number: usize| {
            let update = move |number: usize| {
                let (reference, digest) = &held[number % held.len()];
                let request = fleet::request(&cloud.new, &[(reference, *digest)]);
                let accelerator = &accelerators[number % accelerators.len()];
                let bytes = fleet::deploy(&accelerator.address, &request);
                // Whoever is refused gets a short answer, which must not count.
                assert!(bytes >= NEW * BYTES as u64, "an update of {bytes} bytes");
                bytes
            };
            scope.spawn(move || (0..turns).map(|turn| update(number + turn * devices)).sum())
        };
        let running: Vec<_> = (0..devices).map(device).collect();
        let logs = || accelerators.iter().map(Accelerator::log).collect::<String>();
        let joined = |device: ScopedJoinHandle<'_, u64>| {
            device.join().unwrap_or_else(|_| panic!("a device got nothing:\n{}", logs()))
        };
        running.into_iter().map(joined).sum()
    });
    let (time, after) = (started.elapsed().as_secs_f64(), usage());
    let read = settle(&cloud.registry);
    let updates = (devices * turns) as f64;
    let speed = updates / time;
    let each = (after.cpu - before.cpu).as_secs_f64() * 1000.0 / updates;
    let cells = vec![
        Cell::number(speed, "updates/s", 1),
        Cell::number(bytes as f64 / 1e6 / time, "MB/s", 1),
        Cell::number(each, "ms", 1),
        Cell::bytes(after.peak_rss),
        Cell::number(read as f64 / 1e6 / updates, "MB", 3),
    ];
    (cells, speed)
}

/// An image that shares with the one before all but [`NEW`] of its files.
fn image(version: u64) -> Image {
    let entry = |place: u64| {
        // The version in which it was new last.
        let turns = FILES / NEW;
        let born = version + turns - (version + turns - place / NEW) % turns;
        Entry::file(format!("file-{place}"), noise(born * FILES + place, BYTES))
    };
    Image::new(vec![Layer::new(&(0..FILES).map(entry).collect::<Vec<_>>())])
}

/// Bytes of the registry's answers since this was asked last. Its log may be a moment behind.
fn settle(registry: &Registry) -> u64 {
    std::thread::sleep(Duration::from_millis(300));
    registry.requests().iter().map(|request| request.bytes).sum()
}
