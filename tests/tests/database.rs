//! Accelerators that keep their metadata in PostgreSQL, and share it.
//!
//! What is counted are reads of layer blobs in the registry's access log, and the programs that are asked
//! at once are `skiff-accelerator ingest`. Whoever sends contents reads ranges of the blobs, which don't
//! count.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_tests::compare::{Unpacked, report};
use skiff_tests::hard::{noise, repositories};
use skiff_tests::harness::{
    Accelerator, Containerd, Daemon, Fault, PASSWORD, Postgres, Registry, Relay, Sandbox, Skiff,
    wait_for,
};
use skiff_tests::layout::{Compression, Image, Layer, Layout};
use skiff_tests::tarball::Entry;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Times of directories that no layer has an entry for are the device's own.
const ANY_TIME: Unpacked = i64::MIN..=i64::MAX;
/// What an accelerator logs when it finds another one at a layer.
const WAITS: &str = "another accelerator reads this layer";

/// An accelerator with this database.
fn accelerator(directory: &Path, registry: &str, database: &str) -> Accelerator {
    Accelerator::start_with(directory, registry, &["--database", database])
}

fn url(registry: &Registry) -> String {
    format!("http://{}", registry.host)
}

/// An image of some layers of incompressible files, in a registry; gives the layers' digests.
fn push(sandbox: &Sandbox, registry: &Registry, layers: u64, size: usize) -> Vec<String> {
    let layout = Layout::create(&sandbox.directory("layouts"), "shared");
    let layer = |number| {
        let entry = Entry::file(format!("file-{number}"), noise(number, size));
        Layer::new(&[entry]).compression(Compression::Zstd)
    };
    layout.add("v1", &Image::new((1..=layers).map(layer).collect()));
    registry.push(&layout, "v1");
    let manifest = layout.manifest_of("v1");
    let layers = manifest["layers"].as_array().unwrap().iter();
    layers.map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
}

/// How often each of these blobs was read whole. The log may be a moment behind.
fn reads(registry: &Registry, blobs: &[String]) -> Vec<usize> {
    std::thread::sleep(Duration::from_millis(300));
    let log = registry.log();
    let whole = |line: &&str| line.contains("\"GET ") && line.contains("\" 200 ");
    let count =
        |blob: &String| log.lines().filter(whole).filter(|line| line.contains(&**blob)).count();
    blobs.iter().map(count).collect()
}

/// `skiff-accelerator ingest` of the image, with a data directory of its own.
struct Ingesting(Daemon);

impl Ingesting {
    fn start(sandbox: &Sandbox, registry: &str, database: &str) -> Self {
        let directory = sandbox.directory("ingest");
        let mut command = Command::new(Accelerator::program());
        command.args(["ingest", "--registry", registry, "--database", database, "--data"]);
        command.arg(directory.join("data")).arg("shared:v1");
        Self(Daemon::start(&mut command, &directory.join("log"), false))
    }

    /// Waits for its end; gives what it has said.
    fn finish(mut self) -> String {
        let status = self.0.child().wait().unwrap();
        let said = self.0.said();
        assert!(status.success(), "ingest ended with {status}: {said}");
        said
    }
}

#[test]
fn trees_equal_stock() {
    let sandbox = Sandbox::new();
    let postgres = Postgres::start(&sandbox);
    let registry = Registry::start(&sandbox);
    let containerd = Containerd::start(&sandbox);
    let database = postgres.create("trees");
    let accelerator = accelerator(&sandbox.directory("accelerator"), &url(&registry), &database);
    let layouts = sandbox.directory("layouts");
    let chosen = ["names", "types", "whiteouts", "nested/index"];
    let chosen: Vec<_> = repositories().into_iter().filter(|r| chosen.contains(&r.name)).collect();
    assert_eq!(chosen.len(), 4);
    for repository in chosen {
        let layout = repository.write(&layouts);
        let skiff = Skiff::root(&sandbox, &sandbox.directory("device"));
        for (tag, _) in &repository.versions {
            let row = format!("{}:{tag}", repository.name);
            let reference = registry.push(&layout, tag);
            let stock = containerd.stock(&reference);
            skiff.pull(&[&reference], &accelerator.url()).ok(&row);
            assert_eq!(stock.report(&skiff.tree(&reference).unwrap()), None, "{row}");
        }
    }
    // SQLite is not used beside it.
    let log = accelerator.log();
    assert!(!log.contains(PASSWORD), "{log}");
    assert!(postgres.log().contains("INSERT INTO images"), "PostgreSQL got no tree");
}

#[test]
fn a_new_start_knows_what_the_database_knows() {
    let sandbox = Sandbox::new();
    let postgres = Postgres::start(&sandbox);
    let registry = Registry::start(&sandbox);
    let layers = push(&sandbox, &registry, 2, 1 << 20);
    let database = postgres.create("restart");
    let data = sandbox.directory("accelerator");
    let mut expected = None;
    for start in ["first", "second"] {
        let accelerator = accelerator(&data, &url(&registry), &database);
        let skiff = Skiff::root(&sandbox, &sandbox.directory("device"));
        skiff.pull(&["shared:v1"], &accelerator.url()).ok(start);
        assert_eq!(reads(&registry, &layers), [1, 1], "{start}");
        let tree = skiff.tree("shared:v1").unwrap();
        let first = expected.get_or_insert_with(|| tree.clone());
        assert_eq!(report(first, &tree, &ANY_TIME), None, "{start}");
        assert!(!data.join("data/metadata.db").exists(), "metadata are in SQLite");
    }
    // Another data directory: what is known is in the database.
    Ingesting::start(&sandbox, &url(&registry), &database).finish();
    assert_eq!(reads(&registry, &layers), [1, 1]);
    // Its contents come out of the registry by the index in the database.
    let other = accelerator(&sandbox.directory("accelerator"), &url(&registry), &database);
    let skiff = Skiff::root(&sandbox, &sandbox.directory("device"));
    skiff.pull(&["shared:v1"], &other.url()).ok("other");
    assert_eq!(reads(&registry, &layers), [1, 1]);
}

#[test]
fn two_accelerators_asked_at_once_ingest_an_image_once() {
    let sandbox = Sandbox::new();
    let postgres = Postgres::start(&sandbox);
    // With a database each, both read every layer: so the counting counts.
    for (name, databases, expected) in
        [("shared", ["once", "once"], 1), ("apart", ["apart1", "apart2"], 2)]
    {
        let registry = Registry::start(&sandbox);
        let layers = push(&sandbox, &registry, 6, 8 << 20);
        // They are empty: that they are brought up to date at once is a part of it.
        let new: BTreeSet<_> = databases.into_iter().collect();
        new.into_iter().for_each(|database| drop(postgres.create(database)));
        let start =
            |database: &str| Ingesting::start(&sandbox, &url(&registry), &postgres.url(database));
        let pair = databases.map(start);
        let said = pair.map(Ingesting::finish).concat();
        assert_eq!(reads(&registry, &layers), vec![expected; layers.len()], "{name}:\n{said}");
        assert_eq!(said.contains(WAITS), expected == 1, "{name}:\n{said}");
        assert!(!said.contains(PASSWORD), "{said}");
    }
}

#[test]
fn who_dies_while_it_reads_gives_its_layer_up() {
    let sandbox = Sandbox::new();
    let postgres = Postgres::start(&sandbox);
    let registry = Registry::start(&sandbox);
    push(&sandbox, &registry, 1, 8 << 20);
    let database = postgres.create("dies");
    // The first one's registry stops in the middle of the layer. The second one's is whole, and counts.
    let stalled = Relay::start(&registry.host, Fault::StallAfter(1 << 20));
    let whole = Relay::start(&registry.host, Fault::None);
    let soon = Duration::from_secs(60);
    let first = Ingesting::start(&sandbox, &stalled.url(), &database);
    assert!(wait_for(soon, || stalled.counts().down >= 1 << 20), "the first one does not read");
    let second = Ingesting::start(&sandbox, &whole.url(), &database);
    assert!(wait_for(soon, || second.0.said().contains(WAITS)), "{}", second.0.said());
    std::thread::sleep(Duration::from_millis(500));
    assert!(whole.counts().down < 1 << 20, "the second one reads the layer, too");
    drop(first);
    second.finish();
    assert!(whole.counts().down > 8 << 20, "nobody reads the layer");
}

#[test]
fn errors_say_what_to_do_and_not_the_password() {
    let sandbox = Sandbox::new();
    let postgres = Postgres::start(&sandbox);
    let good = postgres.url("postgres");
    let wrong = good.replace(PASSWORD, "not-sesame");
    let rows = [
        (wrong.as_str(), 3, "correct user or password in --database, PGPASSWORD or ~/.pgpass"),
        ("postgres://skiff:not-sesame@127.0.0.1:1/x", 3, "start it, or correct --database"),
        ("postgres://skiff:not/sesame@h/x", 2, "write special characters of the password as %XX"),
        ("mysql://skiff:not-sesame@h/x", 2, "--database has to be postgres://"),
    ];
    for (database, code, expected) in rows {
        let output = Command::new(Accelerator::program())
            .args([
                "serve",
                "--registry",
                "http://127.0.0.1:1",
                "--listen",
                "127.0.0.1:0",
                "--data",
            ])
            .arg(sandbox.directory("data"))
            .args(["--database", database])
            .env("SKIFF_LOG", "trace")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(expected), "{said}");
        assert!(!said.contains("sesame"), "{said}");
    }
    // With the password in the environment it gets as far as the registry.
    let output = Command::new(Accelerator::program())
        .args(["ingest", "--registry", "http://127.0.0.1:1", "shared:v1", "--data"])
        .arg(sandbox.directory("data"))
        .args(["--database", &good.replace(&format!(":{PASSWORD}"), "")])
        .env("PGPASSWORD", PASSWORD)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stderr));
}

/// SQLite: one `serve` has a data directory; whatever else runs beside it.
#[test]
fn ingest_works_beside_serve_in_one_data_directory() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    let layers = push(&sandbox, &registry, 3, 4 << 20);
    let directory = sandbox.directory("accelerator");
    let data = directory.join("data");
    let command = |name: &str| {
        let mut command = Command::new(Accelerator::program());
        command.args([name, "--registry", &url(&registry), "--data"]).arg(&data);
        command
    };
    // All at once, on a directory that is not there yet.
    let ingests: Vec<_> = (0..3)
        .map(|number| {
            let log = directory.join(format!("log-{number}"));
            Ingesting(Daemon::start(command("ingest").arg("shared:v1"), &log, false))
        })
        .collect();
    let accelerator = Accelerator::start_with(&directory, &url(&registry), &[]);
    ingests.into_iter().for_each(|ingest| drop(ingest.finish()));
    let before = reads(&registry, &layers);
    assert!(before.iter().all(|reads| (1..=3).contains(reads)), "{before:?}");

    // What they have read, the service knows.
    let skiff = Skiff::root(&sandbox, &sandbox.directory("device"));
    let dry = ["pull", "shared:v1", "--dry-run", "--accelerator", &accelerator.url()];
    let estimated = skiff.run(&dry);
    assert_eq!(estimated.code, 0, "{}", estimated.stderr);
    assert_eq!(reads(&registry, &layers), before);
    let left = std::fs::read_dir(data.join("cache")).unwrap();
    let left: BTreeSet<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["layers", "packs"].map(Into::into).into());

    let second = command("serve").args(["--listen", "127.0.0.1:0"]).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(3), "{said}");
    assert!(said.contains("is used by another `skiff-accelerator serve`; stop that"), "{said}");
    drop(accelerator);
    Accelerator::start_with(&directory, &url(&registry), &[]);
}

/// The store's own tests, those that need a server. They are a part of the accelerator's crate.
#[test]
fn the_store_is_the_same_with_postgresql() {
    let sandbox = Sandbox::new();
    let postgres = Postgres::start(&sandbox);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // As `tests/run.sh` builds them, so that they are not built again. What cargo says to tests of their package would
    // have ring built anew, and all that needs it.
    command.args(["test", "--locked", "--workspace", "--lib"]);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| {
            ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix))
        }) {
            command.env_remove(name);
        }
    }
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    command.args(["--", "--ignored", "store::tests::"]);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    let output = command.env("SKIFF_TEST_DATABASE", postgres.url("postgres")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let all = format!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{all}");
    assert!(said.contains("test result: ok. 8 passed"), "not all of them ran:\n{all}");
}
