//! Applications of real images: one request, a base that they share although no registry layer is,
//! updates and the way back.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_tests::bounds::gzip_of_new;
use skiff_tests::compare::Tree;
use skiff_tests::harness::{
    Accelerator, Containerd, Outcome, Registry, Sandbox, Skiff, Stock, images, run,
};
use skiff_tests::layout::{Compression, Layout};
use std::collections::BTreeSet;
use std::path::Path;

const SERVICES: [&str; 3] = ["nginx", "mariadb", "node-red"];
/// Those of the application of two containers.
const TWO: [usize; 2] = [0, 2];

/// Pushes an image as another builder would have made it: the same files, but another base.
fn push(sandbox: &Sandbox, registry: &Registry, index: usize, tag: &str) -> String {
    let service = SERVICES[index];
    let again = Layout::create(&sandbox.directory("again"), service);
    // Where a gzip member ends is what differs from builder to builder here. The layers above the lowest
    // are each image's own already.
    let compression = Compression::Members((16 + index) << 20);
    again.add_rebuilt(tag, &Layout::open(&images(), service), compression);
    registry.push(&again, tag)
}

fn layers(stock: &Containerd, reference: &str) -> BTreeSet<String> {
    let manifest: serde_json::Value =
        serde_json::from_slice(&stock.blob(&stock.digest(reference))).unwrap();
    let digests = manifest["layers"].as_array().unwrap().iter();
    digests.map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
}

/// `skiff-accelerator app set`, while it serves.
fn set(data: &Path, name: &str, references: &[&str]) {
    let program = Accelerator::program();
    let data = data.to_str().unwrap();
    run(&program, &[&["app", "--data", data, "set", name], references].concat());
}

fn check_packs(what: &str, outcome: &Outcome, gzip: u64) {
    let (packs, rest) = (outcome.number("pack_bytes"), outcome.number("overhead_bytes"));
    println!("{what}: packs {packs} bytes, {rest} bytes beside them, gzip -9 {gzip}");
    assert_eq!(outcome.number("requests"), 1, "{what}");
    assert!(packs * 100 <= gzip * 102, "{what}: packs {packs} bytes, gzip -9 {gzip}");
    assert!((packs + rest) * 100 <= gzip * 105, "{what}: {packs} + {rest}, gzip -9 {gzip}");
}

fn bases(device: &Containerd) -> usize {
    device.committed().iter().filter(|name| name.starts_with("skiff-base-")).count()
}

#[test]
fn two_and_three_containers_are_one_deployment() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    let old = [0, 1, 2].map(|index| push(&sandbox, &registry, index, "old"));
    // The second one stays as it is.
    let new =
        [push(&sandbox, &registry, 0, "new"), old[1].clone(), push(&sandbox, &registry, 2, "new")];
    let references = [old, new];
    let stock_side = Containerd::start(&sandbox);
    let stock = references.each_ref().map(|all| all.each_ref().map(|one| stock_side.stock(one)));
    let [old, new] = &references;
    let all: Vec<_> = old.iter().map(|reference| layers(&stock_side, reference)).collect();
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        let shared: Vec<_> = all[a].intersection(&all[b]).collect();
        // Layers of a few bytes have but one member, and come out the same.
        assert!(shared.iter().all(|digest| stock_side.blob(digest).len() < 65536), "{shared:?}");
    }
    let gzip = {
        let mounted =
            references.each_ref().map(|all| all.each_ref().map(|one| stock_side.mount(one)));
        let side = |version: usize| -> Vec<(&Path, &Tree)> {
            let pairs = mounted[version].iter().zip(&stock[version]);
            pairs.map(|(mounted, stock)| (&*mounted.path, &stock.tree)).collect()
        };
        let held: Vec<&Tree> = stock[0].iter().map(|stock| &stock.tree).collect();
        std::thread::scope(|scope| {
            let fresh = scope.spawn(|| gzip_of_new(&[], &side(0)));
            let update = gzip_of_new(&held, &side(1));
            let of_two = gzip_of_new(&[], &TWO.map(|index| side(0)[index]));
            [fresh.join().unwrap(), update, of_two]
        })
    };

    let before = Tree::read(&registry.data()).unwrap();
    let url = format!("http://{}", registry.host);
    let data = sandbox.directory("accelerator");
    let accelerator = Accelerator::start_with(&data, &url, &["--cache-bytes", "0"]);
    let data = data.join("data");
    let device = Containerd::start(&sandbox);
    let skiff = Skiff::containerd(&sandbox, &device.socket());
    let address = accelerator.url();
    let deploy = || skiff.run(&["deploy", "shop", "--json", "--accelerator", &address]);
    let names = |all: &[String; 3]| -> BTreeSet<String> { all.iter().cloned().collect() };
    let records = || -> BTreeSet<String> {
        let all = device.images().into_iter();
        all.filter(|name| !name.starts_with("skiff.previous/")).collect()
    };
    let digests = |stock: &[Stock; 3]| stock.each_ref().map(|stock| stock.digest.clone());
    let check_records = |what: &str, references: &[String; 3], stock: &[Stock; 3]| {
        assert_eq!(records(), names(references), "{what}");
        let found = references.each_ref().map(|reference| device.digest(reference));
        assert_eq!(found, digests(stock), "{what}");
    };
    let check = |what: &str, references: &[String; 3], stock: &[Stock; 3]| {
        check_records(what, references, stock);
        for (reference, stock) in references.iter().zip(stock) {
            assert_eq!(stock.report(&device.tree(reference)), None, "{what}: {reference}");
        }
    };

    let unknown = deploy();
    assert_eq!(unknown.code, 3, "{}", unknown.stderr);
    registry.requests();
    set(&data, "shop", &old.each_ref().map(String::as_str));
    let fresh = deploy().ok("fresh");
    check("fresh", old, &stock[0]);
    check_packs("fresh", &fresh, gzip[0]);
    assert!(bases(&device) >= 1, "no base: {:?}", device.committed());

    // Two of them on another device, on a plain directory.
    set(&data, "two", &TWO.map(|index| &*old[index]));
    let other = Skiff::root(&sandbox, &sandbox.directory("root"));
    let two = other.run(&["deploy", "two", "--json", "--accelerator", &address]).ok("two");
    check_packs("two", &two, gzip[2]);
    for index in TWO {
        let (reference, stock) = (&old[index], &stock[0][index]);
        assert_eq!(stock.report(&other.tree(reference).unwrap()), None, "two: {reference}");
    }

    set(&data, "shop", &new.each_ref().map(String::as_str));
    let update = deploy().ok("update");
    check("update", new, &stock[1]);
    check_packs("update", &update, gzip[1]);

    let requests = registry.requests();
    assert!(requests.iter().all(|request| ["GET", "HEAD"].contains(&&*request.method)));
    drop(accelerator);
    skiff.run(&["rollback", "shop"]).ok("back");
    device.ctr(&["content", "prune", "references"]);
    check("back", old, &stock[0]);
    skiff.run(&["rollback", "shop"]).ok("forward");
    check_records("forward", new, &stock[1]);

    let dot = run(Accelerator::program(), &["graph", "--data", data.to_str().unwrap()]);
    // A stock pull beside it.
    let beside = device.stock(&old[0]);
    assert_eq!(stock[0][0].report(&beside.tree), None, "a stock pull beside Skiff's");

    for reference in old.iter().chain(new) {
        let (_, reference) = reference.split_once('/').unwrap();
        assert!(dot.contains(reference), "{reference} is not in the graph:\n{dot}");
    }
    println!("{dot}");
    let after = Tree::read(&registry.data()).unwrap();
    assert!(before == after, "the registry's files have changed");
}
