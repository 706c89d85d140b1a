//! What an image costs that is larger, or has more files: time should grow with it, memory should not.
//!
//! Images are made up: contents that can't be compressed, in one layer. `SKIFF_GROWTH=long` goes up to 2 GB and
//! 200,000 files.

use super::report::{Cell, Table, plot};
use skiff_tests::hard::noise;
use skiff_tests::harness::{Accelerator, Sandbox, Skiff, Usage};
use skiff_tests::layout::{Compression, Image, Layer, Layout};
use skiff_tests::tarball::{Entry, archive};

/// Files, and bytes of all together.
const SIZES: [(usize, usize); 3] = [(100, 10_000_000), (100, 100_000_000), (100, 250_000_000)];
const FILES: [(usize, usize); 3] =
    [(1_000, 20_000_000), (10_000, 20_000_000), (50_000, 20_000_000)];
/// And of the long form.
const LONG: [(usize, usize); 3] = [(100, 500_000_000), (100, 2_000_000_000), (200_000, 20_000_000)];

/// What was measured of one image.
struct Costs {
    files: usize,
    bytes: usize,
    ingest: Usage,
    serve: Usage,
    agent: Usage,
}

pub(super) fn table() {
    let mut table = Table::new(
        "growth",
        "Larger images, and more files",
        "Seconds of processors; in brackets the peak of memory, MB. The agent is built for this machine.",
        &["ingest", "serve", "agent"],
    );
    let long = std::env::var("SKIFF_GROWTH").is_ok_and(|form| form == "long");
    let more = if long { &LONG[..] } else { &[] };
    let mut all = Vec::new();
    for &(files, bytes) in SIZES.iter().chain(&FILES).chain(more) {
        let costs = measure(files, bytes);
        table.row(
            &format!("{files} files, {} MB", bytes / 1_000_000),
            &[cell(costs.ingest), cell(costs.serve), cell(costs.agent)],
        );
        all.push(costs);
    }
    table.print();
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let by_size = |of: fn(&Costs) -> f64| {
        let chosen = all.iter().filter(|costs| costs.files == 100);
        chosen.map(|costs| (megabytes(costs.bytes as u64), of(costs))).collect::<Vec<_>>()
    };
    plot::lines(
        "growth.svg",
        "Images of 100 files that grow",
        ["MB of the image", "s or MB"],
        &[
            ("ingest, s", by_size(|costs| costs.ingest.cpu.as_secs_f64())),
            ("agent, s", by_size(|costs| costs.agent.cpu.as_secs_f64())),
            ("accelerator, MB of memory", by_size(|costs| costs.serve.peak_rss as f64 / 1e6)),
            ("agent, MB of memory", by_size(|costs| costs.agent.peak_rss as f64 / 1e6)),
        ],
    );
}

fn cell(usage: Usage) -> Cell {
    Cell::time(usage.cpu).with([Cell::bytes(usage.peak_rss)])
}

fn measure(files: usize, bytes: usize) -> Costs {
    let sandbox = Sandbox::new();
    let layouts = sandbox.directory("layouts");
    let layout = Layout::create(&layouts, "grown");
    let content = noise(1, bytes);
    let entries: Vec<Entry> = content
        .chunks(bytes / files)
        .take(files)
        .enumerate()
        .map(|(number, chunk)| Entry::file(&format!("{:03}/{number}", number / 1000), chunk))
        .collect();
    let layer = Layer { tar: archive(&entries), compression: Compression::Quick };
    layout.add("v1", &Image::new(vec![layer]));
    drop((content, entries));
    let (registry, directory) = (format!("oci:{}", layouts.display()), sandbox.directory("data"));
    let data = directory.join("data");
    let ingest = Usage::run(&mut Accelerator::ingesting(&registry, &data, "grown:v1"));
    let accelerator = Accelerator::start_with(&directory, &registry, &[]);
    let skiff = Skiff::root(&sandbox, &sandbox.directory("root"));
    let pull = ["pull", "grown:v1", "--lazy=never", "--accelerator", &accelerator.url()];
    let agent = Usage::run(&mut skiff.command(&pull));
    let serve = Usage::of(accelerator.id());
    Costs { files, bytes, ingest, serve, agent }
}
