//! What Skiff puts on a device equals what stock containerd unpacks: every hard image, fresh and
//! as an update from every other version of it, with containerd and with `--root`. And any two random trees: a delta
//! from one to the other, applied to the one, is the other (`SKIFF_SEED=N` for other trees).
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_tests::hard::{Repository, random, repositories};
use skiff_tests::harness::{Accelerator, Containerd, Outcome, Registry, Sandbox, Skiff, Stock};
use std::collections::BTreeMap;

/// A registry with all hard images, an accelerator in front of it, and stock's trees.
struct Ground {
    // Dropped in this order: processes before the directory that they use.
    accelerator: Accelerator,
    registry: Registry,
    stock: BTreeMap<String, Stock>,
    repositories: Vec<Repository>,
    sandbox: Sandbox,
}

impl Ground {
    /// With options of the accelerator's.
    fn new(repositories: Vec<Repository>, options: &[&str]) -> Self {
        let sandbox = Sandbox::new();
        let registry = Registry::start(&sandbox);
        let containerd = Containerd::start(&sandbox);
        let layouts = sandbox.directory("layouts");
        let mut stock = BTreeMap::new();
        for repository in &repositories {
            let layout = repository.write(&layouts);
            for (tag, _) in &repository.versions {
                let reference = registry.push(&layout, tag);
                stock.insert(reference.clone(), containerd.stock(&reference));
            }
        }
        let url = format!("http://{}", registry.host);
        let accelerator = Accelerator::start_with(&sandbox.directory("accelerator"), &url, options);
        drop(containerd);
        Self { accelerator, registry, stock, repositories, sandbox }
    }

    fn reference(&self, repository: &Repository, tag: &str) -> String {
        format!("{}/{}:{tag}", self.registry.host, repository.name)
    }

    /// Every version alone, then every ordered pair of two.
    fn rows(&self) -> Vec<(String, Vec<String>)> {
        let mut rows = Vec::new();
        for repository in &self.repositories {
            let tags: Vec<_> = repository.versions.iter().map(|(tag, _)| tag).collect();
            for new in &tags {
                let reference = self.reference(repository, new);
                rows.push((format!("{} {new}", repository.name), vec![reference.clone()]));
                for old in tags.iter().filter(|old| *old != new) {
                    let row = format!("{} {old} -> {new}", repository.name);
                    rows.push((row, vec![self.reference(repository, old), reference.clone()]));
                }
            }
        }
        rows
    }
}

/// All, or those that `SKIFF_HARD` names (`names,times`).
fn chosen() -> Vec<Repository> {
    let all = repositories();
    let Ok(names) = std::env::var("SKIFF_HARD") else { return all };
    let chosen: Vec<_> =
        all.into_iter().filter(|one| names.split(',').any(|name| name == one.name)).collect();
    assert!(!chosen.is_empty(), "SKIFF_HARD names no hard image: {names}");
    chosen
}

/// What is wrong with a pull that should have worked.
fn failure(outcome: &Outcome) -> Option<String> {
    (outcome.code != 0).then(|| format!("skiff ended with {}: {}", outcome.code, outcome.stderr))
}

fn conclude(wrong: &[String], rows: usize) {
    assert!(wrong.is_empty(), "{} of {rows} rows:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_plain_directory_equals_stock() {
    plain(&Ground::new(chosen(), &["--cache-bytes", "0"]));
}

#[test]
fn a_delta_of_any_two_random_trees_makes_one_the_other() {
    const TREES: usize = 12;
    let seed = std::env::var("SKIFF_SEED").map_or(1, |text| text.parse().unwrap());
    println!("SKIFF_SEED={seed}");
    let ground = Ground::new(vec![random(seed, TREES)], &[]);
    let some = ground.stock.values().map(|stock| stock.tree.nodes.len()).max().unwrap();
    assert!(some > 5, "trees of at most {some} paths");
    plain(&ground);
}

/// Every row, on a device of its own with a plain directory.
fn plain(ground: &Ground) {
    let rows = ground.rows();
    let mut wrong = Vec::new();
    for (row, references) in &rows {
        let root = ground.sandbox.directory("root");
        let skiff = Skiff::root(&ground.sandbox, &root);
        if let Err(said) = pull_and_compare(ground, &skiff, references) {
            wrong.push(format!("{row}: {said}"));
        }
        let _ = std::fs::remove_dir_all(&root);
    }
    conclude(&wrong, rows.len());
}

fn pull_and_compare(ground: &Ground, skiff: &Skiff, references: &[String]) -> Result<(), String> {
    for reference in references {
        let pulled = skiff.pull(&[reference], &ground.accelerator.url());
        if let Some(said) = failure(&pulled) {
            return Err(said);
        }
        if pulled.number("requests") != 1 {
            return Err(format!("{} requests", pulled.number("requests")));
        }
    }
    // The old image is looked at after the update: a delta must leave its base alone.
    for reference in references {
        let tree = skiff.tree(reference)?;
        if let Some(said) = ground.stock[reference].report(&tree) {
            return Err(format!("{}: {said}", reference.rsplit('/').next().unwrap()));
        }
    }
    Ok(())
}

#[test]
fn containerd_equals_stock() {
    let ground = Ground::new(chosen(), &[]);
    let rows = ground.rows();
    let containerd = Containerd::start(&ground.sandbox);
    let mut wrong = Vec::new();
    for (row, references) in &rows {
        let skiff = Skiff::containerd(&ground.sandbox, &containerd.socket());
        for reference in references {
            let pulled = skiff.pull(&[reference], &ground.accelerator.url());
            if let Some(said) = failure(&pulled) {
                wrong.push(format!("{row}: {said}"));
                break;
            }
            let stock = &ground.stock[reference];
            let digest = containerd.digest(reference);
            if digest != stock.digest {
                wrong.push(format!("{row}: digest {digest}, stock's is {}", stock.digest));
            }
            if let Some(said) = stock.report(&containerd.tree(reference)) {
                wrong.push(format!("{row}: {said}"));
            }
        }
        // The next row starts with nothing.
        for reference in containerd.images() {
            containerd.remove(&reference);
        }
        let left = containerd.committed();
        if !left.is_empty() {
            wrong.push(format!("{row}: the garbage collector leaves {left:?}"));
            for snapshot in left.iter().rev() {
                containerd.try_ctr(&["snapshots", "rm", snapshot]);
            }
        }
    }
    conclude(&wrong, rows.len());
}
