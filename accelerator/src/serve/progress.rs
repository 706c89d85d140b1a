//! Progress frames: a device that waits for a long ingest hears from us every two seconds, the
//! first time at once.

use super::body::{Gone, Sink};
use super::frames;
use skiff_protocol::frame::Kind;
use skiff_protocol::response::{Phase, Progress};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

const EVERY: Duration = Duration::from_secs(2);

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

    fn read(&self, phase: Phase) -> Progress {
        Progress { phase, done: self.0[0].load(Relaxed), total: self.0[1].load(Relaxed) }
    }
}

/// Waits for `work`, and says meanwhile how far it is.
pub async fn report<T>(
    sink: &mut Sink,
    phase: Phase,
    meter: &Meter,
    work: impl Future<Output = T>,
) -> Result<T, Gone> {
    let mut work = std::pin::pin!(work);
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            _ = ticks.tick() => {
                // A progress message fits a frame.
                if let Ok(frame) = frames::message(Kind::Progress, &meter.read(phase)) {
                    sink.send(frame).await?;
                }
            }
        }
    }
}
