//! What entrypoints of images do with whole trees.

use super::{Case, Ground, case, run};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

pub const CASES: &[Case] = &[
    case("cp -a of the whole tree", copy),
    case("cp -a within the tree", copy_within),
    case("chown -R", chown),
    case("chmod -R, then cp -a", chmod_and_copy),
    case("mv of a directory", move_directory),
    case("a file of a directory that was moved", file_of_moved),
];

fn all_same(it: &Ground, root: &Path) {
    for name in ["f", "d/a", "d/sub/b", "d/sub/c", "hl1", "hl2", "small"] {
        it.same(&fs::read(root.join(name)).unwrap(), name);
    }
}

fn copy(it: &Ground) {
    let to = it.scratch.join("copy");
    let from = format!("{}/.", it.merged.display());
    run("cp", &["-a", &from, to.to_str().unwrap()]);
    all_same(it, &to);
}

fn copy_within(it: &Ground) {
    let (from, to) = (it.path("d"), it.path("d2"));
    run("cp", &["-a", from.to_str().unwrap(), to.to_str().unwrap()]);
    it.same(&it.read("d2/sub/c"), "d/sub/c");
}

fn chown(it: &Ground) {
    run("chown", &["-R", "33:33", it.merged.to_str().unwrap()]);
    all_same(it, &it.merged);
    assert_eq!(fs::metadata(it.path("d/sub/b")).unwrap().uid(), 33);
}

fn chmod_and_copy(it: &Ground) {
    run("chmod", &["-R", "u+rwX,g+w", it.merged.to_str().unwrap()]);
    copy(it);
}

fn move_directory(it: &Ground) {
    // Without redirect_dir overlayfs says EXDEV, and mv copies.
    run("mv", &[it.path("d").to_str().unwrap(), it.path("moved").to_str().unwrap()]);
    it.same(&it.read("moved/sub/c"), "d/sub/c");
}

fn file_of_moved(it: &Ground) {
    run("mv", &[it.path("d").to_str().unwrap(), it.path("moved").to_str().unwrap()]);
    fs::set_permissions(it.path("moved/a"), Permissions::from_mode(0o600)).unwrap();
    fs::rename(it.path("moved/a"), it.path("elsewhere")).unwrap();
    it.same(&it.read("elsewhere"), "d/a");
}
