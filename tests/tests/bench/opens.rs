//! What it costs to open a file and to read it: of files that were hydrated, beside the same files as stock containerd has
//! unpacked them; and of cold ones, over the link while the rest of the image takes it whole.

use super::ground::Ground;
use super::report::{Cell, Table};
use super::{link, median};
use flate2::Compression;
use flate2::write::GzEncoder;
use skiff_tests::harness::{
    Accelerator, Containerd, Registry, Sandbox, Skiff, SkiffDaemon, images,
};
use skiff_tests::layout::Layout;
use skiff_tests::service::{MARIADB, NGINX, NODE_RED, Service};
use std::fs::{read, symlink_metadata};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Each way reads all files so often.
const RUNS: usize = 21;
/// Cold files that are opened.
const OPENS: usize = 20;
/// The largest of them: larger ones are on their way for longer than it takes to ask.
const LARGEST: u64 = 1 << 20;

pub(super) fn tables() {
    let title =
        format!("open() and read of hydrated files ({RUNS} runs each in turn, medians, ms)");
    let columns = ["files", "unpacked by containerd", "hydrated by Skiff", "ratio"];
    let mut table = Table::new("opens", title, "", &columns);
    for service in [NGINX, MARIADB, NODE_RED] {
        table.row(service.name, &hydrated(service));
    }
    table.print();
    let mut table = Table::new(
        "opens",
        format!("open() and read of cold files, {}, the link full, ms", link::name()),
        "20 files of up to 1 MiB, one after the other. Ratios are to two round trips and the time that the file's bytes \
         take, compressed by `gzip`.",
        &["link in use, %", "least", "median", "most", "ratio, median", "ratio, most"],
    );
    for service in [MARIADB, NODE_RED] {
        table.row(service.name, &cold(service));
    }
    table.print();
}

fn hydrated(service: Service) -> [Cell; 4] {
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    let image = registry.push(&Layout::open(&images(), service.name), "new");
    let accelerator = Accelerator::start(&sandbox, &format!("http://{}", registry.host));
    let (device, stock) = (Containerd::start(&sandbox), Containerd::start(&sandbox));
    let skiff = Skiff::containerd(&sandbox, &device.socket());
    let daemon = SkiffDaemon::start(&skiff);
    let pull = ["pull", &image, "--lazy=require", "--wait", "--accelerator", &accelerator.url()];
    skiff.run(&pull).ok("pull");
    drop(daemon);
    stock.pull(&image);

    let sides = [stock.mount(&image), device.mount(&image)];
    let files = files(&sides[0].path, &device, &image);
    let mut times = [Vec::new(), Vec::new()];
    // Once each, so that all is in memory.
    for run in 0..=RUNS {
        // Who is first changes.
        for side in [run % 2, 1 - run % 2] {
            let started = Instant::now();
            for (path, size) in &files {
                assert_eq!(read(sides[side].path.join(path)).unwrap().len() as u64, *size);
            }
            if run > 0 {
                times[side].push(started.elapsed());
            }
        }
    }
    let [stock, ours] = times.map(|times| median(times).as_secs_f64() * 1000.0);
    let ms = |time| Cell::number(time, "ms", 1);
    [Cell::count(files.len()), ms(stock), ms(ours), Cell::ratio(ours / stock)]
}

/// The image's files that have bytes, and how many.
fn files(mounted: &Path, device: &Containerd, image: &str) -> Vec<(PathBuf, u64)> {
    let mut files = Vec::new();
    for (path, node) in &device.tree(image).nodes {
        if node.content.is_some() {
            let path = PathBuf::from(String::from_utf8(path.clone()).unwrap());
            let size = symlink_metadata(mounted.join(&path)).unwrap().len();
            files.push((path, size));
        }
    }
    files.retain(|(_, size)| *size > 0);
    files
}

fn cold(service: Service) -> [Cell; 6] {
    let (round_trip, rate) = (link::round_trip(), link::rate() as f64);
    let ground = Ground::new(&[service], &["new"]);
    let new = &ground.pairs[0].new;
    let sandbox = Sandbox::new();
    // What the files are, from a device that has them.
    let other = Containerd::start_in(&sandbox, &ground.wan.cloud);
    ground.wan.cloud.inside(|| other.pull(new));
    let whole = other.mount(new);

    let device = Containerd::start_in(&sandbox, &ground.wan.device);
    let skiff = Skiff::containerd(&sandbox, &device.socket());
    let _daemon = ground.daemon(&skiff);
    let pull = ["pull", new, "--lazy=require", "--accelerator", &ground.knowing.url()];
    ground.wan.device.inside(|| skiff.run(&pull).ok("lazy pull"));
    let mounted = device.mount(new);
    let mut files = files(&whole.path, &other, new);
    let is_cold = |path: &Path| symlink_metadata(mounted.path.join(path)).unwrap().blocks() == 0;
    files.retain(|(path, size)| *size <= LARGEST && is_cold(path));
    files.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));

    let (mut times, mut ratios) = (Vec::new(), Vec::new());
    let (began, before) = (Instant::now(), ground.wan.link.counts()[0].bytes);
    for place in 0..OPENS {
        // Of all sizes. What has come meanwhile is no measure.
        let from = place * files.len() / OPENS;
        let Some((path, _)) = files[from..].iter().find(|(path, _)| is_cold(path)) else {
            continue;
        };
        let started = Instant::now();
        let bytes = read(mounted.path.join(path)).unwrap();
        let time = started.elapsed();
        assert!(bytes == read(whole.path.join(path)).unwrap(), "{}", path.display());
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&bytes).unwrap();
        let bits = gzip.finish().unwrap().len() as u64 * 8;
        let bound = 2 * round_trip + Duration::from_secs_f64(bits as f64 / rate);
        times.push(time);
        ratios.push(time.as_secs_f64() / bound.as_secs_f64());
        // Let the stream fill the link again.
        std::thread::sleep(2 * round_trip);
    }
    assert!(times.len() > OPENS / 2, "{}: {} files were cold", service.name, times.len());
    let bits = (ground.wan.link.counts()[0].bytes - before) * 8;
    let used = bits as f64 / (rate * began.elapsed().as_secs_f64());
    times.sort();
    ratios.sort_by(f64::total_cmp);
    let ms = |time: Duration| Cell::number(time.as_secs_f64() * 1000.0, "ms", 0);
    let (middle, last) = (times.len() / 2, times.len() - 1);
    [
        Cell::number(used * 100.0, "%", 0),
        ms(times[0]),
        ms(times[middle]),
        ms(times[last]),
        Cell::ratio(ratios[middle]),
        Cell::ratio(ratios[last]),
    ]
}
