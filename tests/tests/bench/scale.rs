//! How many devices an accelerator serves: light clients that speak the protocol and throw the bytes away, all at once,
//! on this machine, so that they share its processors with it.
//!
//! They make the same update, or each of [`VERSIONS`] another one. What is new to the accelerator was ingested before. With SQLite;
//! and with PostgreSQL and two accelerators, each with half of the devices. `SKIFF_DEVICES="1000"` is how many.

use super::report::{Cell, Table, plot};
use skiff_protocol::Digest;
use skiff_tests::fleet;
use skiff_tests::hard::noise;
use skiff_tests::harness::{Accelerator, Postgres, Registry, Sandbox, Usage};
use skiff_tests::layout::{Image, Layer, Layout};
use skiff_tests::tarball::Entry;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

/// Versions that devices hold before.
const VERSIONS: u64 = 50;
/// Files of each, their bytes, and how many of them are new in each version.
const FILES: u64 = 40;
const BYTES: usize = 50_000;
const NEW: u64 = 10;

pub(super) fn table() {
    let mut table = Table::new(
        "scale",
        "Many devices at once",
        "An update of 0.5 to 2 MB, by devices that hold the same version before, or one of 50. Processor time and peak \
         memory are the accelerators', together.",
        &[
            "updates a second",
            "MB a second",
            "processor time each, ms",
            "memory, MB",
            "read of the registry by each, MB",
        ],
    );
    let mut speeds = [Vec::new(), Vec::new()];
    let devices = std::env::var("SKIFF_DEVICES").unwrap_or_else(|_| "1 10 100 1000".to_owned());
    for devices in devices.split_whitespace().map(|number| number.parse().unwrap()) {
        for (kind, speeds) in speeds.iter_mut().enumerate() {
            for shared in [false, true] {
                let (cells, speed) = row(devices, kind == 1, shared);
                let update = ["the same update", "different updates"][kind];
                let accelerators = if shared { ", two accelerators" } else { "" };
                table.row(&format!("{update}, {devices} devices{accelerators}"), &cells);
                if !shared {
                    speeds.push((f64::from(devices), speed));
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

/// What so many devices take. `shared` are two accelerators with one database.
fn row(devices: u32, different: bool, shared: bool) -> (Vec<Cell>, f64) {
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    let layout = Layout::create(&sandbox.directory("layouts"), "fleet");
    let versions = if different { VERSIONS.min(devices.into()) } else { 1 };
    let held: Vec<(String, Digest)> = (0..versions)
        .map(|version| {
            let tag = format!("v{version}");
            let digest = layout.add(&tag, &image(version));
            (registry.push(&layout, &tag), Digest::parse(&digest).unwrap())
        })
        .collect();
    layout.add("new", &image(VERSIONS));
    let new = registry.push(&layout, "new");

    let url = format!("http://{}", registry.host);
    let postgres = shared.then(|| Postgres::start(&sandbox));
    let database = postgres.as_ref().map(|postgres| postgres.create("fleet"));
    let options: Vec<&str> = database.iter().flat_map(|url| ["--database", url.as_str()]).collect();
    let accelerators: Vec<Accelerator> = (0..if shared { 2 } else { 1 })
        .map(|_| Accelerator::start_with(&sandbox.directory("accelerator"), &url, &options))
        .collect();
    for accelerator in &accelerators {
        for (reference, _) in held.iter().chain([&(new.clone(), held[0].1)]) {
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
    settle(&registry);
    let (before, started) = (usage(), Instant::now());
    let bytes: u64 = std::thread::scope(|scope| {
        let (accelerators, held, new) = (&accelerators, &held, &new);
        let device = |number: usize| {
            let (reference, digest) = &held[number % held.len()];
            let request = fleet::request(new, &[(reference, *digest)]);
            let address = &accelerators[number % accelerators.len()].address;
            scope.spawn(move || fleet::deploy(address, &request))
        };
        let running: Vec<_> = (0..devices as usize).map(device).collect();
        let logs = || accelerators.iter().map(Accelerator::log).collect::<String>();
        let joined = |device: ScopedJoinHandle<'_, u64>| {
            device.join().unwrap_or_else(|_| panic!("a device got nothing:\n{}", logs()))
        };
        running.into_iter().map(joined).sum()
    });
    let (time, after) = (started.elapsed().as_secs_f64(), usage());
    let read = settle(&registry);
    let speed = f64::from(devices) / time;
    let each = (after.cpu - before.cpu).as_secs_f64() * 1000.0 / f64::from(devices);
    let cells = vec![
        Cell::number(speed, "updates/s", 1),
        Cell::number(bytes as f64 / 1e6 / time, "MB/s", 1),
        Cell::number(each, "ms", 1),
        Cell::bytes(after.peak_rss),
        Cell::number(read as f64 / 1e6 / f64::from(devices), "MB", 3),
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
