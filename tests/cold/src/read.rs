//! Ways to read.

use super::{Case, Ground, MTIME, Needs, case, output, overlay, run};
use rustix::fs::{CWD, Mode, OFlags, copy_file_range, openat, sendfile};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::pipe::{SpliceFlags, pipe, splice};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub const CASES: &[Case] = &[
    case("stat tells the final metadata, and fetches nothing", stat),
    case("open and read", open),
    case("a symbolic link", symlink),
    case("a hard link of the layer", hardlink),
    case("whiteout and opaque directory", whiteout_and_opaque),
    case("mmap", mmap).needs(Needs::Compiled),
    case("O_PATH, then again through /proc", o_path),
    case("sendfile", sendfile_),
    case("splice", splice_),
    case("copy_file_range", copy_range),
    case("io_uring", uring).needs(Needs::Compiled),
    case("io_uring, on a worker thread", uring_async).needs(Needs::Compiled),
    case("another overlay on top", nested),
    case("a file that is bind-mounted", bind),
    case("in another mount namespace, after pivot_root", pivot).needs(Needs::Busybox),
    case("a FIFO beside it", fifo),
    case("O_NONBLOCK fails and never gives zeros", nonblock),
    case("32 at once", many),
    case("directly in the snapshot's directory", host),
];

fn stat(it: &Ground) {
    let meta = fs::metadata(it.path("f")).unwrap();
    assert_eq!((meta.len(), meta.mode() & 0o7777, meta.mtime()), (300_000, 0o644, MTIME));
    assert!(it.is_cold("f"));
}

fn open(it: &Ground) {
    it.has("f");
    assert_eq!(fs::metadata(it.path("f")).unwrap().mtime(), MTIME);
    assert!(it.is_cold("d/sub/c"), "another file was fetched as well");
}

fn symlink(it: &Ground) {
    it.has("sym");
}

fn hardlink(it: &Ground) {
    it.has("hl2");
    it.has("hl1");
    assert_eq!(fs::metadata(it.layer.join("hl1")).unwrap().nlink(), 2);
}

fn whiteout_and_opaque(it: &Ground) {
    assert!(!it.path("wd/gone").exists());
    assert_eq!(it.read("wd/kept"), b"kept");
    assert!(!it.path("op/below").exists());
    it.has("op/old");
    assert!(whiteout(&it.layer.join("wd/gone")));
}

fn whiteout(path: &std::path::Path) -> bool {
    let meta = fs::symlink_metadata(path).unwrap();
    meta.file_type().is_char_device() && meta.rdev() == 0
}

fn mmap(it: &Ground) {
    it.same(&run(it.compiled.join("mapped"), &[it.path("f").to_str().unwrap()]), "f");
}

fn o_path(it: &Ground) {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let fd = openat(CWD, it.path("f"), flags, Mode::empty()).unwrap();
    assert!(it.is_cold("f"), "O_PATH opens nothing");
    it.same(&fs::read(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap(), "f");
}

fn sendfile_(it: &Ground) {
    let from = File::open(it.path("f")).unwrap();
    let to = File::create(it.scratch.join("out")).unwrap();
    while sendfile(&to, &from, None, 1 << 20).unwrap() > 0 {}
    it.same(&fs::read(it.scratch.join("out")).unwrap(), "f");
}

fn splice_(it: &Ground) {
    let from = File::open(it.path("f")).unwrap();
    let to = File::create(it.scratch.join("out")).unwrap();
    let (read, write) = pipe().unwrap();
    loop {
        let mut moved = splice(&from, None, &write, None, 65_536, SpliceFlags::empty()).unwrap();
        if moved == 0 {
            break;
        }
        while moved > 0 {
            moved -= splice(&read, None, &to, None, moved, SpliceFlags::empty()).unwrap();
        }
    }
    it.same(&fs::read(it.scratch.join("out")).unwrap(), "f");
}

fn copy_range(it: &Ground) {
    let from = File::open(it.path("f")).unwrap();
    let to = File::create_new(it.path("out")).unwrap();
    while copy_file_range(&from, None, &to, None, 1 << 20).unwrap() > 0 {}
    it.same(&it.read("out"), "f");
}

fn uring(it: &Ground) {
    it.same(&run(it.compiled.join("uring"), &[it.path("f").to_str().unwrap()]), "f");
}

fn uring_async(it: &Ground) {
    it.same(&run(it.compiled.join("uring"), &[it.path("f").to_str().unwrap(), "async"]), "f");
}

fn nested(it: &Ground) {
    let at = |name| it.directory(name);
    let (upper, work, merged) = (at("upper"), at("work"), at("nested"));
    overlay(it.merged.to_str().unwrap(), &upper, &work, &merged);
    let found = fs::read(merged.join("f"));
    unmount(&merged, UnmountFlags::DETACH).unwrap();
    it.same(&found.unwrap(), "f");
}

fn bind(it: &Ground) {
    let place = it.scratch.join("bound");
    File::create(&place).unwrap();
    mount_bind(it.path("f"), &place).unwrap();
    let found = fs::read(&place);
    unmount(&place, UnmountFlags::DETACH).unwrap();
    it.same(&found.unwrap(), "f");
}

fn pivot(it: &Ground) {
    let root = it.merged.display();
    let script = format!(
        "mount --bind {root} {root} && cd {root} && mkdir -p before && pivot_root . before && \
         exec /bin/busybox cat /f"
    );
    it.same(&run("unshare", &["-m", "sh", "-c", &script]), "f");
}

fn fifo(it: &Ground) {
    let path = it.path("fifo");
    run("mkfifo", &[path.to_str().unwrap()]);
    let script = format!("echo hi > {0} & cat {0}", path.display());
    assert_eq!(run("sh", &["-c", &script]), b"hi\n");
    it.has("small");
}

fn nonblock(it: &Ground) {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let opened = openat(CWD, it.path("f"), flags, Mode::empty());
    assert_eq!(opened.err(), Some(Errno::AGAIN));
    // It starts the fetch, so it succeeds soon, whoever tries.
    let there = || openat(CWD, it.path("f"), flags, Mode::empty()).is_ok();
    let start = Instant::now();
    while !there() {
        assert!(start.elapsed() < Duration::from_secs(20), "it stays cold");
        std::thread::sleep(Duration::from_millis(20));
    }
    it.has("f");
}

fn many(it: &Ground) {
    let path = it.path("f");
    let start = |_| {
        let mut command = Command::new("timeout");
        command.args(["20", "cat"]).arg(&path).stdout(Stdio::piped()).spawn().unwrap()
    };
    let readers: Vec<_> = (0..32).map(start).collect();
    for reader in readers {
        it.same(&reader.wait_with_output().unwrap().stdout, "f");
    }
}

fn host(it: &Ground) {
    let found = output("cat".as_ref(), &[it.layer.join("d/a").to_str().unwrap()], &[]);
    it.same(&found.stdout, "d/a");
}
