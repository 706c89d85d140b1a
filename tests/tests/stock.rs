//! The yardstick itself: stock containerd unpacks every hard image, and the comparer tells
//! versions apart. Needs nothing of Skiff.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_tests::hard::repositories;
use skiff_tests::harness::{Containerd, Registry, Sandbox};

/// Versions that have the layers of the one before, under other types.
const SAME_TREE: [&str; 2] = ["docker:v3", "docker-list:v3"];

#[test]
fn stock_containerd_unpacks_every_hard_image() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox);
    let containerd = Containerd::start(&sandbox);
    let layouts = sandbox.directory("layouts");
    let mut wrong = Vec::new();
    for repository in repositories() {
        let layout = repository.write(&layouts);
        let mut before = None;
        for (tag, _) in &repository.versions {
            let row = format!("{}:{tag}", repository.name);
            let reference = registry.push(&layout, tag);
            let stock = containerd.stock(&reference);
            if stock.digest != layout.digest_of(tag) {
                wrong.push(format!("{row}: the registry has another digest"));
            }
            if tag == "v1"
                && let Some(said) = stock.report(&containerd.tree(&reference))
            {
                wrong.push(format!("{row} is not itself: {said}"));
            }
            if let Some(before) = before.replace(stock.clone())
                && stock.report(&before.tree).is_none()
                && !SAME_TREE.contains(&row.as_str())
            {
                wrong.push(format!("{row}: no difference to the version before"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
