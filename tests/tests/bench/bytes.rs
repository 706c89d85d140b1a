//! Bytes, by what a device decodes: whole files or patches, deflate or zstd; fresh and as updates. Beside them stock's, and as bounds
//! what others make of the contents that changed: `gzip -6`, `zstd -19`, and `zstd -19 --patch-from` all contents of the old image.
//!
//! Everything that Skiff receives is counted, from the plan on, as the accelerator says it exactly when it is only asked
//! how much it would be. And what a processor takes to apply them: the agent's whole update beside `cp` and `sha256sum` of what it makes.

use super::report::{Cell, Table};
use super::updates;
use skiff_protocol::Digest;
use skiff_protocol::request::{Codecs, Purpose};
use skiff_tests::compare::Tree;
use skiff_tests::fleet;
use skiff_tests::harness::{
    Accelerator, Containerd, Fault, Registry, Relay, Sandbox, Skiff, Usage, run,
};
use skiff_tests::spans;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PAIRS: [&str; 5] = ["nginx", "mariadb", "node-red", "gateway", "gateway, ARMv7"];

pub(super) fn tables() {
    let columns =
        ["stock", "deflate", "zstd", "patches, deflate", "patches, zstd", "compressed again"];
    let bounds = ["`gzip -6`", "`zstd -19`", "`zstd -19 --patch-from`"];
    let note = "The last is what comes once the accelerator had nothing to do for a while: patches, zstd's level 19.";
    let mut fresh = Table::new("bytes-fresh", "Bytes of a fresh pull, MB", note, &columns);
    let columns = [&columns[..], &bounds].concat();
    let note = "The last three are of the contents that changed, alone.";
    let mut update = Table::new("bytes-update", "Bytes of an update, MB", note, &columns);
    let columns = ["agent, the whole update", "`cp` and `sha256sum`", "ratio"];
    let note = "Seconds of processors, the agent's own digests included.";
    let mut apply = Table::new("apply", "An update by patches, applied", note, &columns);
    for pair in PAIRS {
        let Row { bytes: [all, changed], bounds, times } = row(pair);
        fresh.row(pair, &all.map(Cell::bytes));
        let changed: Vec<u64> = changed.into_iter().chain(bounds).collect();
        let cells: [u64; 9] = changed.try_into().unwrap();
        update.row(pair, &cells.map(Cell::bytes));
        if let Some([agent, plain]) = times {
            let ratio = Cell::ratio(agent.as_secs_f64() / plain.as_secs_f64());
            apply.row(pair, &[Cell::time(agent), Cell::time(plain), ratio]);
        }
    }
    fresh.print();
    update.print();
    apply.print();
}

struct Row {
    /// Of the new image fresh, and as an update.
    bytes: [[u64; 6]; 2],
    bounds: [u64; 3],
    /// The agent's for an update, and that of `cp` and `sha256sum`, if the image is for this machine.
    times: Option<[Duration; 2]>,
}

fn row(pair: &str) -> Row {
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    let layout = updates::layout(&sandbox, pair);
    let [old, new] = ["old", "new"].map(|tag| registry.push(&layout, tag));

    let device = Containerd::start(&sandbox);
    let relay = Relay::start(&registry.host, Fault::None);
    let by_relay = |tag: &str| format!("{}/{}:{tag}", relay.address, layout.repository);
    let counts = || relay.counts().up + relay.counts().down;
    let stock_old = device.stock(&by_relay("old")).tree;
    let before = counts();
    let stock_new = device.stock(&by_relay("new")).tree;
    let stock_update = counts() - before;
    let other = Containerd::start(&sandbox);
    let before = counts();
    other.stock(&by_relay("new"));
    let stock_fresh = counts() - before;
    drop(other);

    let directory = sandbox.directory("accelerator");
    let options = ["--idle-zstd-level", "19"];
    let url = format!("http://{}", registry.host);
    let accelerator = Accelerator::start_with(&directory, &url, &options);
    let digest = Digest::parse(&layout.digest_of("old")).unwrap();
    let patches = Codecs::DEFLATE.and(Codecs::PATCHES);
    let zstd = Codecs::DEFLATE.and(Codecs::ZSTD);
    let codecs = [Codecs::DEFLATE, zstd, patches, zstd.and(patches)];
    // The accelerator knows the old image when it is held.
    fleet::deploy(&accelerator.address, &fleet::request(&old, &[]));
    let measured = |held: &[(&str, Digest)], codecs| {
        let request = fleet::request_for(&new, held, codecs, Purpose::Measure);
        request.len() as u64 + fleet::measured(&accelerator.address, &request)
    };
    let held = [(&*old, digest)];
    let pulls: [(&[(&str, Digest)], u64); 2] = [(&[], stock_fresh), (&held, stock_update)];
    let quick = pulls.map(|(held, stock)| (stock, codecs.map(|codecs| measured(held, codecs))));
    accelerator.wait_for_idle_work();
    let again = pulls.map(|(held, _)| measured(held, zstd.and(patches)));
    let [fresh, update] = [0, 1].map(|pull| {
        let (stock, [a, b, c, d]) = quick[pull];
        [stock, a, b, c, d, again[pull]]
    });

    let wanted = spans::new_contents(&stock_old, &stock_new);
    let mounted = ["old", "new"].map(|tag| device.mount(&by_relay(tag)));
    let [from, to] = [("old", &stock_old, None), ("new", &stock_new, Some(&wanted))].map(
        |(name, tree, only)| {
            let file = sandbox.path().join(name);
            let mount = &mounted[usize::from(name == "new")].path;
            join(tree, mount, only, &file);
            file.display().to_string()
        },
    );
    let packed = |program: &str, options: &[&str]| {
        let out = sandbox.path().join("packed").display().to_string();
        let command = format!("exec \"$@\" > {out}");
        let command = ["-c", &command, "sh", program, "-c", "-q"];
        run("sh", &[&command, options, &[&to]].concat());
        fs::metadata(&out).unwrap().len()
    };
    let patch_from = format!("--patch-from={from}");
    let bounds = [
        packed("gzip", &["-6"]),
        packed("zstd", &["-19"]),
        packed("zstd", &["-19", "--long=31", &patch_from]),
    ];
    let url = accelerator.url();
    let times = (!pair.starts_with("gateway")).then(|| {
        let skiff = Skiff::root(&sandbox, &sandbox.directory("device"));
        skiff.pull(&[&old], &url).ok(&old);
        // It was measured, so all its packs are there.
        let pull = ["pull", &new, "--max-bytes=1000000000", "--accelerator", &url];
        let agent = Usage::run(&mut skiff.command(&pull)).cpu;
        let copy = sandbox.path().join("copy").display().to_string();
        let plain = [("cp", vec![&to, &copy]), ("sha256sum", vec![&copy])];
        let plain = plain.map(|(program, files)| Usage::run(Command::new(program).args(files)).cpu);
        [agent, plain.iter().sum()]
    });
    Row { bytes: [fresh, update], bounds, times }
}

/// Writes each content of a tree once into a file, in the order of the paths; or only those.
fn join(tree: &Tree, mount: &Path, only: Option<&HashSet<[u8; 32]>>, into: &Path) {
    let mut file = BufWriter::new(File::create(into).unwrap());
    let mut done = HashSet::new();
    for (path, node) in &tree.nodes {
        let Some(content) = node.content else { continue };
        if only.is_none_or(|only| only.contains(&content)) && done.insert(content) {
            let path = std::ffi::OsStr::new(std::str::from_utf8(path).unwrap());
            file.write_all(&fs::read(mount.join(path)).unwrap()).unwrap();
        }
    }
    file.flush().unwrap();
}
