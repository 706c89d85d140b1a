//! `make demo`: a real web server, pulled, run, updated and run again, by Skiff and by stock
//! containerd in the same run; then a table. Everything lives in a sandbox that is gone afterwards.
#![allow(clippy::unwrap_used, reason = "a demonstration that fails says where")]

use skiff_tests::harness::{
    Accelerator, Containerd, Fault, NetNs, Registry, Relay, Sandbox, Skiff, images, wait_for,
};
use skiff_tests::layout::Layout;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

struct Row {
    what: &'static str,
    bytes: u64,
    connections: u64,
    pull: Duration,
    ready: Duration,
}

fn main() {
    let began = Instant::now();
    let step = |text: &str| println!("[{:5.1} s] {text}", began.elapsed().as_secs_f64());
    let sandbox = Sandbox::new();
    step("starting a registry, an accelerator, and two containerds");
    let registry = Registry::start(&sandbox);
    let layout = Layout::open(&images(), "nginx");
    let (old, new) = (registry.push(&layout, "old"), registry.push(&layout, "new"));
    let accelerator = Accelerator::start(&sandbox, &format!("http://{}", registry.host));
    let stock_net = NetNs::new();
    let stock_side = Containerd::start_in(&sandbox, &stock_net);
    let skiff_net = NetNs::new();
    let skiff_side = Containerd::start_in(&sandbox, &skiff_net);
    let skiff = Skiff::containerd(&sandbox, &skiff_side.socket());

    let mut rows = Vec::new();
    for (tag, reference, by_stock, by_skiff) in [
        ("old", &old, "fresh pull, stock containerd", "fresh pull, Skiff"),
        ("new", &new, "update, stock containerd", "update, Skiff"),
    ] {
        step(&format!("stock containerd pulls and runs nginx:{tag}"));
        let relay = Relay::start(&registry.host, Fault::None);
        let name = format!("{}/nginx:{tag}", relay.address);
        rows.push(measure(by_stock, &relay, &stock_side, &stock_net, &name, || {
            stock_side.pull(&name);
        }));
        step(&format!("Skiff pulls and runs nginx:{tag}"));
        let relay = Relay::start(&accelerator.address, Fault::None);
        rows.push(measure(by_skiff, &relay, &skiff_side, &skiff_net, reference, || {
            skiff.pull(&[reference], &relay.url()).ok(by_skiff);
        }));
    }
    step("done; cleaning up");
    println!("\n| | bytes on the wire | connections | pull | start until it answers |");
    println!("|---|---:|---:|---:|---:|");
    for Row { what, bytes, connections, pull, ready } in rows {
        println!(
            "| {what} | {bytes} | {connections} | {:.1} s | {:.1} s |",
            pull.as_secs_f64(),
            ready.as_secs_f64()
        );
    }
    println!(
        "\nNo delay is emulated here, and the accelerator reads each image for the first time."
    );
}

fn measure(
    what: &'static str,
    relay: &Relay,
    device: &Containerd,
    network: &NetNs,
    reference: &str,
    pull: impl FnOnce(),
) -> Row {
    let began = Instant::now();
    pull();
    let pulled = began.elapsed();
    let counts = relay.counts();
    let began = Instant::now();
    let container = device.container(reference, "demo");
    let ready = network.inside(|| wait_for(Duration::from_secs(60), answers));
    assert!(ready, "{what}: nginx does not answer");
    let ready = began.elapsed();
    drop(container);
    let bytes = counts.up + counts.down;
    Row { what, bytes, connections: counts.connections, pull: pulled, ready }
}

fn answers() -> bool {
    let Ok(mut stream) = TcpStream::connect("127.0.0.1:80") else { return false };
    let mut answer = String::new();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.contains(" 200 ")
}
