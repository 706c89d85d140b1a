//! The accelerator keeps up with the registry: what is pushed, or what a tag that moved names, is read
//! before a device asks.
//!
//! What is counted are reads of whole layers in the registry's access log, by the accelerator. Whoever
//! sends contents reads ranges of the blobs, which don't count.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_tests::compare::{Unpacked, report};
use skiff_tests::hard::{noise, touched};
use skiff_tests::harness::{Accelerator, Registry, Sandbox, Skiff, run, wait_for};
use skiff_tests::layout::{Image, Layer, Layout};
use skiff_tests::tarball::Entry;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

const TOKEN: &str = "s3cret";
const VARIABLE: &str = "SKIFF_NOTIFY_TOKEN";
const COMPLETE: &str = "skiff_ingests_ahead_total{result=\"complete\"}";
const FAILED: &str = "skiff_ingests_ahead_total{result=\"failed\"}";
const PATCHED: &str = "skiff_patched_ahead_total";
const QUEUED: &str = "skiff_notifications_total{result=\"queued\"}";
const REFUSED: &str = "skiff_notifications_total{result=\"refused\"}";
/// Times of directories that no layer has an entry for are the device's own.
const ANY_TIME: Unpacked = i64::MIN..=i64::MAX;

/// An image of one layer with one file of noise, for an architecture.
fn image(number: u64, architecture: &str) -> Image {
    let entry = Entry::file("file", noise(number, 300_000));
    Image::new(vec![Layer::new(&[entry])]).platform(architecture, None)
}

/// An image for this machine.
fn native(number: u64) -> Image {
    image(number, skiff_tests::layout::architecture())
}

fn url(registry: &Registry) -> String {
    format!("http://{}", registry.host)
}

/// An address that nobody has. No client gets a port of this host by chance, so it stays free.
fn free_address() -> String {
    TcpListener::bind("127.0.0.9:0").unwrap().local_addr().unwrap().to_string()
}

/// The requests of the accelerator in the registry's access log: method, path and status.
fn requests(registry: &Registry) -> Vec<(String, String, String)> {
    // The log may be a moment behind.
    std::thread::sleep(Duration::from_millis(300));
    let words = |line: &str| {
        // HOST - - [TIME] "METHOD PATH HTTP/1.1" STATUS BYTES "REFERER" "AGENT"
        let mut quoted = line.split('"').skip(1);
        let (request, status) = (quoted.next()?, quoted.next()?);
        line.contains("\"skiff-accelerator/").then_some(())?;
        let (mut request, mut status) = (request.split(' '), status.split_whitespace());
        let mut word = || Some(request.next()?.to_owned());
        Some((word()?, word()?, status.next()?.to_owned()))
    };
    registry.log().lines().filter_map(words).collect()
}

/// How often the accelerator has read the layers of the image that a tag names, whole.
fn reads(registry: &Registry, layout: &Layout, tag: &str) -> usize {
    let manifest = layout.manifest_of(tag);
    let layers = manifest["layers"].as_array().unwrap();
    let layers: Vec<_> = layers.iter().map(|layer| layer["digest"].as_str().unwrap()).collect();
    let all = requests(registry);
    for (method, path, _) in &all {
        assert!(["GET", "HEAD"].contains(&&**method), "{method} {path}");
    }
    let whole = |(_, path, status): &&(String, String, String)| {
        status == "200" && layers.iter().any(|layer| path.ends_with(layer))
    };
    all.iter().filter(whole).count()
}

/// Waits until a counter is at a value, and not above it.
fn reaches(accelerator: &Accelerator, counter: &str, value: u64) {
    let there = wait_for(Duration::from_secs(60), || accelerator.counter(counter) >= value);
    let now = accelerator.counter(counter);
    assert!(there && now == value, "{counter} is {now}, not {value}:\n{}", accelerator.log());
}

/// A new device pulls, and gets the tree that the tag's layer has.
fn pulls(
    sandbox: &Sandbox,
    accelerator: &Accelerator,
    reference: &str,
    layout: &Layout,
    tag: &str,
) {
    let skiff = Skiff::root(sandbox, &sandbox.directory("device"));
    skiff.pull(&[reference], &accelerator.url()).ok(reference);
    let unpacked = unpacked(sandbox, layout, tag);
    let tree = skiff.tree(reference).unwrap();
    assert_eq!(report(&unpacked, &tree, &ANY_TIME), None, "{reference}");
}

/// The tree of an image of one layer, as tar unpacks it.
fn unpacked(sandbox: &Sandbox, layout: &Layout, tag: &str) -> skiff_tests::compare::Tree {
    let manifest = layout.manifest_of(tag);
    let layer = layout.blob_path(manifest["layers"][0]["digest"].as_str().unwrap());
    let directory = sandbox.directory("unpacked");
    run("tar", &["-xzf", layer.to_str().unwrap(), "-C", directory.to_str().unwrap()]);
    skiff_tests::compare::Tree::read(&directory).unwrap()
}

/// An accelerator that waits for notifications, and its registry, which sends them.
fn notified(sandbox: &Sandbox, arguments: &[&str]) -> (Registry, Accelerator) {
    let address = free_address();
    let registry = Registry::notifying(sandbox, &format!("http://{address}/v1/notify"), TOKEN);
    let arguments = [&["--listen", &address], arguments].concat();
    let directory = sandbox.directory("accelerator");
    let environment = [(VARIABLE, TOKEN)];
    let accelerator = Accelerator::start_in(&directory, &url(&registry), &arguments, &environment);
    (registry, accelerator)
}

#[test]
fn what_is_pushed_is_read_before_a_device_asks() {
    let sandbox = Sandbox::new();
    let (registry, accelerator) = notified(&sandbox, &[]);
    let layouts = [1, 2].map(|number| {
        let layout = Layout::create(&sandbox.directory("layouts"), "pushed/app");
        layout.add("v1", &native(number));
        layout
    });
    // The same tag twice: the second time it moves.
    for (layout, count) in layouts.iter().zip(1..) {
        let reference = registry.push(layout, "v1");
        reaches(&accelerator, COMPLETE, count);
        assert_eq!(reads(&registry, layout, "v1"), 1);
        pulls(&sandbox, &accelerator, &reference, layout, "v1");
        assert_eq!(reads(&registry, layout, "v1"), 1, "read again for a device");
    }
    assert_eq!(accelerator.counter(QUEUED), 2, "blobs and pulls count, too");
    assert_eq!(accelerator.counter(FAILED), 0);
    assert!(!accelerator.log().contains(TOKEN));
}

#[test]
fn patches_are_there_before_a_device_asks() {
    let sandbox = Sandbox::new();
    let (registry, accelerator) = notified(&sandbox, &[]);
    let layout = Layout::create(&sandbox.directory("layouts"), "patched/app");
    for (tag, number) in [("1", 1), ("2", 2)] {
        let entry = Entry::file("file", touched(noise(7, 300_000), 8192, number));
        layout.add(tag, &Image::new(vec![Layer::new(&[entry])]));
    }
    let skiff = Skiff::root(&sandbox, &sandbox.directory("device"));
    let old = registry.push(&layout, "1");
    skiff.pull(&[&old], &accelerator.url()).ok("the version before");
    let new = registry.push(&layout, "2");
    reaches(&accelerator, PATCHED, 1);

    let old_layer = layout.manifest_of("1")["layers"][0]["digest"].as_str().unwrap().to_owned();
    let of_old =
        || requests(&registry).iter().filter(|(_, path, _)| path.ends_with(&old_layer)).count();
    let before = of_old();
    assert!(before > 1, "it was read for the patch");
    let update = skiff.pull(&[&new], &accelerator.url()).ok("the update");
    assert!(update.number("pack_bytes") < 10_000, "{} bytes", update.number("pack_bytes"));
    assert_eq!(of_old(), before, "read once more for a device");
    let tree = skiff.tree(&new).unwrap();
    assert_eq!(report(&unpacked(&sandbox, &layout, "2"), &tree, &ANY_TIME), None);
}

#[test]
fn platforms_are_those_that_were_said() {
    let sandbox = Sandbox::new();
    let platforms = ["--platform", "linux/arm64", "--platform", "linux/arm/v7"];
    let (registry, accelerator) = notified(&sandbox, &platforms);
    let layout = Layout::create(&sandbox.directory("layouts"), "index");
    let architectures = ["amd64", "arm64", "riscv64", "arm"];
    let images: Vec<_> =
        (10..).zip(architectures).map(|(number, name)| image(number, name)).collect();
    layout.add_index("v1", &images);
    // A tag for each, to find its layer by.
    for (name, image) in architectures.iter().zip(&images) {
        layout.add(name, image);
    }
    registry.push(&layout, "v1");
    // Manifests are pushed before their index, by digest: each is read for a platform that it suits, the
    // one for 32-bit ARM by arm64 as well, and then the index is known.
    let done = || {
        let log = accelerator.log();
        ["arm64", "arm/v7"]
            .iter()
            .all(|name| log.contains(&format!("index:v1 is ingested for linux/{name}")))
    };
    assert!(wait_for(Duration::from_secs(60), done), "{}", accelerator.log());
    let read = architectures.map(|name| reads(&registry, &layout, name));
    assert_eq!(read, [0, 1, 0, 1], "{}", accelerator.log());
    assert_eq!(accelerator.counter(FAILED), 0, "{}", accelerator.log());
}

#[test]
fn notifications_that_are_refused_or_of_no_interest() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    let layout = Layout::create(&sandbox.directory("layouts"), "quiet");
    layout.add("v1", &native(1));
    registry.push(&layout, "v1");
    let directory = sandbox.directory("accelerator");
    let environment = [(VARIABLE, TOKEN)];
    let accelerator = Accelerator::start_in(&directory, &url(&registry), &[], &environment);
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let digest = layout.digest_of("v1");
    let event = |action: &str, repository: &str| {
        format!(
            r#"{{"events":[{{"action":"{action}","target":{{"mediaType":"{media_type}","repository":"{repository}","tag":"v1","digest":"{digest}"}}}}]}}"#
        )
    };
    let push = event("push", "quiet");
    let ours = format!("Authorization: Bearer {TOKEN}\r\n");
    let notify =
        |headers: &str, body: &str| accelerator.ask("POST", "/v1/notify", headers, body.as_bytes());
    for wrong in ["", "Authorization: Bearer other\r\n", "Authorization: Basic s3cret\r\n"] {
        let (status, answer) = notify(wrong, &push);
        assert_eq!(status, 401, "{answer}");
        assert!(answer.contains(VARIABLE) && !answer.contains(TOKEN), "{answer}");
    }
    for (body, expected, words) in [
        ("{\"events\":", 400, "docker-registry"),
        (&*" ".repeat(300_000), 413, "at most"),
        (&*event("pull", "quiet"), 200, ""),
        (&*event("push", "../quiet"), 200, ""),
    ] {
        let (status, answer) = notify(&ours, body);
        assert_eq!(status, expected, "{answer}");
        assert!(answer.contains(words), "{answer}");
    }
    assert_eq!((accelerator.counter(REFUSED), accelerator.counter(QUEUED)), (3, 0));
    assert!(requests(&registry).is_empty(), "nothing was to be read");

    // What the registry does not have is left, and the next one comes to its turn.
    for (body, counter) in [(&event("push", "nothing"), FAILED), (&push, COMPLETE)] {
        assert_eq!(notify(&ours, body).0, 200);
        reaches(&accelerator, counter, 1);
    }
    assert!(accelerator.log().contains("nothing:v1 can't be ingested ahead"));
    assert_eq!(reads(&registry, &layout, "v1"), 1);
}

#[test]
fn a_token_that_no_header_can_hold_is_refused_at_the_start() {
    let sandbox = Sandbox::new();
    for token in ["", "a b"] {
        let mut command = std::process::Command::new(Accelerator::program());
        command.args(["serve", "--registry", "http://127.0.0.1:9", "--data"]);
        let output =
            command.arg(sandbox.path().join("data")).env(VARIABLE, token).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(VARIABLE), "{said}");
    }
}

#[test]
fn a_tag_that_moved_is_noticed_by_looking() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    let layout = |name: &str, number| {
        let layout = Layout::create(&sandbox.directory("layouts"), name);
        layout.add("v1", &native(number));
        layout
    };
    let directory = sandbox.directory("accelerator");
    let [named, asked] = [("named", 1), ("asked", 2)].map(|(name, number)| layout(name, number));
    let [of_named, of_asked] = [&named, &asked].map(|layout| registry.push(layout, "v1"));
    set(&directory.join("data"), "shop", &of_named);
    let accelerator = Accelerator::start_with(&directory, &url(&registry), &["--poll", "10"]);
    // What an application names is read at the first look, before a device asks.
    reaches(&accelerator, COMPLETE, 1);
    assert_eq!(reads(&registry, &named, "v1"), 1);
    pulls(&sandbox, &accelerator, &of_asked, &asked, "v1");
    // From the next look on, what the device asked for is looked at, too.
    reaches(&accelerator, COMPLETE, 2);

    let [named, asked] = [("named", 3), ("asked", 4)].map(|(name, number)| layout(name, number));
    for layout in [&named, &asked] {
        registry.push(layout, "v1");
    }
    reaches(&accelerator, COMPLETE, 4);
    for (reference, layout) in [(&of_named, &named), (&of_asked, &asked)] {
        assert_eq!(reads(&registry, layout, "v1"), 1, "{reference}");
        pulls(&sandbox, &accelerator, reference, layout, "v1");
        assert_eq!(reads(&registry, layout, "v1"), 1, "{reference} was read again for a device");
    }
    assert_eq!(accelerator.counter(FAILED), 0);
}

/// `skiff-accelerator app set`.
fn set(data: &Path, name: &str, image: &str) {
    let program = Accelerator::program();
    run(program, &["app", "set", name, image, "--data", data.to_str().unwrap()]);
}
