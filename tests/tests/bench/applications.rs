//! Applications: containers that are deployed together, beside one after the other. First the bytes, then the time until all
//! of their services answer, over the link. Both need the same images in the same place, and the devices that were
//! brought them for the bytes tell what is opened.

use super::ground::{Ground, LIMIT, start_afresh};
use super::report::{Cell, Table};
use super::{link, opened};
use skiff_tests::harness::{
    Accelerator, Containerd, Fault, Outcome, Relay, Sandbox, Skiff, run, wait_for,
};
use skiff_tests::service::{MARIADB, NGINX, NODE_RED};
use std::time::Instant;

/// The application's name.
const SHOP: &str = "shop";

pub(super) fn tables() {
    let ground = Ground::new(&[NGINX, NODE_RED, MARIADB], &["new"]);
    let sandbox = Sandbox::new();
    let device = Containerd::start_in(&sandbox, &ground.wan.cloud);
    let skiff = Skiff::containerd(&sandbox, &device.socket());
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
    // Not over the link.
    let rows = ground.wan.cloud.inside(|| bytes(&ground, &sandbox, &skiff));
    let names: Vec<&str> = ground.pairs.iter().map(|pair| pair.service.name).collect();
    for (count, cells) in rows {
        table.row(&names[..count].join(" + "), &cells);
    }
    table.print();

    // Only now: what is hot is sent first, which may change how well it can be compressed.
    for pair in &ground.pairs {
        opened::tell(&ground, pair, &device, &skiff);
    }
    drop(device);
    times(&ground);
}

/// Of the first two images, and of all three. `one` is a device that has nothing, and has all images after that.
/// These numbers do not depend on how fast anything is, so both sides work at once.
fn bytes(ground: &Ground, sandbox: &Sandbox, one: &Skiff) -> [(usize, [Cell; 4]); 2] {
    let references = references(ground);
    let url = ground.knowing.url();
    let root = || Skiff::root(sandbox, &sandbox.directory("root"));
    let of = |outcome: &Outcome| outcome.number("bytes_received") + outcome.number("bytes_sent");
    let pulled = |skiff: &Skiff, image: &String| of(&skiff.pull(&[image], &url).ok(image));
    let stock = || {
        let device = Containerd::start(sandbox);
        let relay = Relay::start(&ground.registry.host, Fault::None);
        let pulled = |image: &String| {
            device.pull(&image.replace(&ground.registry.host, &relay.address.to_string()));
            let counts = relay.counts();
            counts.up + counts.down
        };
        references.iter().map(pulled).collect::<Vec<_>>()
    };
    let skiff = || {
        let on_one: Vec<u64> = references.iter().map(|image| pulled(one, image)).collect();
        // The first came to an empty device.
        let others = references[1..].iter().map(|image| pulled(&root(), image));
        let empty: Vec<u64> = on_one[..1].iter().copied().chain(others).collect();
        let together = [2, 3].map(|count| {
            set(&ground.knowing, &references[..count]);
            let outcome = root().run(&["deploy", SHOP, "--json", "--accelerator", &url]);
            let outcome = outcome.ok("deploy");
            (of(&outcome), outcome.number("requests"))
        });
        (on_one, empty, together)
    };
    let (stock, (on_one, empty, together)) = std::thread::scope(|scope| {
        let stock = scope.spawn(stock);
        let skiff = skiff();
        (stock.join().unwrap(), skiff)
    });
    let requests = |count: u64| [Cell::number(count as f64, "requests", 0)];
    let row = |(count, (together, asked)): (usize, (u64, u64))| {
        let sum =
            |bytes: &[u64]| Cell::bytes(bytes[..count].iter().sum()).with(requests(count as u64));
        let together = Cell::bytes(together).with(requests(asked));
        (count, [Cell::bytes(stock[count - 1]), sum(&empty), sum(&on_one), together])
    };
    [(2, together[0]), (3, together[1])].map(row)
}

fn references(ground: &Ground) -> Vec<String> {
    ground.pairs.iter().map(|pair| pair.new.clone()).collect()
}

/// Tells the accelerator what the application is.
fn set(accelerator: &Accelerator, references: &[String]) {
    let data = accelerator.data();
    let set = ["app", "--data", data.to_str().unwrap(), "set", SHOP];
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    run(Accelerator::program(), &[&set[..], &references].concat());
}

fn times(ground: &Ground) {
    set(&ground.knowing, &references(ground));
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
        &time(ground, |skiff, image| {
            if let Some(image) = image {
                skiff.run(&[&["pull", image][..], &lazily].concat()).ok("pull");
            }
        }),
    );
    table.row(
        "Skiff, lazy, deployed together",
        &time(ground, |skiff, image| {
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
