//! A root layer must show what overlayfs shows of the stack. As root, since whiteouts are devices.

use super::*;
use crate::apply::{ApplyTrouble, open_directory};
use rustix::fs::{CWD, XattrFlags, lgetxattr, llistxattr, lsetxattr};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::PathBuf;

/// Layers that are being made, lowest first.
struct Layers {
    directory: tempfile::TempDir,
    count: usize,
}

impl Layers {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), count: 0 }
    }

    fn path(&self, number: usize) -> PathBuf {
        self.directory.path().join(number.to_string())
    }

    /// The next layer's directory.
    fn next(&mut self) -> PathBuf {
        let path = self.path(self.count);
        self.count += 1;
        fs::create_dir(&path).unwrap();
        path
    }

    /// Gives what overlayfs shows, and what the root layer has.
    fn both(&self) -> (Tree, Tree) {
        let names: Vec<_> = (0..self.count).rev().map(|n| self.path(n)).collect();
        let merged = self.directory.path().join("merged");
        fs::create_dir(&merged).unwrap();
        let lower: Vec<_> = names.iter().map(|name| name.to_str().unwrap()).collect();
        let options = CString::new(format!("lowerdir={}", lower.join(":"))).unwrap();
        mount("overlay", &merged, "overlay", MountFlags::RDONLY, Some(options.as_c_str())).unwrap();
        let shown = tree(&merged);
        unmount(&merged, UnmountFlags::empty()).unwrap();

        let root = self.directory.path().join("root");
        fs::create_dir(&root).unwrap();
        let open = |path: &PathBuf| Beneath::new(open_directory(path).unwrap());
        let stack: Vec<_> = names.iter().map(open).collect();
        reroot(&stack, &mut open(&root), self.directory.path()).unwrap();
        (shown, tree(&root))
    }
}

/// What can be seen of a name, link counts aside; hard links as the first path with the inode.
type Tree = BTreeMap<Vec<u8>, String>;

fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut inodes = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(path) = todo.pop() {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().as_bytes().to_vec();
        // overlayfs lists a whiteout in a directory that only one layer has, and then has no such name.
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        let what = if meta.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            String::new()
        } else if meta.is_symlink() {
            fs::read_link(&path).unwrap().display().to_string()
        } else if meta.is_file() {
            let first = inodes.entry(meta.ino()).or_insert_with(|| name.clone());
            let text = fs::read(&path).unwrap();
            format!("{} like {}", text.escape_ascii(), first.escape_ascii())
        } else {
            format!("device {:x}", meta.rdev())
        };
        let about = format!(
            "{:o} {}:{} {}.{} {what} {:?}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.mtime(),
            meta.mtime_nsec(),
            attributes(&path)
        );
        tree.insert(name, about);
    }
    tree
}

fn attributes(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0; 4096];
    let len = llistxattr(path, &mut names[..]).unwrap();
    let mut found = Vec::new();
    for name in names[..len].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 4096];
        let len = lgetxattr(path, name, &mut value[..]).unwrap();
        value.truncate(len);
        found.push((String::from_utf8(name.to_vec()).unwrap(), value));
    }
    found.sort();
    found
}

fn whiteout(path: &Path) {
    mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), makedev(0, 0)).unwrap();
}

fn opaque(path: &Path) {
    lsetxattr(path, "trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
}

#[test]
fn all_kinds_with_all_their_metadata() {
    let mut layers = Layers::new();
    let low = layers.next();
    for name in ["kept/deep", "gone", "opaque/old", "file-then-dir", "dir-then-file/x"] {
        fs::create_dir_all(low.join(name)).unwrap();
    }
    fs::write(low.join("kept/old"), "old").unwrap();
    fs::write(low.join("kept/both"), "lower").unwrap();
    fs::write(low.join("opaque/old/file"), "hidden").unwrap();
    fs::write(low.join("kept/first"), "linked").unwrap();
    fs::hard_link(low.join("kept/first"), low.join("kept/deep/second")).unwrap();
    fs::write(low.join("deleted"), "").unwrap();
    symlink("kept/old", low.join("link")).unwrap();
    lchown(low.join("link"), Some(7), Some(8)).unwrap();
    mknodat(CWD, low.join("null"), FileType::CharacterDevice, Mode::RUSR, makedev(1, 3)).unwrap();
    mknodat(CWD, low.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    fs::set_permissions(low.join("kept/old"), Permissions::from_mode(0o4711)).unwrap();

    let middle = layers.next();
    chown(&middle, Some(3), Some(4)).unwrap();
    fs::create_dir_all(middle.join("opaque")).unwrap();
    fs::create_dir_all(middle.join("kept")).unwrap();
    opaque(&middle.join("opaque"));
    fs::write(middle.join("opaque/new"), "new").unwrap();
    whiteout(&middle.join("gone"));
    whiteout(&middle.join("deleted"));
    fs::write(middle.join("kept/both"), "upper").unwrap();
    fs::write(middle.join("dir-then-file"), "file").unwrap();
    whiteout(&middle.join("file-then-dir"));

    let top = layers.next();
    chown(&top, Some(3), Some(4)).unwrap();
    fs::create_dir_all(top.join("kept/deep")).unwrap();
    whiteout(&top.join("kept/deep/second"));
    fs::create_dir_all(top.join("gone/again")).unwrap();
    fs::create_dir_all(top.join("file-then-dir")).unwrap();
    let kept = top.join("kept");
    chown(&kept, Some(1), Some(2)).unwrap();
    fs::set_permissions(&kept, Permissions::from_mode(0o2751)).unwrap();
    for name in ["user.note", "trusted.note"] {
        lsetxattr(&kept, name, b"value", XattrFlags::empty()).unwrap();
    }
    // An access list for all that is made below: none of it may apply here.
    let list = [
        &2u32.to_le_bytes()[..],
        &[1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 6, 0, 9, 0, 0, 0],
        &[4, 0, 5, 0, 255, 255, 255, 255, 16, 0, 7, 0, 255, 255, 255, 255],
        &[32, 0, 0, 0, 255, 255, 255, 255],
    ];
    lsetxattr(&kept, "system.posix_acl_default", &list.concat(), XattrFlags::empty()).unwrap();

    let (shown, made) = layers.both();
    assert_eq!(shown, made);
    let names: Vec<_> = made.keys().map(|name| std::str::from_utf8(name).unwrap()).collect();
    let expected = [
        "",
        "dir-then-file",
        "fifo",
        "file-then-dir",
        "gone",
        "gone/again",
        "kept",
        "kept/both",
        "kept/deep",
        "kept/first",
        "kept/old",
        "link",
        "null",
        "opaque",
        "opaque/new",
    ];
    assert_eq!(names, expected);
    assert!(!made.values().any(|about| about.contains("trusted.overlay")));
}

/// Layers without a plan: what overlayfs shows of them is right.
#[test]
fn random_stacks() {
    for seed in 1..60u64 {
        let mut layers = Layers::new();
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let depth = 2 + random(5);
        for number in 0..depth {
            let layer = layers.next();
            let mut directories = vec![layer];
            while let Some(directory) = directories.pop() {
                for name in ["a", "b", "c"] {
                    let path = directory.join(name);
                    match random(7) {
                        0 | 1 if path.as_os_str().len() < 60 => {
                            fs::create_dir(&path).unwrap();
                            if random(4) == 0 {
                                opaque(&path);
                            }
                            directories.push(path);
                        }
                        2 => fs::write(&path, format!("{number}")).unwrap(),
                        3 => whiteout(&path),
                        4 => symlink(number.to_string(), &path).unwrap(),
                        _ => {}
                    }
                }
            }
        }
        let (shown, made) = layers.both();
        assert_eq!(shown, made, "seed {seed}");
    }
}

#[test]
fn what_stands_for_something_else_is_refused() {
    for (name, attribute) in [("d", "redirect"), ("d/file", "metacopy")] {
        let mut layers = Layers::new();
        let low = layers.next();
        fs::create_dir(low.join("d")).unwrap();
        fs::write(low.join("d/file"), "").unwrap();
        let attribute = format!("trusted.overlay.{attribute}");
        lsetxattr(low.join(name), &*attribute, b"x", XattrFlags::empty()).unwrap();
        let root = layers.directory.path().join("root");
        fs::create_dir(&root).unwrap();
        let open = |path: &PathBuf| Beneath::new(open_directory(path).unwrap());
        let stack = [open(&low)];
        let error = reroot(&stack, &mut open(&root), layers.directory.path()).unwrap_err();
        assert!(matches!(error.trouble(), ApplyTrouble::Unlinkable { .. }), "{error}");
    }
}

#[test]
fn deep_and_wide_trees_take_no_descriptors() {
    let mut layers = Layers::new();
    let low = layers.next();
    let deep = low.join("d/".repeat(1900));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "deep").unwrap();
    for number in 0..3000 {
        fs::create_dir(low.join(format!("directory-{number}"))).unwrap();
        whiteout(&low.join(format!("whiteout-{number}")));
    }
    let top = layers.next();
    fs::create_dir_all(top.join("d/d/d")).unwrap();
    let root = layers.directory.path().join("root");
    fs::create_dir(&root).unwrap();
    let open = |path: &PathBuf| Beneath::new(open_directory(path).unwrap());
    reroot(&[open(&top), open(&low)], &mut open(&root), layers.directory.path()).unwrap();
    assert_eq!(fs::read(root.join("d/".repeat(1900)).join("file")).unwrap(), b"deep");
    let names = fs::read_dir(&root).unwrap();
    assert_eq!(names.count(), 3001, "no whiteout is left");
}
