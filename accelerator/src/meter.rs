//! How far a long piece of work is: told by whoever works, read by whoever reports.

use skiff_protocol::response::{Phase, Progress};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes done and to do, told by whoever works and read by whoever reports.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<[AtomicU64; 2]>);

impl Meter {
    /// Adds to the bytes done.
    pub fn done(&self, bytes: u64) {
        self.0[0].fetch_add(bytes, Relaxed);
    }

    /// Adds to the bytes to do.
    pub fn expect(&self, bytes: u64) {
        self.0[1].fetch_add(bytes, Relaxed);
    }

    /// What has been told so far.
    pub fn read(&self, phase: Phase) -> Progress {
        Progress { phase, done: self.0[0].load(Relaxed), total: self.0[1].load(Relaxed) }
    }
}
