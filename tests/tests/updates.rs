//! An image whose tag moves, and the way back: without the network, to the tree that stock containerd
//! unpacks of the version before.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_tests::hard::noise;
use skiff_tests::harness::{Accelerator, Containerd, Registry, Sandbox, Skiff, Stock};
use skiff_tests::layout::{Image, Layer, Layout};
use skiff_tests::tarball::Entry;
use std::path::Path;

struct Ground {
    // Dropped in this order: processes before the directory that they use.
    accelerator: Accelerator,
    registry: Registry,
    stock: Containerd,
    sandbox: Sandbox,
}

impl Ground {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let registry = Registry::start(&sandbox);
        let stock = Containerd::start(&sandbox);
        let accelerator = Accelerator::start(&sandbox, &format!("http://{}", registry.host));
        Self { accelerator, registry, stock, sandbox }
    }

    /// Moves the tag to a version. Versions share one file of 300,000 bytes.
    fn push(&self, version: u64) -> (String, Stock) {
        let layout = Layout::create(&self.sandbox.directory(&format!("v{version}")), "app");
        let file = |name: &str, seed, size| Entry::file(name, noise(seed, size)).mtime(9, 0);
        let below = Layer::new(&[file("kept", 1, 300_000)]);
        let above = Layer::new(&[
            file("changed", version, 20_000).mode(0o4755),
            Entry::symlink(format!("only-in-{version}"), "changed").mtime(9, 0),
        ]);
        layout.add("live", &Image::new(vec![below, above]));
        let reference = self.registry.push(&layout, "live");
        let stock = self.stock.stock(&reference);
        (reference, stock)
    }

    fn pull(&self, skiff: &Skiff, image: &str) -> u64 {
        skiff.pull(&[image], &self.accelerator.url()).ok(image).number("bytes_received")
    }
}

#[test]
fn an_image_goes_back_to_what_its_name_pointed_to() {
    let ground = Ground::new();
    let device = Containerd::start(&ground.sandbox);
    let skiff = Skiff::containerd(&ground.sandbox, &device.socket());
    let root = Skiff::root(&ground.sandbox, &ground.sandbox.directory("root"));
    let check = |what: &str, image: &str, stock: &Stock| {
        assert_eq!(device.digest(image), stock.digest, "{what}");
        assert_eq!(stock.report(&device.tree(image)), None, "{what}");
        assert_eq!(stock.report(&root.tree(image).unwrap()), None, "{what}, directory");
    };
    let both = [&skiff, &root];
    let listed = |skiff: &Skiff| skiff.run(&["ls"]).ok("ls").stdout.lines().count();

    let (image, first) = ground.push(1);
    for skiff in both {
        let unknown = skiff.run(&["rollback", &image]);
        assert_eq!(unknown.code, 3, "{}", unknown.stderr);
        ground.pull(skiff, &image);
        let only = skiff.run(&["rollback", &image]);
        assert_eq!(only.code, 3, "{}", only.stderr);
        assert!(only.stderr.contains("never updated"), "{}", only.stderr);
    }
    check("first", &image, &first);
    let (_, second) = ground.push(2);
    for skiff in both {
        let received = ground.pull(skiff, &image);
        assert!(received < 40_000, "an update of 20,000 bytes took {received}");
    }
    check("second", &image, &second);

    for skiff in both {
        let back = skiff.run(&["rollback", &image, "--json"]).ok("back");
        let line = format!(r#""images":[{{"name":"{image}","digest":"{}"}}]"#, first.digest);
        assert!(back.stdout.contains(&line), "{}", back.stdout);
    }
    check("back", &image, &first);
    device.ctr(&["content", "prune", "references"]);
    // What comes next lies on either, and the one that is not current is kept by its record alone.
    let (_, third) = ground.push(3);
    for skiff in both {
        skiff.run(&["rollback", &image]).ok("forward");
    }
    check("forward", &image, &second);
    for skiff in both {
        let received = ground.pull(skiff, &image);
        assert!(received < 40_000, "an update of 20,000 bytes took {received}");
    }
    check("third", &image, &third);
    for skiff in both {
        skiff.run(&["rollback", &image]).ok("back again");
        assert_eq!(listed(skiff), 2);
        assert_eq!(skiff.run(&["status", "--json"]).ok("status").stdout, "");
    }
    check("back again", &image, &second);
}

#[test]
fn what_an_image_was_before_goes_with_it() {
    let ground = Ground::new();
    let device = Containerd::start(&ground.sandbox);
    let skiff = Skiff::containerd(&ground.sandbox, &device.socket());
    let directory = ground.sandbox.directory("root");
    let root = Skiff::root(&ground.sandbox, &directory);
    let layers = |root: &Path| std::fs::read_dir(root.join("snapshots")).unwrap().count();
    for by_hand in [false, true] {
        let mut image = String::new();
        for version in 1..=2 {
            image = ground.push(version).0;
            for skiff in [&skiff, &root] {
                ground.pull(skiff, &image);
            }
        }
        assert_eq!((device.committed().len(), layers(&directory)), (2, 2));
        if by_hand {
            device.remove(&image);
            assert_eq!(device.images().len(), 1);
            skiff.run(&["gc"]).ok("gc");
        } else {
            skiff.run(&["rm", &image]).ok("rm");
        }
        root.run(&["rm", &image]).ok("rm");
        assert_eq!(device.images(), [""; 0]);
        assert_eq!((device.committed(), layers(&directory)), (Vec::new(), 0));
    }
}
