//! Keeps small what is written but not on the disk yet.
//!
//! The kernel would let them pile up in memory for half a minute. In a cgroup with a small
//! `memory.max` that is not slow but deadly: pages that are dirty can't be reclaimed, and the process
//! is killed (seen with Linux 6.12 and 8 MiB). So of what is written at most [`CHUNK`] waits, and as much
//! is on its way to the disk. It also leaves little to do for the `syncfs` at the end. A large
//! file keeps to that by itself ([`Paced`](crate::sync::Paced)); this is for many small ones.

use crate::sync::{self, CHUNK};
use rustix::fd::OwnedFd;
use rustix::io::Result;

/// Files are held open until they are on the disk; so many, and as many that are on their way.
const MAX_FILES: usize = 64;

/// The files that were written last.
#[derive(Debug, Default)]
pub struct Writeback {
    waiting: heapless::Vec<OwnedFd, MAX_FILES>,
    bytes: u64,
    under_way: heapless::Vec<OwnedFd, MAX_FILES>,
}

impl Writeback {
    /// Takes a file of this size that is complete.
    pub fn take(&mut self, file: OwnedFd, size: u64) -> Result<()> {
        self.bytes += size.min(CHUNK);
        let full = self.waiting.push(file).is_err() || self.waiting.is_full();
        if full || self.bytes >= CHUNK {
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<()> {
        self.bytes = 0;
        self.waiting.iter().try_for_each(sync::begin)?;
        // What is on its way already is waited for.
        self.under_way.iter().try_for_each(sync::begin)?;
        self.under_way.clear();
        std::mem::swap(&mut self.waiting, &mut self.under_way);
        Ok(())
    }
}
