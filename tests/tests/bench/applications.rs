//! Applications: containers that are deployed together, beside one after the other.

use super::mb;
use skiff_tests::harness::{
    Accelerator, Containerd, Fault, Registry, Relay, Sandbox, Skiff, images, run,
};
use skiff_tests::layout::Layout;

pub(super) fn table() {
    println!("\n### Applications, MB on the wire (requests)\n");
    println!(
        "| | stock, all images | Skiff, one after the other on empty devices | \
         Skiff, one after the other on one device | Skiff, deployed together |"
    );
    println!("|---|---:|---:|---:|---:|");
    for services in [&["nginx", "node-red"][..], &["nginx", "mariadb", "node-red"]] {
        println!("| {} | {} |", services.join(" + "), row(services));
    }
}

fn row(services: &[&str]) -> String {
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
    let stock = mb(counts.up + counts.down);

    let pulled = |skiff: &Skiff, reference: &String| {
        let outcome = skiff.pull(&[reference], &accelerator.url()).ok(reference);
        outcome.number("bytes_received") + outcome.number("bytes_sent")
    };
    let root = || Skiff::root(&sandbox, &sandbox.directory("root"));
    let empty: u64 = references.iter().map(|reference| pulled(&root(), reference)).sum();
    let one = root();
    let after: u64 = references.iter().map(|reference| pulled(&one, reference)).sum();

    let data = data.join("data");
    let mut set = vec!["app", "--data", data.to_str().unwrap(), "set", "shop"];
    set.extend(references.iter().map(String::as_str));
    run(Accelerator::program(), &set);
    let outcome = root().run(&["deploy", "shop", "--json", "--accelerator", &accelerator.url()]);
    let outcome = outcome.ok("deploy");
    let together = mb(outcome.number("bytes_received") + outcome.number("bytes_sent"));
    let (many, once) = (services.len(), outcome.number("requests"));
    format!("{stock} | {} ({many}) | {} ({many}) | {together} ({once})", mb(empty), mb(after))
}
