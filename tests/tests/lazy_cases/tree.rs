//! What entrypoints of images do with whole trees.

use super::{Case, FILES, bytes, run, same};
use skiff_tests::startable::Startable;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

pub const CASES: &[Case] = &[
    ("cp -a of the whole tree", copy),
    ("cp -a within the tree", copy_within),
    ("chown -R", chown),
    ("chmod -R, then cp -a", chmod_and_copy),
    ("mv of a directory", move_directory),
    ("a file of a directory that was moved", file_of_moved),
];

fn all_same(root: &Path) {
    for name in FILES {
        same(&fs::read(root.join(name)).unwrap(), name);
    }
}

fn copy(it: &Startable) {
    let to = it.sandbox.path().join("copy");
    let from = format!("{}/.", it.merged.display());
    run("/bin/cp", &["-a", &from, to.to_str().unwrap()]);
    all_same(&to);
}

fn copy_within(it: &Startable) {
    let (from, to) = (it.path("d"), it.path("d2"));
    run("/bin/cp", &["-a", from.to_str().unwrap(), to.to_str().unwrap()]);
    same(&it.read("d2/sub/c"), "d/sub/c");
}

fn chown(it: &Startable) {
    run("/bin/chown", &["-R", "33:33", it.merged.to_str().unwrap()]);
    all_same(&it.merged);
    assert_eq!(fs::metadata(it.path("d/sub/b")).unwrap().uid(), 33);
}

fn chmod_and_copy(it: &Startable) {
    run("/bin/chmod", &["-R", "u+rwX,g+w", it.merged.to_str().unwrap()]);
    copy(it);
}

fn move_directory(it: &Startable) {
    // Without redirect_dir overlayfs says EXDEV, and mv copies.
    run("/bin/mv", &[it.path("d").to_str().unwrap(), it.path("moved").to_str().unwrap()]);
    same(&it.read("moved/sub/c"), "d/sub/c");
}

fn file_of_moved(it: &Startable) {
    run("/bin/mv", &[it.path("d").to_str().unwrap(), it.path("moved").to_str().unwrap()]);
    fs::set_permissions(it.path("moved/a"), Permissions::from_mode(0o600)).unwrap();
    fs::rename(it.path("moved/a"), it.path("elsewhere")).unwrap();
    assert!(it.read("elsewhere") == bytes("d/a"));
}
