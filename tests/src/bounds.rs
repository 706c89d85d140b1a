//! What a transfer is measured against.

use crate::compare::Tree;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Size of `gzip -9` over the contents that none of the trees in `old` has, each once, in path order; tree
/// after tree, each with the directory where it is mounted.
pub fn gzip_of_new(old: &[&Tree], new: &[(&Path, &Tree)]) -> u64 {
    let nodes = old.iter().flat_map(|tree| tree.nodes.values());
    let mut seen: HashSet<_> = nodes.filter_map(|node| node.content).collect();
    let mut gzip = Command::new("gzip")
        .arg("-9")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, mut output) = (gzip.stdin.take().unwrap(), gzip.stdout.take().unwrap());
    let counter = std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    for (root, tree) in new {
        for (path, node) in &tree.nodes {
            if node.content.is_some_and(|content| seen.insert(content)) {
                let mut file = File::open(root.join(OsStr::from_bytes(path))).unwrap();
                std::io::copy(&mut file, &mut input).unwrap();
            }
        }
    }
    drop(input);
    let length = counter.join().unwrap().unwrap();
    assert!(gzip.wait().unwrap().success());
    length
}
