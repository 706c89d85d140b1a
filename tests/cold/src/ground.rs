//! The trees that cases work on.

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};

/// Seconds since 1970 of all files.
pub const MTIME: i64 = 1_600_000_000;

/// What the layer below has: names and bytes; names that end with `/` are directories.
pub const BASE: [(&str, &str); 6] = [
    ("op/", ""),
    ("wd/", ""),
    ("f", "the base's"),
    ("op/below", "hidden by an opaque directory"),
    ("wd/gone", "hidden by a whiteout"),
    ("wd/kept", "kept"),
];

/// The programs that a tree has.
#[derive(Debug, Clone)]
pub struct Programs {
    /// A static one that prints `hello` if it is called `hello` or `interpreter`.
    pub hello: Vec<u8>,
    /// A static busybox, for those cases that need one.
    pub busybox: Option<Vec<u8>>,
    /// A program, and the library that it needs, which makes it print `magic 42`.
    pub library: Option<[Vec<u8>; 2]>,
}

/// A file of the layer.
#[derive(Debug, Clone)]
pub struct File {
    /// Its path.
    pub name: &'static str,
    /// Its mode.
    pub mode: u16,
    /// What it is.
    pub kind: Kind,
}

/// What a file of the layer is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// It has these bytes.
    Bytes(Vec<u8>),
    /// It is another name of this file.
    Hardlink(&'static str),
    /// It is a symbolic link to this one.
    Symlink(&'static str),
    /// It is a directory.
    Directory,
}

/// Bytes that can't be compressed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(length);
    bytes
}

/// The bytes of a file that is no program.
fn bytes(seed: u64, name: &str) -> Vec<u8> {
    // Names beyond the numbers of cases.
    let noise = |number: u64, length| noise(seed * 16 + number, length);
    match name {
        "f" | "sym" => noise(1, 300_000),
        "d/a" => noise(2, 70_000),
        "d/sub/b" => noise(3, 5_000),
        "d/sub/c" => noise(4, 123_457),
        "hl1" | "hl2" => noise(5, 90_000),
        "op/old" => noise(6, 5_000),
        "small" => format!("hello world {seed}\n").into_bytes(),
        _ => panic!("no file {name}"),
    }
}

/// The layer of the tree with this seed: in the whole image, what of the base is not named here is gone.
pub fn files(seed: u64, programs: &Programs) -> Vec<File> {
    let file = |name, mode, kind| File { name, mode, kind };
    let mut files: Vec<File> = ["bin/", "d/", "d/sub/", "lib/", "op/", "wd/"]
        .into_iter()
        .map(|name| file(name, 0o755, Kind::Directory))
        .collect();
    for name in ["f", "d/a", "d/sub/b", "d/sub/c", "hl1", "op/old", "small"] {
        files.push(file(name, 0o644, Kind::Bytes(bytes(seed, name))));
    }
    // Loaders don't look behind the end of a program.
    let mut own = |name, bytes: &[u8]| {
        let bytes = [bytes, &seed.to_le_bytes()].concat();
        files.push(file(name, 0o755, Kind::Bytes(bytes)));
    };
    own("bin/hello", &programs.hello);
    own("bin/interpreter", &[&*programs.hello, b"2"].concat());
    if let Some(busybox) = &programs.busybox {
        own("bin/busybox", busybox);
    }
    if let Some([program, library]) = &programs.library {
        own("bin/uses_magic", program);
        own("lib/libmagic.so", library);
    }
    let script = format!("#!/bin/interpreter\n{seed}\n").into_bytes();
    files.push(file("bin/script", 0o755, Kind::Bytes(script)));
    files.push(file("empty", 0o644, Kind::Bytes(Vec::new())));
    files.push(file("wd/kept", 0o644, Kind::Bytes(b"kept".to_vec())));
    files.push(file("hl2", 0o644, Kind::Hardlink("hl1")));
    files.push(file("sym", 0o777, Kind::Symlink("f")));
    files
}

/// What a case works on.
#[derive(Debug)]
pub struct Ground {
    /// The layers' stack, with an upper layer of its own.
    pub merged: PathBuf,
    /// The upper layer.
    pub upper: PathBuf,
    /// The cold layer itself.
    pub layer: PathBuf,
    /// A directory that is nobody else's.
    pub scratch: PathBuf,
    /// The tree's seed.
    pub seed: u64,
    /// Where the programs are that are compiled from C; empty if they are in `PATH`.
    pub compiled: PathBuf,
}

impl Ground {
    /// Mounts a tree of a layer, which lies above that of a base.
    pub fn mount(layer: &Path, base: &Path, scratch: &Path, seed: u64) -> Self {
        let at = |name: &str| {
            let path = scratch.join(name);
            fs::create_dir_all(&path).unwrap();
            path
        };
        let (upper, work, merged) = (at("upper"), at("work"), at("merged"));
        let lower = format!("{}:{}", layer.display(), base.display());
        overlay(&lower, &upper, &work, &merged);
        let (layer, scratch) = (layer.to_owned(), scratch.to_owned());
        Self { merged, upper, layer, scratch, seed, compiled: PathBuf::new() }
    }

    /// Unmounts it.
    pub fn unmount(&self) {
        let _ = unmount(&self.merged, UnmountFlags::DETACH);
    }

    /// A path in the merged tree.
    pub fn path(&self, name: &str) -> PathBuf {
        self.merged.join(name)
    }

    /// Reads a file of the merged tree.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Whether a file of the layer is cold: nothing is written to it.
    pub fn is_cold(&self, name: &str) -> bool {
        use std::os::unix::fs::MetadataExt;
        fs::symlink_metadata(self.layer.join(name)).unwrap().blocks() == 0
    }

    /// The bytes that a file has.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        bytes(self.seed, name)
    }

    /// A new directory in the scratch one.
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.scratch.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Fails unless these are the file's bytes; says whether they are zeros.
    #[track_caller]
    pub fn same(&self, found: &[u8], name: &str) {
        let expected = self.bytes(name);
        let zeros = found.iter().filter(|&&byte| byte == 0).count();
        let (length, right) = (found.len(), expected.len());
        assert!(found == expected, "{name}: {length} bytes, {zeros} of them zero, of {right}");
    }

    /// Fails unless the merged tree has the file's bytes.
    #[track_caller]
    pub fn has(&self, name: &str) {
        self.same(&self.read(name), name);
    }
}

/// Mounts an overlay as containerd does.
pub fn overlay(lower: &str, upper: &Path, work: &Path, merged: &Path) {
    let (upper, work) = (upper.display(), work.display());
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work},index=off");
    let options = CString::new(options).unwrap();
    mount("overlay", merged, "overlay", MountFlags::empty(), Some(options.as_c_str())).unwrap();
}
