//! Whether leases hold here: a file is made, leased, and opened through an overlay mount, and the open must wait
//! until the file has its bytes.
//!
//! Some file systems have no leases (a network file system, or FUSE), and a kernel can be built without them. Then nothing is
//! started before it is all there.

use crate::sys;
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const BYTES: &[u8] = b"not zeros";
/// How long an open that must wait is watched, and how long one that must not is given.
const WATCHED: Duration = Duration::from_millis(30);
const GIVEN: Duration = Duration::from_secs(10);
/// How often it is looked at whether it is done.
const STEP: Duration = Duration::from_millis(1);

/// Tries it in a directory of its own below this one, which must be on the file system of the snapshots. The error says what
/// is missing.
pub fn leases_hold(below: &Path) -> Result<(), String> {
    let directory = below.join(format!("skiff-self-test-{}", std::process::id()));
    let done = attempt(&directory).unwrap_or_else(|e| Err(format!("the self-test failed: {e}")));
    // What can't be removed is empty but for a few bytes.
    let _ = fs::remove_dir_all(&directory);
    done
}

fn attempt(directory: &Path) -> io::Result<Result<(), String>> {
    let at = |name| directory.join(name);
    fs::create_dir(directory)?;
    fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir(at(name))?;
    }
    let mut file =
        File::options().read(true).write(true).create_new(true).open(at("lower/file"))?;
    file.set_len(BYTES.len() as u64)?;
    match sys::take_lease(&file) {
        Ok(()) => {}
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            return Ok(Err("this file system has no leases".to_owned()));
        }
        Err(e) => return Err(e.into()),
    }
    let place = |name| at(name).display().to_string();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        place("lower"),
        place("upper"),
        place("work")
    );
    let options = CString::new(options)?;
    mount("overlay", at("merged"), "overlay", MountFlags::empty(), Some(options.as_c_str()))?;
    let answered = open_waits(&at("merged/file"), &mut file);
    unmount(at("merged"), UnmountFlags::DETACH)?;
    answered
}

fn open_waits(path: &Path, file: &mut File) -> io::Result<Result<(), String>> {
    let path = path.to_owned();
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).map(|_| bytes)
    });
    thread::sleep(WATCHED);
    if reader.is_finished() {
        return Ok(Err("an open through an overlay does not wait for a lease".to_owned()));
    }
    file.write_all(BYTES)?;
    sys::give_up_lease(file.as_fd())?;
    let began = Instant::now();
    while !reader.is_finished() {
        if began.elapsed() > GIVEN {
            return Err(io::Error::other("an open waits for ever"));
        }
        thread::sleep(STEP);
    }
    let read = reader.join().map_err(|_| io::Error::other("the reader of the test died"))?;
    Ok(if read? == BYTES {
        Ok(())
    } else {
        Err("a file under a lease was read as zeros".to_owned())
    })
}
