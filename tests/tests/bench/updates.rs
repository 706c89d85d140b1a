//! The paper's Table I, on real pairs: what an update sends, and how much of it the device has. As bounds, what others send
//! who have both trees: `rsync`, which looks into files that changed, and `zstd --patch-from`.

use super::report::{Cell, Table};
use skiff_tests::device::Model;
use skiff_tests::gateway;
use skiff_tests::harness::{
    Accelerator, Containerd, Fault, Outcome, Registry, Relay, Sandbox, Skiff, images, run,
};
use skiff_tests::layout::{Image, Layer, Layout};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;

pub(super) fn table() {
    let mut table = Table::new(
        "updates",
        "Updates, MB",
        "",
        &[
            "stock, on the wire",
            "contents in its layers",
            "of these on the device",
            "Skiff, on the wire",
            "contents in its packs",
            "of these on the device too",
            "`rsync -z`",
            "`zstd --patch-from`",
        ],
    );
    // They are bytes, which do not depend on how fast anything is: two at once, the largest first.
    let largest_first = Mutex::new(["gateway", "nginx", "node-red", "mariadb"].to_vec());
    let rows = Mutex::new(HashMap::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let next = || largest_first.lock().unwrap().pop();
                while let Some(pair) = next() {
                    let row = row(pair);
                    rows.lock().unwrap().insert(pair, row);
                }
            });
        }
    });
    let rows = rows.into_inner().unwrap();
    for pair in ["nginx", "mariadb", "node-red", "gateway"] {
        table.row(pair, &rows[pair]);
    }
    table.print();
}

fn row(pair: &str) -> [Cell; 8] {
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    let layout = layout(&sandbox, pair);
    let [old, new] = ["old", "new"].map(|tag| registry.push(&layout, tag));
    check_layers(&layout);

    let device = Containerd::start(&sandbox);
    let relay = Relay::start(&registry.host, Fault::None);
    let by_relay = |tag: &str| format!("{}/{pair}:{tag}", relay.address);
    let stock_old = device.stock(&by_relay("old")).tree;
    let before = relay.counts();
    let stock_new = device.stock(&by_relay("new")).tree;
    let after = relay.counts();
    let stock = after.up + after.down - before.up - before.down;

    let accelerator = Accelerator::start(&sandbox, &format!("http://{}", registry.host));
    let skiff = Skiff::root(&sandbox, &sandbox.directory("root"));
    skiff.pull(&[&old], &accelerator.url()).ok("old");
    let update = skiff.pull(&[&new], &accelerator.url()).ok("new");
    let sent = content_bytes(&update);
    let (all, fresh) = stock_new.content_bytes(&stock_old);
    let skiff = update.number("bytes_received") + update.number("bytes_sent");
    let repeated = sent.checked_sub(fresh).unwrap();

    let mounted = ["old", "new"].map(|tag| device.mount(&by_relay(tag)));
    let [old, new] = mounted.each_ref().map(|mounted| mounted.path.as_path());
    let (rsync, patch) = (rsync(&sandbox, old, new), patch(&sandbox, old, new));
    [stock, all, all - fresh, skiff, sent, repeated, rsync, patch].map(Cell::bytes)
}

/// A pair of images.
pub(super) fn layout(sandbox: &Sandbox, pair: &str) -> Layout {
    match pair {
        "gateway" => gateway_in_one_layer(sandbox, Model::Arm64),
        "gateway, ARMv7" => gateway_in_one_layer(sandbox, Model::Armv7),
        pair => Layout::open(&images(), pair),
    }
}

/// An ARM gateway's pair, each image as one layer, for this machine: nothing runs here.
fn gateway_in_one_layer(sandbox: &Sandbox, model: Model) -> Layout {
    let layers = gateway::layers(model);
    let layout = Layout::create(&sandbox.directory("layouts"), gateway::REPOSITORY);
    for tag in ["old", "new"] {
        let mut tar = layers("base").tar;
        // An archive ends with blocks of zeros.
        let end = tar.chunks(512).rposition(|block| block.iter().any(|&byte| byte != 0)).unwrap();
        tar.truncate((end + 1) * 512);
        tar.extend(layers(tag).tar);
        layout.add(tag, &Image::new(vec![Layer { tar, ..layers(tag) }]));
    }
    layout
}

/// A stock update must bring all layers anew, but for some of a few bytes: then what is in them is what is
/// in the image.
fn check_layers(layout: &Layout) {
    let layers = |tag: &str| layout.manifest_of(tag)["layers"].as_array().unwrap().clone();
    let old = layers("old");
    for layer in layers("new") {
        let small = layer["size"].as_u64().unwrap() < 64 * 1024;
        assert!(small || !old.contains(&layer), "a layer that both images have: {layer}");
    }
}

/// Bytes of contents in a pull's packs.
fn content_bytes(outcome: &Outcome) -> u64 {
    let events = outcome.stdout.lines().map(serde_json::from_str::<serde_json::Value>);
    let plan = events.map(Result::unwrap).find(|event| event["event"] == "plan").unwrap();
    plan["content_bytes"].as_u64().unwrap()
}

/// Bytes that `rsync` sends in both directions to make one tree the other.
fn rsync(sandbox: &Sandbox, old: &Path, new: &Path) -> u64 {
    let device = sandbox.directory("rsync");
    let [old, new, device] =
        [old, new, device.as_path()].map(|path| format!("{}/", path.display()));
    run("cp", &["-a", &format!("{old}."), &device]);
    let options = ["-aHAXz", "--numeric-ids", "--delete", "--no-whole-file", "--stats"];
    let said = run("rsync", &[&options[..], &[&new, &device]].concat());
    let number = |name: &str| -> u64 {
        let line = said.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name:?} in {said}")).replace(',', "").parse().unwrap()
    };
    number("Total bytes sent: ") + number("Total bytes received: ")
}

/// Bytes of the new tree's archive as a patch to the old one's.
fn patch(sandbox: &Sandbox, old: &Path, new: &Path) -> u64 {
    let directory = sandbox.directory("patch");
    let [old, new] = [("old", old), ("new", new)].map(|(name, tree)| {
        let archive = directory.join(name).display().to_string();
        let tree = tree.display().to_string();
        run("tar", &["--sort=name", "--numeric-owner", "-C", &tree, "-cf", &archive, "."]);
        archive
    });
    let patch = directory.join("patch").display().to_string();
    run("zstd", &["-q", "--long=31", &format!("--patch-from={old}"), &new, "-o", &patch]);
    std::fs::metadata(patch).unwrap().len()
}
