//! Programs that are cold when they are executed.

use rustix::mount::{UnmountFlags, unmount};
use skiff_tests::cold::CAPABILITIES;
use skiff_tests::harness::alone;
use skiff_tests::startable::{IMAGE, Startable};
use skiff_tests::tarball::Entry;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

#[test]
fn privileges_are_there_when_a_program_runs() {
    let _alone = alone();
    let setuid = Entry::file("id", fs::read("/usr/bin/id").unwrap()).mode(0o4755);
    let capable = Entry::file("cat", fs::read("/bin/cat").unwrap());
    let capable = capable.mode(0o755).xattr("security.capability", CAPABILITIES);
    let it = Startable::new(&[], &[setuid, capable]);
    fs::set_permissions(it.sandbox.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let secret = it.sandbox.path().join("secret");
    fs::write(&secret, "of root only").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let as_user = |program: &Path, argument: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=1000", "--regid=1000", "--clear-groups"]).arg(program).arg(argument);
        let ran = command.output().unwrap();
        String::from_utf8_lossy(&ran.stdout).trim().to_owned()
    };
    let secret = secret.to_str().unwrap();
    assert_eq!(as_user("/bin/cat".as_ref(), secret), "", "everybody can read it");
    let are_cold = it.is_cold("id") && it.is_cold("cat");
    assert!(are_cold, "{:?}\n{}", it.daemon().status(), it.daemon().said());
    assert_eq!(as_user(&it.path("id"), "-u"), "0");
    assert_eq!(as_user(&it.path("cat"), secret), "of root only");
}

/// Not through an overlay, where writers are counted by themselves: an `execve` that waited must find nobody who can write.
#[test]
fn a_program_runs_directly_from_a_layer_when_it_is_filled() {
    let _alone = alone();
    const PROGRAMS: usize = 24;
    let echo = fs::read("/bin/echo").unwrap();
    let entry = |number: usize| {
        let own = [&*echo, &number.to_le_bytes()].concat();
        Entry::file(format!("{number:02}"), own).mode(0o755)
    };
    let it = Startable::new(&[], &(0..PROGRAMS).map(entry).collect::<Vec<_>>());
    let run =
        |number: usize| Command::new(it.layer.join(format!("{number:02}"))).arg("it runs").output();
    let refused = (0..PROGRAMS).map(run).filter(|ran| match ran {
        Ok(ran) => {
            assert_eq!(ran.stdout, b"it runs\n");
            false
        }
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::ExecutableFileBusy);
            true
        }
    });
    // A closing file's lease ends a moment before its writer is counted no more: one in thousands meets that.
    let refused = refused.count();
    assert!(refused <= 1, "{refused} of {PROGRAMS} met a writer");
}

#[test]
fn a_cold_program_runs_from_an_image_that_is_mounted() {
    let _alone = alone();
    let program = Entry::file("echo", fs::read("/bin/echo").unwrap()).mode(0o755);
    let it = Startable::new(&[], &[program]);
    let point = it.sandbox.directory("point");
    it.skiff.run(&["mount", IMAGE, point.to_str().unwrap()]).ok("mount");
    let run = || Command::new(point.join("echo")).arg("it runs").output();
    assert_eq!(run().unwrap().stdout, b"it runs\n");
    // As the daemon and the holder may have for a moment after an open has gone on.
    let writer = fs::OpenOptions::new().write(true).open(it.layer.join("echo")).unwrap();
    assert_eq!(run().unwrap().stdout, b"it runs\n");
    drop(writer);
    unmount(&point, UnmountFlags::DETACH).unwrap();
}
