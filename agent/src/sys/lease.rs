//! File leases (`fcntl(2)`, "Leases").

use super::{checked, lease_signal};
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Result;

// The same on every processor that Linux runs on but Alpha, MIPS, PA-RISC and SPARC
// (`include/uapi/asm-generic/fcntl.h`); musl's and glibc's headers do not all have them.
const F_SETOWN: libc::c_int = 8;
const F_SETSIG: libc::c_int = 10;
const F_SETLEASE: libc::c_int = 1024;
const F_GETLEASE: libc::c_int = 1025;
const F_WRLCK: libc::c_int = 1;
const F_UNLCK: libc::c_int = 2;

/// What [`lease_of`] finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// A write lease that nobody waits for.
    Held,
    /// None, or one that somebody waits for: the kernel tells what it would be once given up.
    Breaking,
}

/// Takes a write lease, or makes a lease that came from another process ours: whoever opens the file
/// then waits, and this process gets [`lease_signal`], which names the descriptor. The number that
/// it names is the one that was used here, so it must stay open. `EAGAIN`: somebody has the file open, or
/// waits for it already.
pub fn take_lease(file: impl AsFd) -> Result<()> {
    let fd = file.as_fd().as_raw_fd();
    let process = i32::try_from(std::process::id()).unwrap_or(0);
    control(fd, F_SETOWN, process)?;
    control(fd, F_SETSIG, lease_signal())?;
    control(fd, F_SETLEASE, F_WRLCK).map(drop)
}

/// Gives a lease up: whoever waits goes on.
pub fn give_up_lease(file: impl AsFd) -> Result<()> {
    control(file.as_fd().as_raw_fd(), F_SETLEASE, F_UNLCK).map(drop)
}

/// What has become of the lease on this file.
pub fn lease_of(file: impl AsFd) -> Result<Lease> {
    let kind = control(file.as_fd().as_raw_fd(), F_GETLEASE, 0)?;
    Ok(if kind == F_WRLCK { Lease::Held } else { Lease::Breaking })
}

fn control(fd: libc::c_int, command: libc::c_int, argument: libc::c_int) -> Result<libc::c_int> {
    // SAFETY: these commands take a number and no memory; the descriptor is open for as long as it is
    // borrowed.
    checked(unsafe { libc::fcntl(fd, command, argument) })
}
