//! Applications, bases and rollbacks, with answers that are written down here: what the agent does with them, whatever
//! an accelerator would plan. With containerd and with `--root`.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_protocol::Digest;
use skiff_protocol::record::Parent;
use skiff_protocol::request::{DeployRequest, Want};
use skiff_tests::compare::report;
use skiff_tests::harness::{Containerd, Outcome, Sandbox, Skiff, wait_for};
use skiff_tests::script::{Images, Layers, answer, manifest, serve, sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Runs skiff against such a server; gives the request, too.
fn run(skiff: &Skiff, arguments: &[&str], answer: Vec<u8>) -> (Outcome, Vec<u8>) {
    let (url, serving) = serve(answer);
    let outcome = skiff.run(&[arguments, &["--json", "--accelerator", &url]].concat());
    (outcome, serving.join().unwrap())
}

/// A device, in one of the two ways.
struct Device {
    containerd: Option<Containerd>,
    skiff: Skiff,
    /// Where a plain directory has its snapshots.
    snapshots: PathBuf,
}

impl Device {
    fn both(sandbox: &Sandbox) -> [Self; 2] {
        let containerd = Containerd::start(sandbox);
        let skiff = Skiff::containerd(sandbox, &containerd.socket());
        let root = sandbox.directory("device");
        let plain = Skiff::root(sandbox, &root);
        [
            Self { containerd: Some(containerd), skiff, snapshots: PathBuf::new() },
            Self { containerd: None, skiff: plain, snapshots: root.join("snapshots") },
        ]
    }

    fn deploy(&self, images: Images<'_>, layers: Layers<'_>) -> Vec<u8> {
        let (outcome, asked) = run(&self.skiff, &["deploy", "shop"], answer(images, layers, false));
        outcome.ok("deploy");
        asked
    }

    /// Image records: name and which version they point to.
    fn records(&self) -> BTreeMap<String, u8> {
        let listed = self.skiff.run(&["ls"]).ok("ls").stdout;
        let version = |name: &str, digest: &str| {
            let reference = name.strip_prefix("skiff.previous/shop/").unwrap_or(name);
            (0..9).find(|version| sha256(manifest(reference, *version)).to_string() == digest)
        };
        let record = |line: &str| {
            let (name, digest) = line.split_once(' ').unwrap();
            (name.to_owned(), version(name, digest).unwrap())
        };
        listed.lines().map(record).collect()
    }

    /// Checks the image records, by name and version, and the files of the current ones.
    fn check(&self, current: &[(&str, u8, &[&str])], previous: &[(&str, u8)]) {
        // Whatever may be collected is.
        self.skiff.run(&["gc"]).ok("gc");
        let mut expected = BTreeMap::new();
        expected.extend(current.iter().map(|(name, version, _)| ((*name).to_owned(), *version)));
        let before =
            |(name, version): &(&str, u8)| (format!("skiff.previous/shop/{name}"), *version);
        expected.extend(previous.iter().map(before));
        assert_eq!(self.records(), expected);
        for (name, _, files) in current {
            let tree = self.skiff.tree(name).unwrap();
            let names: Vec<_> = tree.nodes.keys().filter(|path| !path.is_empty()).collect();
            assert_eq!(names, files.iter().map(|file| file.as_bytes()).collect::<Vec<_>>());
            if let Some(containerd) = &self.containerd {
                let never = i64::MAX..=i64::MAX;
                assert_eq!(report(&tree, &containerd.tree(name), &never), None, "{name}");
            }
        }
        assert_eq!(self.skiff.run(&["status", "--json"]).ok("status").stdout, "");
    }

    /// Snapshots, committed or not. (containerd removes their directories when it likes.)
    fn count(&self) -> usize {
        match &self.containerd {
            Some(containerd) => containerd.ctr(&["snapshots", "ls"]).lines().skip(1).count(),
            None => std::fs::read_dir(&self.snapshots).unwrap().count(),
        }
    }

    /// Checks the number of snapshots. containerd collects garbage when it likes, too.
    fn comes_to(&self, snapshots: usize, when: &str) {
        let there = wait_for(Duration::from_secs(20), || self.count() == snapshots);
        assert!(there, "{} snapshots, not {snapshots} {when}", self.count());
    }

    /// Name and depth of what a request says is held.
    fn held(asked: &[u8]) -> Vec<(String, u16)> {
        let request = DeployRequest::decode(asked).unwrap();
        assert!(matches!(request.want, Want::Application("shop")));
        let mut held: Vec<_> = request
            .held
            .iter()
            .map(|held| match held.reference {
                "" => (held.manifest.to_string(), held.depth),
                reference => (reference.to_owned(), held.depth),
            })
            .collect();
        held.sort();
        held
    }
}

const BASE: Option<u8> = Some(0xab);

#[test]
fn an_application_on_a_base_is_deployed_and_rolled_back() {
    let sandbox = Sandbox::new();
    for device in Device::both(&sandbox) {
        let unknown = device.skiff.run(&["rollback", "shop"]);
        assert_eq!(unknown.code, 3, "{}", unknown.stderr);
        let (measured, _) =
            run(&device.skiff, &["deploy", "shop", "--dry-run"], answer(&[], &[], true));
        assert_eq!(measured.ok("dry run").number("would_receive"), 4711);

        // The base, and two images on it.
        let asked = device.deploy(
            &[("host:5000/web:1", 1, Some(1)), ("db", 1, Some(2))],
            &[
                (BASE, Parent::None, "base"),
                (None, Parent::Layer(0), "web-1"),
                (None, Parent::Layer(0), "db-1"),
            ],
        );
        assert_eq!(Device::held(&asked), []);
        let first: [(&str, u8, &[&str]); 2] =
            [("db", 1, &["base", "db-1"]), ("host:5000/web:1", 1, &["base", "web-1"])];
        device.check(&first, &[]);
        device.comes_to(3, "");
        let nothing = device.skiff.run(&["rollback", "shop"]);
        assert_eq!(nothing.code, 3, "{}", nothing.stderr);

        // One image is replaced by one of another name, on the base that is held; the other stays.
        let asked = device.deploy(
            &[("host:5000/web:2", 2, Some(0)), ("db", 1, None)],
            &[(None, Parent::Held(2), "web-2")],
        );
        let base = (Digest([0xab; 32]).to_string(), 1);
        let expected = [("db".to_owned(), 2), ("host:5000/web:1".to_owned(), 2), base.clone()];
        assert_eq!(Device::held(&asked), expected);
        let second: [(&str, u8, &[&str]); 2] =
            [("db", 1, &["base", "db-1"]), ("host:5000/web:2", 2, &["base", "web-2"])];
        let versions = |images: &[(&'static str, u8, &[&str])]| {
            images.iter().map(|(name, version, _)| (*name, *version)).collect::<Vec<_>>()
        };
        device.check(&second, &versions(&first));
        device.comes_to(4, "");

        // Nothing new: what was before stays. Each image is held once, by its own name.
        let asked = device.deploy(&[("host:5000/web:2", 2, None), ("db", 1, None)], &[]);
        let mut names: Vec<_> = Device::held(&asked).into_iter().map(|(name, _)| name).collect();
        names.retain(|name| name.starts_with("host"));
        assert_eq!(names, ["host:5000/web:1", "host:5000/web:2"]);
        device.check(&second, &versions(&first));

        for (now, before) in [(&first, &second), (&second, &first), (&first, &second)] {
            let back = device.skiff.run(&["rollback", "shop", "--json"]).ok("rollback").done();
            assert_eq!(back["application"], "shop");
            assert_eq!(back["images"].as_array().unwrap().len(), 2);
            device.check(now, &versions(before));
            device.comes_to(4, "");
        }

        // A switch that was begun is finished by whatever comes next.
        let files = device.skiff.state.join("applications/shop");
        let text = std::fs::read_to_string(files.join("deployed")).unwrap();
        let (head, lists) = text.split_once("current\n").unwrap();
        let (current, previous) = lists.split_once("previous\n").unwrap();
        let swapped = format!("{head}current\n{previous}previous\n{current}");
        std::fs::write(files.join("switching"), swapped).unwrap();
        device.check(&second, &versions(&first));

        // What is not whole any more is no place to go back to.
        device.skiff.run(&["rm", "skiff.previous/shop/host:5000/web:1"]).ok("rm");
        let refused = device.skiff.run(&["rollback", "shop"]);
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        device.check(&second, &[("db", 1)]);
        device.comes_to(3, "");

        // Two deployments later nothing is left of the first one, nor of the base.
        let third: [(&str, u8, &[&str]); 1] = [("db", 3, &["db-3"])];
        device.deploy(&[("db", 3, Some(0))], &[(None, Parent::None, "db-3")]);
        device.check(&third, &versions(&second));
        device.deploy(&[("db", 4, Some(0))], &[(None, Parent::Held(0), "db-4")]);
        let records = device.records();
        let expected = [("db".to_owned(), 4), ("skiff.previous/shop/db".to_owned(), 3)];
        assert_eq!(records, expected.into());
    }
}

#[test]
fn a_deployment_or_rollback_that_is_killed_is_done_or_not() {
    const TIMES: u32 = 24;
    let sandbox = Sandbox::new();
    for device in Device::both(&sandbox) {
        let text = |name: &str, version: u8| format!("{name}-{version}");
        let answer_with = |version: u8| {
            let (db, web) = (text("db", version), text("web", version));
            let files = [(None, Parent::Layer(0), &*db), (None, Parent::Layer(0), &*web)];
            let layers = [&[(BASE, Parent::None, "base")][..], &files].concat();
            answer(&[("db", version, Some(1)), ("web", version, Some(2))], &layers, false)
        };
        let check = |current: u8, previous: u8| {
            let (db, web) = (text("db", current), text("web", current));
            let images: [(&str, u8, &[&str]); 2] =
                [("db", current, &["base", &db]), ("web", current, &["base", &web])];
            device.check(&images, &[("db", previous), ("web", previous)]);
        };
        let (mut current, mut previous, mut long, mut done) = (0, 0, Duration::ZERO, 0);
        for version in [1, 2] {
            let started = Instant::now();
            run(&device.skiff, &["deploy", "shop"], answer_with(version)).0.ok("whole");
            long = started.elapsed();
            (previous, current) = (current, version);
        }
        check(current, previous);
        for time in 0..TIMES {
            let next = (1..9).find(|version| ![current, previous].contains(version)).unwrap();
            let (url, _) = serve(answer_with(next));
            let running = device.skiff.start(&["deploy", "shop", "--accelerator", &url]);
            std::thread::sleep(2 * long * time / TIMES);
            // It is killed.
            drop(running);
            device.skiff.run(&["gc"]).ok("gc");
            if device.records()["db"] == next {
                (previous, current) = (current, next);
                done += 1;
            }
            check(current, previous);
            device.comes_to(5, &format!("killed for the {time}th time"));
        }
        assert!(done > 0 && done < TIMES, "{done} of {TIMES} deployments were finished");

        let started = Instant::now();
        device.skiff.run(&["rollback", "shop"]).ok("whole");
        long = started.elapsed();
        (previous, current) = (current, previous);
        check(current, previous);
        for time in 0..TIMES {
            let running = device.skiff.start(&["rollback", "shop"]);
            std::thread::sleep(2 * long * time / TIMES);
            drop(running);
            device.skiff.run(&["gc"]).ok("gc");
            if device.records()["db"] == previous {
                (previous, current) = (current, previous);
            }
            check(current, previous);
            device.comes_to(5, &format!("killed in a rollback for the {time}th time"));
        }
    }
}

#[test]
fn what_is_wrong_with_bases_and_applications_is_refused() {
    let sandbox = Sandbox::new();
    let image = |layer| [("a", 1, Some(layer))];
    let base = (BASE, Parent::None, "base");
    let rows: [(&str, Images<'_>, Layers<'_>); 8] = [
        ("a base as an image's layer", &image(0), &[base]),
        ("its own parent", &image(1), &[base, (None, Parent::Layer(1), "a")]),
        (
            "a parent that is no base",
            &image(1),
            &[(None, Parent::None, "b"), (None, Parent::Layer(0), "a")],
        ),
        ("a layer of no image", &image(0), &[(None, Parent::None, "b"), (None, Parent::None, "a")]),
        ("a later parent", &image(0), &[(None, Parent::Layer(1), "a"), base]),
        ("no image", &[], &[]),
        (
            "one image twice",
            &[("a", 1, Some(0)), ("a", 2, Some(1))],
            &[(None, Parent::None, "a"), (None, Parent::None, "b")],
        ),
        ("no reference", &[("skiff.previous/x/a", 1, Some(0))], &[(None, Parent::None, "a")]),
    ];
    for device in Device::both(&sandbox) {
        for (row, images, layers) in rows {
            let (outcome, _) =
                run(&device.skiff, &["deploy", "shop"], answer(images, layers, false));
            assert_eq!(outcome.code, 6, "{row}: {}", outcome.stderr);
            assert_eq!(outcome.stderr.lines().count(), 1, "{row}: {}", outcome.stderr);
            device.check(&[], &[]);
            assert_eq!(device.count(), 0, "{row}");
        }
        let bad = device.skiff.run(&["deploy", "../shop"]);
        assert_eq!(bad.code, 2, "{}", bad.stderr);
        assert!(!Path::new(&device.skiff.state.join("applications")).exists());
    }
}
