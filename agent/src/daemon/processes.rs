//! Which processes, and of which containers: read from `/proc`.

use crate::cold::Inode;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

/// Who waits for a lease wakes at each tick of the kernel's clock, for a moment, and is then seen nowhere: so often it is
/// looked at until somebody is found, with these pauses.
const LOOKS: usize = 5;
const PAUSE: Duration = Duration::from_millis(3);

/// The processes that wait for a lease to be given up, as people can read them.
pub fn waiting() -> Vec<String> {
    let mut found = wait_now();
    for _ in 1..LOOKS {
        if !found.is_empty() {
            break;
        }
        std::thread::sleep(PAUSE);
        found = wait_now();
    }
    found
}

fn wait_now() -> Vec<String> {
    let waits = |process: &Path| {
        fs::read_to_string(process.join("wchan")).is_ok_and(|place| place == "__break_lease")
    };
    // Each thread waits for itself.
    let any = |process: &Path| {
        let threads = fs::read_dir(process.join("task")).into_iter().flatten().flatten();
        threads.into_iter().any(|thread| waits(&thread.path()))
    };
    processes().into_iter().filter(|process| any(process)).map(|it| describe(&it)).collect()
}

/// The processes that have a file open, or mapped, by the files' inodes. Through overlayfs a file has another
/// device but the same number, so there can be a process too many among them, but none is missing that runs.
pub fn that_have_open(inodes: &[Inode]) -> BTreeMap<u64, Vec<String>> {
    let mut found: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for process in processes() {
        let mut has: Vec<u64> = Vec::new();
        for file in fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
            has.extend(fs::metadata(file.path()).map(|meta| meta.ino()));
        }
        let maps = fs::read_to_string(process.join("maps")).unwrap_or_default();
        // address perms offset device inode path
        let inode = |line: &str| line.split_whitespace().nth(4)?.parse::<u64>().ok();
        has.extend(maps.lines().filter_map(inode));
        let own = process.ends_with(std::process::id().to_string());
        for inode in inodes.iter().filter(|inode| !own && has.contains(&inode.number)) {
            found.entry(inode.number).or_default().push(describe(&process));
        }
    }
    found
}

fn processes() -> Vec<std::path::PathBuf> {
    let is_process = |path: &std::path::PathBuf| {
        path.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit))
    };
    let listing = fs::read_dir("/proc").into_iter().flatten().flatten();
    listing.map(|entry| entry.path()).filter(is_process).collect()
}

/// Name, number, and the last part of the cgroup, which for a container is its ID.
fn describe(process: &Path) -> String {
    let read = |name| fs::read_to_string(process.join(name)).unwrap_or_default();
    let number = process.file_name().unwrap_or_default().to_string_lossy();
    let cgroups = read("cgroup");
    let group = cgroups.lines().last().and_then(|line| line.rsplit('/').next()).unwrap_or_default();
    let name = read("comm").trim().to_owned();
    if group.is_empty() {
        return format!("{name} (process {number})");
    }
    format!("{name} (process {number} of {group})")
}
