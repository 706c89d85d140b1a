//! System calls that rustix does not have. The only place for `unsafe` in the agent.
#![allow(unsafe_code, reason = "each block says why it is sound")]

mod disk;
pub mod fanotify;
mod lease;
mod processor;
mod signal;
mod spawn;

pub use disk::write_dirty_pages;
pub use lease::{Lease, give_up_lease, lease_of, take_lease};
pub use processor::has_instructions;
pub use signal::{Signal, Signals, lease_signal};
pub use spawn::spawn;

use rustix::io::{Errno, Result};
use std::io::Error;

/// What a call of libc's says: -1 is an error, which `errno` names.
fn checked(status: libc::c_int) -> Result<libc::c_int> {
    if status != -1 {
        return Ok(status);
    }
    Err(Errno::from_io_error(&Error::last_os_error()).unwrap_or(Errno::IO))
}
