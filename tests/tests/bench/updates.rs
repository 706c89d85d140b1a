//! The paper's Table I, on real pairs: what an update sends, and how much of it the device has.

use super::mb;
use skiff_tests::harness::{
    Accelerator, Containerd, Fault, Outcome, Registry, Relay, Sandbox, Skiff, images,
};
use skiff_tests::layout::Layout;

pub(super) fn table() {
    println!("\n### Updates, MB\n");
    println!(
        "| | stock, on the wire | contents in its layers | of these on the device | \
         Skiff, on the wire | contents in its packs | of these on the device |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for pair in ["nginx", "mariadb", "node-red"] {
        println!("| {pair} | {} |", row(pair));
    }
}

fn row(pair: &str) -> String {
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    let layout = Layout::open(&images(), pair);
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
    [stock, all, all - fresh, skiff, sent, repeated].map(mb).join(" | ")
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
