//! A pull's steps in a plain directory, and what is left when they stop half-way.

use super::*;
use std::os::unix::fs::symlink;

/// A directory target, and the scratch directory that holds it.
fn target() -> (tempfile::TempDir, RootTarget) {
    let directory = tempfile::tempdir().unwrap();
    let target = RootTarget::open(&directory.path().join("root")).unwrap();
    (directory, target)
}

fn put(directory: &Path, target: &RootTarget, text: &str) -> Digest {
    let digest = sha256(text);
    let path = directory.join("scratch");
    fs::write(&path, text).unwrap();
    target.put_blob(digest, &path).unwrap();
    digest
}

/// The name of the test's image snapshots.
fn chain(id: u8) -> SnapshotName {
    SnapshotName::Chain(Digest([id; 32]))
}

/// Makes an image of one layer on a parent.
fn deploy(directory: &Path, target: &RootTarget, name: &str, id: u8, parent: Option<u8>) -> Digest {
    let key = format!("skiff-x-{id}");
    let layer = target.prepare(&key, parent.map(chain)).unwrap();
    fs::write(layer.join("file"), [id]).unwrap();
    symlink("/nowhere", layer.join("link")).unwrap();
    target.commit(&key, chain(id)).unwrap();
    let config = put(directory, target, &format!("config of {name}"));
    let manifest =
        put(directory, target, &format!(r#"{{"config":{{"digest":"{config}"}},"layers":[{{}}]}}"#));
    let record = ImageRecord {
        name: name.to_owned(),
        target: manifest,
        size: 3,
        media_type: "m".to_owned(),
        manifest,
        chain_id: Digest([id; 32]),
    };
    target.put_image(&record).unwrap();
    manifest
}

#[test]
fn images_are_held_shared_and_removed() {
    let (directory, target) = target();
    let path = directory.path();
    let old = deploy(path, &target, "app:1", 1, None);
    let new = deploy(path, &target, "app:2", 2, Some(1));
    let held = target.held(64).unwrap();
    let seen: Vec<_> = held.iter().map(|i| (&*i.name, i.manifest_digest, i.depth)).collect();
    assert_eq!(seen, [("app:1", old.0, 1), ("app:2", new.0, 2)]);
    let layers = target.layer_dirs(chain(2)).unwrap();
    assert_eq!(layers.len(), 2);
    assert_eq!(fs::read(layers[0].join("file")).unwrap(), [2]);
    assert_eq!(target.layer_dirs(target.image("app:2").unwrap().snapshot).unwrap(), layers);
    assert!(target.leftovers().unwrap().is_empty());

    target.remove("app:1").unwrap();
    assert!(target.image("app:1").unwrap_err().is_unknown_image());
    assert!(target.remove("app:1").unwrap_err().is_unknown_image());
    assert_eq!(target.layer_dirs(chain(2)).unwrap(), layers, "the parent stays");
    assert_eq!(names(&target.blobs).unwrap().len(), 2);
    target.remove("app:2").unwrap();
    assert!(names(&target.snapshots).unwrap().is_empty());
    assert!(names(&target.blobs).unwrap().is_empty());
    assert!(target.list().unwrap().is_empty());
}

#[test]
fn bases_are_held_below_images_and_go_with_them() {
    let (directory, target) = target();
    let base = SnapshotName::Base(Digest([7; 32]));
    for (key, name, parent) in [
        ("skiff-x-0", base, None),
        ("skiff-x-1", SnapshotName::Base(Digest([8; 32])), None),
        ("skiff-x-2", chain(1), Some(base)),
        ("skiff-x-3", chain(2), Some(base)),
    ] {
        target.prepare(key, parent).unwrap();
        target.commit(key, name).unwrap();
    }
    deploy(directory.path(), &target, "app:1", 1, None);
    deploy(directory.path(), &target, "app:2", 2, None);
    assert_eq!(target.sweep().unwrap(), 1, "the base that no image lies on");
    let held = target.held(64).unwrap();
    let seen: Vec<_> = held.iter().map(|i| (&*i.name, i.snapshot, i.depth)).collect();
    assert_eq!(seen, [("app:1", chain(1), 2), ("app:2", chain(2), 2), ("", base, 1)]);
    assert_eq!(target.depth(chain(1)).unwrap(), Some(2));
    assert_eq!(target.layer_dirs(base).unwrap().len(), 1);
    assert_eq!(target.held(2).unwrap().len(), 2);
    target.remove("app:1").unwrap();
    assert!(target.snapshot_exists(base).unwrap());
    target.remove("app:2").unwrap();
    assert_eq!(target.depth(base).unwrap(), None);
}

#[test]
fn what_a_dead_pull_left_is_listed_and_collected() {
    let (directory, target) = target();
    deploy(directory.path(), &target, "app:1", 1, None);
    target.prepare("skiff-dead-0", Some(chain(1))).unwrap();
    target.prepare("skiff-dead-1", None).unwrap();
    target.commit("skiff-dead-1", chain(9)).unwrap();
    fs::create_dir(target.snapshots.join("77")).unwrap();
    let blob = put(directory.path(), &target, "blob");
    fs::write(target.blobs.join("unfinished"), "x").unwrap();
    fs::write(target.images.join("unfinished"), "x").unwrap();
    let mut left = target.leftovers().unwrap();
    left.sort();
    let mut expected = [
        format!("content/blobs/sha256/{}", blob.hex()),
        "content/blobs/sha256/unfinished".to_owned(),
        "images/unfinished".to_owned(),
        Digest([9; 32]).to_string(),
        "skiff-dead-0".to_owned(),
        "snapshots/77".to_owned(),
    ];
    expected.sort();
    assert_eq!(left, expected);
    assert_eq!(target.collect().unwrap(), 6);
    assert!(target.leftovers().unwrap().is_empty());
    assert_eq!(target.held(64).unwrap().len(), 1);
}

#[test]
fn a_dead_pull_is_discarded_by_its_id() {
    let (directory, target) = target();
    deploy(directory.path(), &target, "app:1", 1, None);
    target.prepare("skiff-dead-0", Some(chain(1))).unwrap();
    target.prepare("skiff-deader-0", None).unwrap();
    target.discard("dead").unwrap();
    assert_eq!(target.leftovers().unwrap(), ["skiff-deader-0"]);
    assert_eq!(target.held(64).unwrap().len(), 1);
}

#[test]
fn a_snapshot_is_committed_once() {
    let (directory, target) = target();
    deploy(directory.path(), &target, "app:1", 1, None);
    let ours = target.prepare("skiff-y-0", None).unwrap();
    target.commit("skiff-y-0", chain(1)).unwrap();
    assert!(!ours.exists());
    assert!(target.snapshot_exists(chain(1)).unwrap());
    let gone = target.prepare("skiff-y-1", None).unwrap();
    target.abort("skiff-y-1").unwrap();
    target.abort("skiff-y-1").unwrap();
    assert!(!gone.exists());
    for name in [
        target.commit("skiff-y-1", chain(3)).unwrap_err(),
        target.prepare("skiff-y-2", Some(chain(3))).unwrap_err(),
        target.layer_dirs(chain(3)).unwrap_err(),
    ] {
        assert!(matches!(name.trouble(), TargetTrouble::NoSnapshot { .. }), "{name}");
    }
}

#[test]
fn incomplete_and_damaged_images_are_told_apart() {
    let (directory, target) = target();
    let manifest = deploy(directory.path(), &target, "app:1", 1, None);
    let scratch = directory.path().join("scratch");
    fs::write(&scratch, "other bytes").unwrap();
    assert!(target.put_blob(Digest([5; 32]), &scratch).is_err());
    assert!(!target.blob_path(&Digest([5; 32])).exists());
    fs::remove_file(target.blob_path(&manifest)).unwrap();
    assert!(target.held(64).unwrap().is_empty());
    let error = target.image("app:1").unwrap_err();
    assert!(matches!(error.trouble(), TargetTrouble::Incomplete { .. }), "{error}");
    fs::write(target.record_path("app:1"), "name app:1\n").unwrap();
    assert!(matches!(target.list().unwrap_err().trouble(), TargetTrouble::Damaged { .. }));
    target.remove("app:1").unwrap();
    assert!(target.list().unwrap().is_empty());
}

#[test]
fn names_can_not_forge_records() {
    let (_directory, target) = target();
    let record = ImageRecord {
        name: "a\ntarget x".to_owned(),
        target: Digest([1; 32]),
        size: 1,
        media_type: "m".to_owned(),
        manifest: Digest([1; 32]),
        chain_id: Digest([1; 32]),
    };
    assert!(target.put_image(&record).is_err());
    assert!(target.list().unwrap().is_empty());
}
