//! Writing to the disk (`sync_file_range(2)`).

use super::checked;
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Result;

/// `SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE` over a whole file (`sync_file_range(2)`):
/// waits for the pages that are being written to the disk, then starts to write those that are dirty
/// now, and does not wait for them. Makes nothing durable.
pub fn write_dirty_pages(file: impl AsFd) -> Result<()> {
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE;
    // SAFETY: no memory is passed, and the descriptor is open for as long as it is borrowed.
    checked(unsafe { libc::sync_file_range(file.as_fd().as_raw_fd(), 0, 0, flags) }).map(drop)
}
