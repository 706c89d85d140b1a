//! Tables of contents that are signed: a device that has a key takes no other, whatever is between; with `--root` and with
//! containerd.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_tests::between::{Between, Change};
use skiff_tests::certificates::replace;
use skiff_tests::compare::{NEVER, report};
use skiff_tests::hard::noise;
use skiff_tests::harness::{
    Accelerator, Containerd, Fault, Outcome, Relay, Sandbox, Skiff, SkiffDaemon, alone, run,
};
use skiff_tests::layout::{Image, Layer, Layout};
use skiff_tests::tarball::Entry;
use std::fs;
use std::path::{Path, PathBuf};

/// Exit codes, as `skiff --help` lists them.
const USAGE: i32 = 2;
const UNSIGNED: i32 = 14;

const OLD: &str = "app:1";
const NEW: &str = "app:2";
const NOT_SIGNED: &str = "it is not signed";
const NOT_RIGHT: &str = "is not right";
const NONE_OF_THE_KEYS: &str = "none of the keys that are given";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A key pair in files, as OpenSSL makes them.
struct Key {
    private: PathBuf,
    public: PathBuf,
}

impl Key {
    fn new(directory: &Path, name: &str) -> Self {
        let (private, public) = (directory.join(name), directory.join(format!("{name}.pub")));
        run("openssl", &["genpkey", "-algorithm", "ed25519", "-out", text(&private)]);
        run("openssl", &["pkey", "-in", text(&private), "-pubout", "-out", text(&public)]);
        Self { private, public }
    }

    /// The key's line in the public file: its SubjectPublicKeyInfo in Base64.
    fn line(&self) -> String {
        fs::read_to_string(&self.public).unwrap().lines().nth(1).unwrap().to_owned()
    }
}

/// Two versions of an image, and keys.
struct Ground {
    registry: String,
    old: Key,
    new: Key,
    sandbox: Sandbox,
}

impl Ground {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let layouts = sandbox.directory("layouts");
        let layout = Layout::create(&layouts, "app");
        let file = |name: &str, seed, len| {
            Entry::file(name, noise(seed, len)).mtime(1_600_000_000, 5).mode(0o755)
        };
        for (tag, seed) in [("1", 10), ("2", 20)] {
            let kept = file("d/kept", 1, 100_000).mtime(seed, 0);
            let entries =
                [Entry::directory("d/"), kept, file("d/app", seed.unsigned_abs(), 5 << 20)];
            layout.add(tag, &Image::new(vec![Layer::new(&entries)]));
        }
        let keys = sandbox.directory("keys");
        let (old, new) = (Key::new(&keys, "old"), Key::new(&keys, "new"));
        Self { registry: format!("oci:{}", layouts.display()), old, new, sandbox }
    }

    /// An accelerator that signs by these keys.
    fn accelerator(&self, name: &str, keys: &[&Path]) -> Accelerator {
        let arguments: Vec<&str> = keys.iter().flat_map(|key| ["--sign-key", text(key)]).collect();
        Accelerator::start_with(&self.sandbox.directory(name), &self.registry, &arguments)
    }

    fn skiff(&self, name: &str) -> Skiff {
        Skiff::root(&self.sandbox, &self.sandbox.directory(name))
    }
}

fn pull(skiff: &Skiff, url: &str, what: &[&str], keys: &[&str]) -> Outcome {
    let keys: Vec<&str> = keys.iter().flat_map(|key| ["--tree-key", key]).collect();
    let how = ["--json", "--lazy=never", "--tries=9", "--accelerator", url];
    skiff.run(&[what, &how, &keys].concat())
}

/// One sentence with these words.
#[track_caller]
fn says(row: &str, outcome: &Outcome, code: i32, words: &str) {
    let Outcome { code: found, stderr, .. } = outcome;
    assert_eq!(*found, code, "{row}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{row}: {stderr}");
    assert!(stderr.starts_with("skiff: ") && stderr.contains(words), "{row}: {stderr}");
}

#[track_caller]
fn has_nothing(row: &str, skiff: &Skiff) {
    for question in ["ls", "status"] {
        let outcome = skiff.run(&[question, "--json"]).ok(row);
        assert_eq!(outcome.stdout, "", "{row}: {question}");
    }
}

#[test]
fn whoever_is_between_changes_nothing() {
    let ground = Ground::new();
    let accelerator = ground.accelerator("accelerator", &[&ground.old.private]);
    run(
        Accelerator::program().to_str().unwrap(),
        &["app", "--data", text(&accelerator.data()), "set", "shop", NEW],
    );
    run(
        Accelerator::program().to_str().unwrap(),
        &["app", "--data", text(&accelerator.data()), "set", "shoq", OLD],
    );
    let between = Between::start(&accelerator.address);
    let containerd = Containerd::start(&ground.sandbox);
    let key = [text(&ground.old.public)];
    let wants = |skiff: &Skiff, what: &[&str]| pull(skiff, &between.url, what, &key);
    for (row, skiff) in [
        ("root", ground.skiff("device")),
        ("containerd", Skiff::containerd(&ground.sandbox, &containerd.socket())),
    ] {
        for (what, change, words) in [
            (["pull", NEW], Change::Modes, NOT_RIGHT),
            (["pull", NEW], Change::Unsigned, NOT_SIGNED),
            (["pull", NEW], Change::OldAgent, NOT_SIGNED),
            (["pull", NEW], Change::Swapped(NEW, OLD), NOT_RIGHT),
            (["deploy", "shop"], Change::Swapped("shop", "shoq"), NOT_RIGHT),
        ] {
            let row = format!("{row}: {what:?} {change:?}");
            between.changes(change);
            let outcome = wants(&skiff, &what);
            says(&row, &outcome, UNSIGNED, words);
            has_nothing(&row, &skiff);
        }
        assert_eq!(containerd.committed(), [""; 0], "{row}");
        between.changes(Change::Nothing);
        wants(&skiff, &["deploy", "shop"]).ok("an application");
        wants(&skiff, &["pull", OLD]).ok("an image");
        skiff.run(&["rm", OLD]).ok("rm");
        between.changes(Change::Modes);
        says("an update", &wants(&skiff, &["pull", OLD]), UNSIGNED, NOT_RIGHT);
        let listed = skiff.run(&["ls"]).ok("ls").stdout;
        assert!(listed.starts_with(NEW) && listed.lines().count() == 1, "{row}: {listed}");
        // What no key checks is what somebody between wants.
        pull(&skiff, &between.url, &["pull", OLD], &[]).ok("without a key");
        skiff.run(&["rm", OLD, NEW]).ok("rm");
    }
    // What was signed for a deployment fits no other: the same request, but for its random name.
    let skiff = ground.skiff("replayed");
    between.changes(Change::Replayed);
    wants(&skiff, &["pull", OLD]).ok("the first time");
    let other = ground.skiff("another");
    says("replayed", &wants(&other, &["pull", OLD]), UNSIGNED, NOT_RIGHT);
    has_nothing("replayed", &other);
}

#[test]
fn keys_are_rotated() {
    let ground = Ground::new();
    let Ground { old, new, .. } = &ground;
    let file = ground.sandbox.directory("files").join("key");
    let (old_pem, new_pem) =
        (fs::read_to_string(&old.private).unwrap(), fs::read_to_string(&new.private).unwrap());
    replace(&file, &old_pem);
    let one = ground.accelerator("one", &[&file]);
    let two = ground.accelerator("two", &[&old.private, &new.private]);
    let none = ground.accelerator("none", &[]);
    let (of_old, of_new) = (text(&old.public), text(&new.public));
    let (line, both) = (new.line(), ground.sandbox.directory("files").join("both"));
    fs::write(&both, format!("{}\n{line}\n", old.line())).unwrap();
    let fresh = ground.skiff("expected");
    pull(&fresh, &none.url(), &["pull", OLD], &[]).ok("no key");
    let expected = fresh.tree(OLD).unwrap();
    let check = |row: &str, accelerator: &Accelerator, keys: &[&str], words: Option<&str>| {
        let root = ground.sandbox.directory("device");
        let skiff = Skiff::root(&ground.sandbox, &root);
        let outcome = pull(&skiff, &accelerator.url(), &["pull", OLD], keys);
        match words {
            Some(words) => {
                says(row, &outcome, UNSIGNED, words);
                has_nothing(row, &skiff);
            }
            None => {
                outcome.ok(row);
                assert_eq!(report(&expected, &skiff.tree(OLD).unwrap(), &NEVER), None, "{row}");
            }
        }
        fs::remove_dir_all(root).unwrap();
    };
    check("nothing signed", &none, &[of_old], Some(NOT_SIGNED));
    check("no key given", &one, &[], None);
    check("before: the old", &one, &[of_old], None);
    check("before: the new", &one, &[of_new], Some(NONE_OF_THE_KEYS));
    check("both sign: the old", &two, &[of_old], None);
    check("both sign: the new, in Base64", &two, &[&line], None);
    check("devices have both", &one, &[of_old, of_new], None);
    check("in one file", &one, &[text(&both)], None);
    // What is half of a key, or none, changes nothing.
    for (text, old_works) in
        [(&*new_pem, false), (&new_pem[..40], false), ("", false), (&*old_pem, true)]
    {
        replace(&file, text);
        let words = |works| if works { None } else { Some(NONE_OF_THE_KEYS) };
        check("after: the old", &one, &[of_old], words(old_works));
        check("after: the new", &one, &[of_new], words(!old_works));
    }
    let skiff = ground.skiff("device");
    for (key, words) in [("/missing", "cannot use /missing"), ("/proc/version", "no Ed25519 key")] {
        says(key, &pull(&skiff, &one.url(), &["pull", OLD], &[key]), USAGE, words);
    }
    has_nothing("a key that is none", &skiff);
}

#[test]
fn what_is_cut_off_goes_on_under_its_signature() {
    let ground = Ground::new();
    let accelerator = ground.accelerator("accelerator", &[&ground.new.private]);
    let another = ground.accelerator("another", &[&ground.old.private]);
    let keys = [text(&ground.new.public)];
    let expected = ground.skiff("expected");
    pull(&expected, &accelerator.url(), &["pull", NEW], &[]).ok("expected");
    let skiff = ground.skiff("device");
    let relay = Relay::start(&accelerator.address, Fault::CutEach(2_200_000));
    let url = format!("http://{}", relay.address);
    let cut = pull(&skiff, &url, &["pull", OLD], &keys).ok("cut again and again");
    assert!(cut.number("requests") > 1, "{}", cut.stdout);
    // A pull that ends leaves what came. The next takes it over, but no table that is not signed.
    let ended =
        skiff.run(&["pull", NEW, "--tries=1", "--accelerator", &url, "--tree-key", keys[0]]);
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    let outcome = pull(&skiff, &another.url(), &["pull", NEW], &keys);
    says("another key's", &outcome, UNSIGNED, NONE_OF_THE_KEYS);
    let update = pull(&skiff, &accelerator.url(), &["pull", NEW], &keys).ok("an update");
    assert!(update.number("pack_bytes") < 4 << 20, "{}", update.stdout);
    assert_eq!(report(&expected.tree(NEW).unwrap(), &skiff.tree(NEW).unwrap(), &NEVER), None);
    assert_eq!(skiff.run(&["status", "--json"]).ok("status").stdout, "");
}

#[test]
fn nothing_is_cold_that_is_not_signed() {
    let _alone = alone();
    let ground = Ground::new();
    let accelerator = ground.accelerator("accelerator", &[&ground.old.private]);
    let between = Between::start(&accelerator.address);
    let skiff = ground.skiff("device");
    let daemon = SkiffDaemon::start_with(&skiff, &["--tree-key", text(&ground.old.public)]);
    let pull = |url: &str, more: &[&str]| {
        let lazy = ["pull", OLD, "--json", "--lazy=require", "--accelerator", url];
        skiff.run(&[&lazy[..], more].concat())
    };
    let others = pull(&between.url, &["--tree-key", text(&ground.new.public)]);
    says("options that the daemon has not", &others, USAGE, "a daemon runs, which has other");
    for change in [Change::Modes, Change::Unsigned] {
        between.changes(change);
        let outcome = pull(&between.url, &[]);
        assert_eq!(outcome.code, UNSIGNED, "{change:?}: {}", outcome.stderr);
        assert_eq!(skiff.run(&["ls", "--json"]).ok("ls").stdout, "", "{change:?}");
        assert_eq!(daemon.cold_files(), 0, "{change:?}");
        assert!(
            !skiff.state.join("hydrating").is_dir()
                || fs::read_dir(skiff.state.join("hydrating")).unwrap().next().is_none()
        );
    }
    let relay = Relay::start(&accelerator.address, Fault::HoldFirst(64 << 10));
    pull(&format!("http://{}", relay.address), &[]).ok("signed");
    assert!(daemon.cold_files() > 0);
    let layer = skiff.state.parent().unwrap().join("snapshots");
    let layer = fs::read_dir(layer).unwrap().next().unwrap().unwrap().path().join("fs");
    assert!(fs::read(layer.join("d/kept")).unwrap() == noise(1, 100_000), "an urgent one");
    // Contents alone are checked against the table on the disk: those of the next daemon, too.
    daemon.kill();
    let daemon = SkiffDaemon::start_with(&skiff, &["--tree-key", text(&ground.old.public)]);
    relay.release();
    daemon.wait_until_warm();
    assert!(fs::read(layer.join("d/app")).unwrap() == noise(10, 5 << 20), "the rest");
}
