//! Twenty updates of one image: the tree stays that of stock containerd, and its stack never gets
//! deeper than 16 layers, since the 17th update lays all of it into one. The registry stays as it is.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_tests::compare::Tree;
use skiff_tests::hard::noise;
use skiff_tests::harness::{Accelerator, Containerd, Registry, Sandbox, Skiff, Stock};
use skiff_tests::layout::{Image, Layer, Layout};
use skiff_tests::random::SplitMix64;
use skiff_tests::tarball::Entry;
use std::collections::BTreeMap;
use std::fs;

const VERSIONS: usize = 20;
/// `MAX_STACK` of the agent.
const DEPTH: usize = 16;
/// Names that change, and how many of them do from one version to the next.
const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
const CHANGES: usize = 5;

/// What stands under each name: a number that tells all about it.
type Model = BTreeMap<String, u64>;

fn entries(model: &Model) -> Vec<Entry> {
    let mut entries = Vec::new();
    for directory in ["one/", "two/", "two/three/"] {
        entries.push(Entry::directory(directory).mtime(1_000_000, 0).mode(0o751).owner(5, 6));
    }
    for (name, seed) in model {
        let mtime = i64::try_from(seed % 1_000_000).unwrap();
        let owner = u32::try_from(seed % 7).unwrap();
        let bytes = noise(*seed, usize::try_from(seed % 9000 + 1).unwrap());
        let below = |last: &str| format!("{name}/{last}");
        let made = match seed % 11 {
            0 | 1 => continue,
            2 => vec![Entry::symlink(name, format!("to-{seed}"))],
            3 => vec![Entry::fifo(name)],
            4 => vec![Entry::character(name, 1, 3)],
            5 => vec![Entry::file(name, "")],
            6 | 7 => vec![
                Entry::directory(below("")).xattr("user.seed", seed.to_string()),
                Entry::file(below("x"), &bytes),
                Entry::hardlink(below("y"), below("x")),
                Entry::directory(below("z/")),
                Entry::file(below("z/file"), &bytes).mode(0o4755),
            ],
            _ => vec![Entry::file(name, &bytes).xattr("user.seed", "x").mode(0o640)],
        };
        entries.extend(made.into_iter().map(|entry| entry.mtime(mtime, 5).owner(owner, 0)));
    }
    entries
}

/// Versions `v1` to `v20`, each a few changes away from the one before.
fn versions(layout: &Layout) {
    let mut random = SplitMix64(7);
    let mut model = Model::new();
    for directory in ["", "one/", "two/", "two/three/"] {
        model.extend(NAMES.map(|name| (format!("{directory}{name}"), random.next())));
    }
    // What never changes, so that a delta is much smaller than the image.
    let kept = Entry::file("kept", noise(1, 400_000)).mtime(1, 1);
    for version in 1..=VERSIONS {
        let mut all = entries(&model);
        all.push(kept.clone());
        layout.add(&format!("v{version}"), &Image::new(vec![Layer::new(&all)]));
        let names: Vec<_> = model.keys().cloned().collect();
        for _ in 0..CHANGES {
            let name = names[usize::try_from(random.next() % names.len() as u64).unwrap()].clone();
            model.insert(name, random.next());
        }
    }
}

struct Ground {
    // Dropped in this order: processes before the directory that they use.
    accelerator: Accelerator,
    registry: Registry,
    /// Its files.
    before: Tree,
    /// References and stock's trees, by version.
    versions: Vec<(String, Stock)>,
    sandbox: Sandbox,
}

impl Ground {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let registry = Registry::start(&sandbox);
        let layout = Layout::create(&sandbox.directory("layouts"), "updates");
        versions(&layout);
        let containerd = Containerd::start(&sandbox);
        let stock = |version| {
            let reference = registry.push(&layout, &format!("v{version}"));
            let stock = containerd.stock(&reference);
            (reference, stock)
        };
        let versions = (1..=VERSIONS).map(stock).collect();
        let directory = sandbox.directory("accelerator");
        let url = format!("http://{}", registry.host);
        let accelerator = Accelerator::start_with(&directory, &url, &["--cache-bytes", "0"]);
        drop(containerd);
        let before = Tree::read(&registry.data()).unwrap();
        registry.requests();
        Self { accelerator, registry, before, versions, sandbox }
    }

    /// Pulls one version after the other and removes the one before; `look` gives the tree and the number
    /// of layers.
    fn update(&self, skiff: &Skiff, look: impl Fn(&str) -> (Tree, usize)) {
        let mut full = 0;
        for (number, (reference, stock)) in self.versions.iter().enumerate() {
            let pulled = skiff.pull(&[reference], &self.accelerator.url()).ok(reference);
            let received = pulled.number("bytes_received");
            assert!(pulled.peak_rss <= 8 << 20, "{reference}: {} bytes", pulled.peak_rss);
            match number.checked_sub(1).and_then(|last| self.versions.get(last)) {
                None => full = received,
                Some((before, _)) => {
                    assert!(received < full / 3, "{reference}: {received} of {full} bytes");
                    skiff.run(&["rm", before]).ok(before);
                }
            }
            let (mut tree, depth) = look(reference);
            // Files of a root layer may have names in the layers that it was made of.
            for (path, node) in &mut tree.nodes {
                node.links = stock.tree.nodes.get(path).map_or(node.links, |stock| stock.links);
            }
            assert_eq!(stock.report(&tree), None, "{reference}");
            assert_eq!(depth, number % DEPTH + 1, "{reference}: layers");
            assert_eq!(skiff.run(&["status", "--json"]).ok("status").stdout, "", "{reference}");
        }
    }
}

#[test]
fn twenty_updates() {
    let ground = Ground::new();
    let containerd = Containerd::start(&ground.sandbox);
    let skiff = Skiff::containerd(&ground.sandbox, &containerd.socket());
    ground.update(&skiff, |image| (containerd.tree(image), containerd.committed().len()));
    // A stock pull beside what lies on a layer that a stack was laid into.
    let (reference, stock) = &ground.versions[0];
    assert_eq!(stock.report(&containerd.stock(reference).tree), None, "a stock pull beside it");

    let root = ground.sandbox.directory("device");
    let skiff = Skiff::root(&ground.sandbox, &root);
    let layers = || fs::read_dir(root.join("snapshots")).unwrap().count();
    ground.update(&skiff, |image| (skiff.tree(image).unwrap(), layers()));
    let requests = ground.registry.requests();
    let read = requests.iter().filter(|one| ["GET", "HEAD"].contains(&&*one.method)).count();
    assert!(read > 0 && read == requests.len(), "the registry was written to: {requests:?}");
    let after = Tree::read(&ground.registry.data()).unwrap();
    assert!(ground.before == after, "the registry's files have changed");
}
