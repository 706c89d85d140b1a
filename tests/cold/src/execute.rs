//! Ways to execute and to map code.

use super::{Case, Ground, Needs, case, output, run};
use rustix::fs::{CWD, Mode, OFlags, openat};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

pub const CASES: &[Case] = &[
    case("execve", execve),
    case("a script whose interpreter is cold, too", interpreter),
    case("execve of an O_PATH descriptor", fexecve),
    case("a library that ld.so maps", library).needs(Needs::Compiled),
];

fn execve(it: &Ground) {
    assert_eq!(run(it.path("bin/hello"), &[]), b"hello\n");
}

fn interpreter(it: &Ground) {
    let found = run("chroot", &[it.merged.to_str().unwrap(), "/bin/script"]);
    assert_eq!(found, b"hello\n");
}

fn fexecve(it: &Ground) {
    // Without O_CLOEXEC, so that the child has it, too.
    let file = openat(CWD, it.path("bin/hello"), OFlags::PATH, Mode::empty()).unwrap();
    assert!(it.is_cold("bin/hello"), "O_PATH opens nothing");
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let found = Command::new(path).arg0("hello").output().unwrap();
    assert_eq!(found.stdout, b"hello\n");
}

fn library(it: &Ground) {
    let lib = it.path("lib");
    let environment = [("LD_LIBRARY_PATH", lib.to_str().unwrap())];
    let found = output(&it.path("bin/uses_magic"), &[], &environment);
    assert_eq!(String::from_utf8_lossy(&found.stdout), "magic 42\n", "{found:?}");
}
