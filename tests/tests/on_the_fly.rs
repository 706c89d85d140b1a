//! The accelerator keeps metadata only, and cuts contents out of the registry's own blobs; the registry
//! stays as it is.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_tests::compare::Tree;
use skiff_tests::harness::{Accelerator, Containerd, Registry, Request, Sandbox, Skiff, images};
use skiff_tests::layout::Layout;
use skiff_tests::spans;
use std::collections::HashSet;
use std::path::Path;

/// Uncompressed bytes between two places where a layer can be entered.
const INTERVAL: u64 = 2 << 20;

/// What is read is what is needed and half as much, and one interval for each gap.
fn check_reads(layout: &Layout, tag: &str, mut needed: HashSet<[u8; 32]>, requests: &[Request]) {
    let manifest = layout.manifest_of(tag);
    let (mut span, mut gaps, mut read) = (0, 0, 0);
    for layer in manifest["layers"].as_array().unwrap() {
        let digest = layer["digest"].as_str().unwrap();
        let blob = layout.blob(digest);
        let (spans, tar) = spans::of(&blob, &mut needed, 64 * 1024);
        span += spans.iter().map(|span| span.end - span.start).sum::<u64>();
        gaps += spans.len() as u64 * (INTERVAL * blob.len() as u64 / tar);
        let ranges = requests.iter().filter(|one| one.status == 206 && one.path.ends_with(digest));
        read += ranges.map(|one| one.bytes).sum::<u64>();
    }
    println!("{tag}: {read} bytes read, {span} are needed, {gaps} in intervals at gaps");
    assert!(needed.is_empty(), "contents of {tag} are in none of its layers");
    assert!(read <= span * 3 / 2 + gaps, "{read} bytes read, {span} are needed, {gaps} at gaps");
}

/// Bytes of all files below a directory.
fn bytes_below(directory: &Path) -> u64 {
    Tree::read(directory).unwrap().nodes.values().map(|node| node.size).sum()
}

#[test]
fn contents_come_out_of_the_registrys_blobs() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    let layout = Layout::open(&images(), "nginx");
    let [old, new] = ["old", "new"].map(|tag| registry.push(&layout, tag));
    let stock = Containerd::start(&sandbox);
    let [stock_old, stock_new] = [&old, &new].map(|reference| stock.stock(reference));
    drop(stock);
    let before = Tree::read(&registry.data()).unwrap();

    let url = format!("http://{}", registry.host);
    let accelerator =
        Accelerator::start_with(&sandbox.directory("accelerator"), &url, &["--cache-bytes", "0"]);
    let skiff = Skiff::root(&sandbox, &sandbox.directory("root"));
    registry.requests();
    for (reference, stock) in [(&old, &stock_old), (&new, &stock_new)] {
        skiff.pull(&[reference], &accelerator.url()).ok(reference);
        assert_eq!(stock.report(&skiff.tree(reference).unwrap()), None, "{reference}");
        let requests = registry.requests();
        let tag = reference.rsplit(':').next().unwrap();
        check_requests(&layout, tag, &requests);
        if reference == &new {
            let needed = spans::new_contents(&stock_old.tree, &stock_new.tree);
            check_reads(&layout, tag, needed, &requests);
        }
    }
    // A third time, with everything known: no layer is read whole.
    let other = Skiff::root(&sandbox, &sandbox.directory("root"));
    other.pull(&[&new], &accelerator.url()).ok("another device");
    let requests = registry.requests();
    check_requests(&layout, "new", &requests);
    let whole = |request: &&Request| request.path.contains("/blobs/") && request.status == 200;
    let whole: Vec<_> = requests.iter().filter(whole).map(|request| &*request.path).collect();
    let config = layout.manifest_of("new")["config"]["digest"].as_str().unwrap().to_owned();
    assert!(whole.iter().all(|path| path.ends_with(&config)), "read whole: {whole:?}");

    let after = Tree::read(&registry.data()).unwrap();
    assert!(before == after, "the registry's files have changed");
    let kept = accelerator.files();
    let kept: Vec<_> = kept.iter().filter(|path| !path.starts_with("metadata.db")).collect();
    assert!(kept.is_empty(), "beside metadata there is {kept:?}");
}

/// Each layer is read whole at most once, and besides that ranges of it.
fn check_requests(layout: &Layout, tag: &str, requests: &[Request]) {
    for request in requests {
        assert!(["GET", "HEAD"].contains(&&*request.method), "{} {}", request.method, request.path);
    }
    let manifest = layout.manifest_of(tag);
    for layer in manifest["layers"].as_array().unwrap() {
        let digest = layer["digest"].as_str().unwrap();
        let of_layer = requests.iter().filter(|request| request.path.ends_with(digest));
        let (whole, ranges): (Vec<_>, Vec<_>) = of_layer.partition(|one| one.status == 200);
        assert!(whole.len() <= 1, "{digest} was read {} times", whole.len());
        let size = layer["size"].as_u64().unwrap();
        let bytes: u64 = ranges.iter().map(|one| one.bytes).sum();
        println!("{tag}: layer of {size} bytes: {bytes} in {} ranges", ranges.len());
        // Segments share a byte where one ends within it.
        assert!(bytes <= size + ranges.len() as u64, "{digest}: {bytes} of {size} bytes");
    }
}

/// Metadata and seek index, the database's file included, beside the registry's bytes.
#[test]
fn metadata_are_small() {
    let sandbox = Sandbox::new();
    let (mut metadata, mut blobs) = (0, 0);
    for pair in ["nginx", "mariadb", "node-red"] {
        let layout = Layout::open(&images(), pair);
        let registry = format!("oci:{}", images().display());
        let data = sandbox.directory("data");
        for tag in ["old", "new"] {
            Accelerator::ingest(&registry, &data, &format!("{pair}:{tag}"));
        }
        let (small, large) = (bytes_below(&data), bytes_below(&layout.path().join("blobs")));
        println!("{pair}: {small} bytes of metadata, {large} of blobs");
        assert!(small * 100 <= large * 6, "{pair}: {small} bytes of metadata, {large} of blobs");
        (metadata, blobs) = (metadata + small, blobs + large);
    }
    println!("all: {metadata} bytes of metadata, {blobs} of blobs");
    assert!(metadata * 100 <= blobs * 3, "{metadata} bytes of metadata, {blobs} of blobs");
}
