//! Progress frames: a device that waits for a long ingest hears from us every two seconds, the
//! first time at once.

use super::body::{Gone, Sink};
use super::frames;
use crate::meter::Meter;
use skiff_protocol::frame::Kind;
use skiff_protocol::response::Phase;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

const EVERY: Duration = Duration::from_secs(2);

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
