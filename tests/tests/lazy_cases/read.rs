//! Ways to read.

use super::{Case, MTIME, bytes, output, programs, run, same};
use rustix::fs::{CWD, Mode, OFlags, copy_file_range, openat, sendfile};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::pipe::{SpliceFlags, pipe, splice};
use skiff_tests::startable::{Startable, overlay};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::process::{Command, Stdio};

pub const CASES: &[Case] = &[
    ("stat tells the final metadata, and fetches nothing", stat),
    ("open and read", open),
    ("a symbolic link", symlink),
    ("a hard link of the layer", hardlink),
    ("whiteout and opaque directory", whiteout_and_opaque),
    ("mmap", mmap),
    ("O_PATH, then again through /proc", o_path),
    ("sendfile", sendfile_),
    ("splice", splice_),
    ("copy_file_range", copy_range),
    ("io_uring", uring),
    ("io_uring, on a worker thread", uring_async),
    ("another overlay on top", nested),
    ("a file that is bind-mounted", bind),
    ("in another mount namespace, after pivot_root", pivot),
    ("a FIFO beside it", fifo),
    ("O_NONBLOCK fails and never gives zeros", nonblock),
    ("32 at once", many),
    ("directly in the snapshot's directory", host),
];

fn stat(it: &Startable) {
    let meta = fs::metadata(it.path("f")).unwrap();
    assert_eq!((meta.len(), meta.mode() & 0o7777, meta.mtime()), (300_000, 0o644, MTIME));
    assert!(it.is_cold("f"));
}

fn open(it: &Startable) {
    same(&it.read("f"), "f");
    assert_eq!(fs::metadata(it.path("f")).unwrap().mtime(), MTIME);
    assert!(it.is_cold("d/sub/c"), "another file was fetched as well");
}

fn symlink(it: &Startable) {
    same(&it.read("sym"), "sym");
}

fn hardlink(it: &Startable) {
    same(&it.read("hl2"), "hl2");
    same(&it.read("hl1"), "hl1");
    assert_eq!(fs::metadata(it.layer.join("hl1")).unwrap().nlink(), 2);
}

fn whiteout_and_opaque(it: &Startable) {
    assert!(!it.path("wd/gone").exists());
    assert_eq!(it.read("wd/kept"), b"kept");
    assert!(!it.path("op/below").exists());
    same(&it.read("op/old"), "op/old");
    assert!(whiteout(&it.layer.join("wd/gone")));
}

fn whiteout(path: &std::path::Path) -> bool {
    let meta = fs::symlink_metadata(path).unwrap();
    meta.file_type().is_char_device() && meta.rdev() == 0
}

fn mmap(it: &Startable) {
    let program = "import mmap, sys\nf = open(sys.argv[1], 'rb')\n\
                   m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)\nsys.stdout.buffer.write(m[:])";
    let found = run("/usr/bin/python3", &["-c", program, it.path("f").to_str().unwrap()]);
    same(&found, "f");
}

fn o_path(it: &Startable) {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let fd = openat(CWD, it.path("f"), flags, Mode::empty()).unwrap();
    assert!(it.is_cold("f"), "O_PATH opens nothing");
    same(&fs::read(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap(), "f");
}

fn sendfile_(it: &Startable) {
    let from = File::open(it.path("f")).unwrap();
    let to = File::create(it.sandbox.path().join("out")).unwrap();
    while sendfile(&to, &from, None, 1 << 20).unwrap() > 0 {}
    same(&fs::read(it.sandbox.path().join("out")).unwrap(), "f");
}

fn splice_(it: &Startable) {
    let from = File::open(it.path("f")).unwrap();
    let to = File::create(it.sandbox.path().join("out")).unwrap();
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
    same(&fs::read(it.sandbox.path().join("out")).unwrap(), "f");
}

fn copy_range(it: &Startable) {
    let from = File::open(it.path("f")).unwrap();
    let to = File::create_new(it.path("out")).unwrap();
    while copy_file_range(&from, None, &to, None, 1 << 20).unwrap() > 0 {}
    same(&it.read("out"), "f");
}

fn uring(it: &Startable) {
    same(&run(programs().join("uring"), &[it.path("f").to_str().unwrap()]), "f");
}

fn uring_async(it: &Startable) {
    same(&run(programs().join("uring"), &[it.path("f").to_str().unwrap(), "async"]), "f");
}

fn nested(it: &Startable) {
    let at = |name| it.sandbox.directory(name);
    let (upper, work, merged) = (at("upper"), at("work"), at("nested"));
    overlay(it.merged.to_str().unwrap(), &upper, &work, &merged);
    let found = fs::read(merged.join("f"));
    unmount(&merged, UnmountFlags::DETACH).unwrap();
    same(&found.unwrap(), "f");
}

fn bind(it: &Startable) {
    let place = it.sandbox.path().join("bound");
    File::create(&place).unwrap();
    mount_bind(it.path("f"), &place).unwrap();
    let found = fs::read(&place);
    unmount(&place, UnmountFlags::DETACH).unwrap();
    same(&found.unwrap(), "f");
}

fn pivot(it: &Startable) {
    let root = it.merged.display();
    let script = format!(
        "mount --bind {root} {root} && cd {root} && mkdir -p before && pivot_root . before && \
         exec /bin/busybox cat /f"
    );
    same(&run("/usr/bin/unshare", &["-m", "sh", "-c", &script]), "f");
}

fn fifo(it: &Startable) {
    let path = it.path("fifo");
    run("/usr/bin/mkfifo", &[path.to_str().unwrap()]);
    let script = format!("echo hi > {0} & cat {0}", path.display());
    assert_eq!(run("/bin/sh", &["-c", &script]), b"hi\n");
    same(&it.read("small"), "small");
}

fn nonblock(it: &Startable) {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let opened = openat(CWD, it.path("f"), flags, Mode::empty());
    assert_eq!(opened.err(), Some(Errno::AGAIN));
    // It starts the fetch, so it succeeds soon, whoever tries.
    let there = || openat(CWD, it.path("f"), flags, Mode::empty()).is_ok();
    assert!(skiff_tests::harness::wait_for(std::time::Duration::from_secs(10), there));
    same(&it.read("f"), "f");
}

fn many(it: &Startable) {
    let path = it.path("f");
    let start = |_| {
        let mut command = Command::new("timeout");
        command.args(["10", "cat"]).arg(&path).stdout(Stdio::piped()).spawn().unwrap()
    };
    let readers: Vec<_> = (0..32).map(start).collect();
    for reader in readers {
        same(&reader.wait_with_output().unwrap().stdout, "f");
    }
}

fn host(it: &Startable) {
    let found = output("/bin/cat".as_ref(), &[it.layer.join("d/a").to_str().unwrap()], &[]);
    assert_eq!(found.stdout, bytes("d/a"));
}
