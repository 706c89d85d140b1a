//! The trees of [`skiff_cold`] as entries of images, and programs that give who runs them more than he has.

use crate::tarball::Entry;
use skiff_cold::{BASE, File, Kind, MTIME, Programs, files, noise};

/// `CAP_DAC_OVERRIDE` and `CAP_DAC_READ_SEARCH`, permitted and effective: a `struct vfs_cap_data` of revision 2.
pub const CAPABILITIES: &[u8] =
    b"\x01\x00\x00\x02\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";

/// The programs of [`privileged`], and with what `skiff-cold as-user` makes each begin its line.
pub const PRIVILEGED: [(&str, &str); 2] =
    [("setuid/euid", "0 "), ("capable/euid", "1000 0000000000000006")];

/// `skiff-cold` with the rights of its owner, and with [`CAPABILITIES`]; each has so many bytes behind it.
pub fn privileged(prefix: &str, program: &[u8], behind: usize) -> Vec<Entry> {
    let file = |name: &str, seed| {
        Entry::file(place(prefix, name), [program, &*noise(seed, behind)].concat())
    };
    let directory = |name| Entry::directory(place(prefix, name));
    let [(setuid, _), (capable, _)] = PRIVILEGED;
    vec![
        directory("setuid/"),
        file(setuid, 7_001).mode(0o4755),
        directory("capable/"),
        file(capable, 7_002).mode(0o755).xattr("security.capability", CAPABILITIES),
    ]
}

/// Where a tree stands in its image: nowhere else, or in the directory of its number.
fn place(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
}

fn root(prefix: &str) -> Option<Entry> {
    (!prefix.is_empty()).then(|| Entry::directory(format!("{prefix}/")))
}

/// What lies below the tree.
pub fn base(prefix: &str) -> Vec<Entry> {
    let entry = |(name, text): (&str, &str)| match name.ends_with('/') {
        true => Entry::directory(place(prefix, name)),
        false => Entry::file(place(prefix, name), text).mtime(MTIME, 0),
    };
    root(prefix).into_iter().chain(BASE.into_iter().map(entry)).collect()
}

/// The tree with this seed.
pub fn tree(prefix: &str, seed: u64, programs: &Programs) -> Vec<Entry> {
    let entry = |File { name, mode, kind }| {
        let path = place(prefix, name);
        match kind {
            Kind::Bytes(bytes) => Entry::file(path, bytes).mode(mode.into()).mtime(MTIME, 0),
            Kind::Hardlink(to) => Entry::hardlink(path, place(prefix, to)).mtime(MTIME, 0),
            Kind::Symlink(to) => Entry::symlink(path, to),
            Kind::Directory => Entry::directory(path),
        }
    };
    root(prefix).into_iter().chain(files(seed, programs).into_iter().map(entry)).collect()
}
