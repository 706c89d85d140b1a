//! GNU tar writes a directory in each of its formats; the tree must be what `lstat` says.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use skiff_accelerator::layer::{merge, read_layer};
use skiff_accelerator::tree::{FileKind, Tree};
use std::collections::HashMap;
use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

fn make(root: &Path, long_names: bool) {
    fs::create_dir_all(root.join("dir/sub")).unwrap();
    fs::write(root.join("dir/empty"), "").unwrap();
    fs::write(root.join("dir/file"), vec![b'x'; 200_001]).unwrap();
    fs::set_permissions(root.join("dir/file"), Permissions::from_mode(0o4751)).unwrap();
    fs::hard_link(root.join("dir/file"), root.join("dir/sub/link")).unwrap();
    symlink("../dir/none", root.join("symlink")).unwrap();
    assert!(Command::new("mkfifo").arg(root.join("fifo")).status().unwrap().success());
    // 40 runs of data, so that the old GNU format needs extension blocks; a hole at the end.
    let sparse = File::create(root.join("sparse")).unwrap();
    for i in 0..40u64 {
        sparse.write_all_at(format!("run {i}").as_bytes(), i * 100_000 + 7).unwrap();
    }
    sparse.set_len(8 << 20).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_500_000_000, 123_456_789);
    sparse.set_times(FileTimes::new().set_modified(time)).unwrap();
    if long_names {
        let deep = format!("{0}/{0}/{0}", "long".repeat(40));
        fs::create_dir_all(root.join(&deep)).unwrap();
        fs::write(root.join(&deep).join("f"), "deep").unwrap();
        symlink("t".repeat(200), root.join(&deep).join("s")).unwrap();
    }
}

/// Compares a tree with a directory; times below the second only where the format has them.
fn compare(tree: &Tree, tar: &[u8], root: &Path, nanos: bool) {
    let mut inodes: HashMap<u64, u64> = HashMap::new();
    let mut seen = 0;
    let mut todo = vec![root.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes();
            let node = tree.nodes.get(name).unwrap_or_else(|| panic!("{path:?} is missing"));
            let stat = fs::symlink_metadata(&path).unwrap();
            seen += 1;
            let (mode, meta) = (stat.mode() & 0o7777, &node.meta);
            assert_eq!(u32::from(meta.mode), mode, "{path:?}");
            assert_eq!((meta.uid, meta.gid), (stat.uid(), stat.gid()), "{path:?}");
            assert_eq!(meta.mtime, stat.mtime(), "{path:?}");
            let expected = if nanos { stat.mtime_nsec() } else { 0 };
            assert_eq!(i64::from(meta.mtime_nanos), expected, "{path:?}");
            assert_eq!(*inodes.entry(stat.ino()).or_insert(node.inode), node.inode, "{path:?}");
            match &node.kind {
                FileKind::Directory => {
                    assert!(stat.is_dir(), "{path:?}");
                    todo.push(path);
                }
                FileKind::Symlink(target) => {
                    assert_eq!(target, fs::read_link(&path).unwrap().as_os_str().as_bytes());
                }
                FileKind::File(content) => {
                    let bytes = fs::read(&path).unwrap();
                    let mut rebuilt = vec![0; usize::try_from(content.size).unwrap()];
                    for extent in &content.extents {
                        let [to, from, len] = [extent.offset, extent.tar_offset, extent.len]
                            .map(|n| usize::try_from(n).unwrap());
                        rebuilt[to..to + len].copy_from_slice(&tar[from..from + len]);
                    }
                    assert!(rebuilt == bytes, "{path:?} has other bytes");
                }
                other => assert_eq!(*other, FileKind::Fifo, "{path:?}"),
            }
        }
    }
    assert_eq!(tree.nodes.len(), seen, "the tree holds more than the directory");
}

#[test]
fn all_formats() {
    let rows: [(&str, &[&str], bool, bool); 7] = [
        ("gnu", &["--format=gnu"], true, false),
        ("gnu, sparse", &["--format=gnu", "--sparse"], true, false),
        ("posix", &["--format=posix"], true, true),
        ("posix, sparse 0.0", &["--format=posix", "--sparse-version=0.0"], true, true),
        ("posix, sparse 0.1", &["--format=posix", "--sparse-version=0.1"], true, true),
        ("posix, sparse 1.0", &["--format=posix", "--sparse-version=1.0"], true, true),
        ("ustar", &["--format=ustar"], false, false),
    ];
    for (name, options, long_names, nanos) in rows {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("root");
        make(&root, long_names);
        let tar = Command::new("tar")
            .args(options)
            .args(["--numeric-owner", "-C"])
            .arg(&root)
            .args(["-cf", "-", "."])
            .output()
            .unwrap();
        assert!(tar.status.success(), "{name}: {}", String::from_utf8_lossy(&tar.stderr));
        let mut sink = Vec::new();
        let read = read_layer(tar.stdout.as_slice(), &mut sink)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(sink == tar.stdout, "{name}: the sink got other bytes");
        assert_eq!(read.uncompressed_len, tar.stdout.len() as u64, "{name}");
        let tree = merge([read.applied]);
        assert_eq!(Tree::decode(&tree.encode()).unwrap(), tree, "{name}");
        compare(&tree, &tar.stdout, &root, nanos);
        let sparse = match &tree.nodes[&b"sparse"[..]].kind {
            FileKind::File(content) => content.extents.len() > 10,
            other => panic!("{other:?}"),
        };
        assert_eq!(sparse, name.contains("sparse"), "{name}");
    }
}
