//! System calls that rustix does not have. The only place for `unsafe` in the agent.
#![allow(unsafe_code, reason = "each block says why it is sound")]

pub mod fanotify;

use rustix::fd::{AsFd, AsRawFd};
use rustix::io::{Errno, Result};
use std::io::Error;

/// `SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE` over a whole file (`sync_file_range(2)`):
/// waits for the pages that are being written to the disk, then starts to write those that are dirty
/// now, and does not wait for them. Makes nothing durable.
pub fn write_dirty_pages(file: impl AsFd) -> Result<()> {
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE;
    // SAFETY: no memory is passed, and the descriptor is open for as long as it is borrowed.
    let status = unsafe { libc::sync_file_range(file.as_fd().as_raw_fd(), 0, 0, flags) };
    if status == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&Error::last_os_error()).unwrap_or(Errno::IO))
}
