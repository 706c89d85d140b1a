//! Applications: containers that are deployed together, beside one after the other. First the bytes, then the time until all
//! of their services answer, over the link.

use super::ground::{Ground, LIMIT, start_afresh};
use super::link;
use super::opened::Opened;
use super::report::{Cell, Table};
use skiff_tests::harness::{
    Accelerator, Containerd, Fault, Registry, Relay, Sandbox, Skiff, images, run, wait_for,
};
use skiff_tests::layout::Layout;
use skiff_tests::service::{MARIADB, NGINX, NODE_RED};
use std::time::Instant;

/// The application's name.
const SHOP: &str = "shop";

pub(super) fn tables() {
    let mut table = Table::new(
        "applications",
        "Applications, MB on the wire (requests)",
        "",
        &[
            "stock, all images",
            "Skiff, one after the other on empty devices",
            "Skiff, one after the other on one device",
            "Skiff, deployed together",
        ],
    );
    for services in [&["nginx", "node-red"][..], &["nginx", "mariadb", "node-red"]] {
        table.row(&services.join(" + "), &bytes(services));
    }
    table.print();
    times();
}

fn bytes(services: &[&str]) -> [Cell; 4] {
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    let references: Vec<String> = services
        .iter()
        .map(|service| registry.push(&Layout::open(&images(), service), "new"))
        .collect();
    let data = sandbox.directory("accelerator");
    let url = format!("http://{}", registry.host);
    let accelerator = Accelerator::start_with(&data, &url, &[]);

    let device = Containerd::start(&sandbox);
    let relay = Relay::start(&registry.host, Fault::None);
    for service in services {
        device.pull(&format!("{}/{service}:new", relay.address));
    }
    let counts = relay.counts();

    let pulled = |skiff: &Skiff, reference: &String| {
        let outcome = skiff.pull(&[reference], &accelerator.url()).ok(reference);
        outcome.number("bytes_received") + outcome.number("bytes_sent")
    };
    let root = || Skiff::root(&sandbox, &sandbox.directory("root"));
    let empty: u64 = references.iter().map(|reference| pulled(&root(), reference)).sum();
    let one = root();
    let after: u64 = references.iter().map(|reference| pulled(&one, reference)).sum();

    set(&accelerator, &references.iter().map(String::as_str).collect::<Vec<_>>());
    let outcome = root().run(&["deploy", SHOP, "--json", "--accelerator", &accelerator.url()]);
    let outcome = outcome.ok("deploy");
    let together = outcome.number("bytes_received") + outcome.number("bytes_sent");
    let requests = |count: u64| [Cell::number(count as f64, "requests", 0)];
    let many = services.len() as u64;
    [
        Cell::bytes(counts.up + counts.down),
        Cell::bytes(empty).with(requests(many)),
        Cell::bytes(after).with(requests(many)),
        Cell::bytes(together).with(requests(outcome.number("requests"))),
    ]
}

/// Tells the accelerator what the application is.
fn set(accelerator: &Accelerator, references: &[&str]) {
    let data = accelerator.data();
    let set = ["app", "--data", data.to_str().unwrap(), "set", SHOP];
    run(Accelerator::program(), &[&set[..], references].concat());
}

fn times() {
    let ground = Ground::new(&[NGINX, MARIADB, NODE_RED]);
    for pair in &ground.pairs {
        Opened::record(&ground, pair);
    }
    let references: Vec<&str> = ground.pairs.iter().map(|pair| pair.new.as_str()).collect();
    set(&ground.knowing, &references);
    let url = ground.knowing.url();
    let lazily = ["--lazy=require", "--accelerator", &url];
    let mut table = Table::new(
        "applications",
        format!("Until all three containers answer, {} (one run)", link::name()),
        "",
        &["s", "MB over the link"],
    );
    table.row(
        "Skiff, lazy, one after the other",
        &time(&ground, |skiff, image| {
            if let Some(image) = image {
                skiff.run(&[&["pull", image][..], &lazily].concat()).ok("pull");
            }
        }),
    );
    table.row(
        "Skiff, lazy, deployed together",
        &time(&ground, |skiff, image| {
            if image.is_none() {
                skiff.run(&[&["deploy", SHOP][..], &lazily].concat()).ok("deploy");
            }
        }),
    );
    table.print();
}

/// From the first word to the last answer on an empty device. `bring` is called before everything, without an image, and
/// before each container's start.
fn time(ground: &Ground, bring: impl Fn(&Skiff, Option<&str>) + Sync) -> [Cell; 2] {
    let sandbox = Sandbox::new();
    let device = Containerd::start_in(&sandbox, &ground.wan.device);
    let skiff = Skiff::containerd(&sandbox, &device.socket());
    let _daemon = ground.daemon(&skiff);
    start_afresh();
    let before = ground.wan.link.counts()[0].bytes;
    ground.wan.device.inside(|| {
        let started = Instant::now();
        bring(&skiff, None);
        let mut containers = Vec::new();
        for pair in &ground.pairs {
            bring(&skiff, Some(&pair.new));
            containers.push(device.container(&pair.new, pair.service.name));
        }
        for pair in &ground.pairs {
            let name = pair.service.name;
            assert!(wait_for(LIMIT, || pair.service.answers()), "{name} is silent");
        }
        let bytes = ground.wan.link.counts()[0].bytes - before;
        [Cell::times(&[started.elapsed()]), Cell::bytes(bytes)]
    })
}
