//! What is done when nothing else is: packs are compressed again ([`crate::packs::again`]), one at a time.
//!
//! That is when no pack was made for a while ([`QUIET`]), and neither a pack nor a patch is being made. Answers may be under way:
//! packs that are there cost next to nothing to send. Who comes while a pack is compressed has one processor less for half a second.

use super::Makers;
use super::metrics::Metrics;
use super::patches::Workshop;
use crate::cache::Made;
use crate::causes::chain;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long no pack was made before one is compressed again: a device that comes back soon is one of several that update.
const QUIET: Duration = Duration::from_secs(10);

/// How often it is looked.
const TICK: Duration = Duration::from_secs(1);

/// Tells when there is nothing to be made for devices.
#[derive(Debug)]
pub struct Idleness {
    pub(super) makers: [Makers; 2],
    pub(super) workshop: Workshop,
}

impl Idleness {
    fn is_now(&self) -> bool {
        self.makers.iter().all(Makers::are_idle) && self.workshop.is_idle()
    }
}

/// Compresses packs again until it is dropped.
#[derive(Debug)]
pub struct Idle(#[expect(dead_code, reason = "dropping ends it")] JoinSet<()>);

impl Idle {
    /// Begins, within a Tokio runtime, with this level of zstd.
    pub fn start(made: &Arc<Made>, metrics: &Arc<Metrics>, idleness: Idleness, level: i32) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(work(Arc::clone(made), Arc::clone(metrics), idleness, level));
        Self(tasks)
    }
}

async fn work(made: Arc<Made>, metrics: Arc<Metrics>, idleness: Idleness, level: i32) {
    loop {
        tokio::time::sleep(TICK).await;
        metrics.quick_packs(made.quick_packs(Duration::ZERO));
        let (mut packs, mut bytes) = (0, 0);
        while idleness.is_now() && made.quick_packs(QUIET) > 0 {
            match made.compress_again(level).await {
                Ok(saved) => {
                    metrics.saved(saved);
                    (packs, bytes) = (packs + 1, bytes + saved);
                }
                Err(error) => tracing::warn!("a pack stays as it is: {}", chain(&error)),
            }
            metrics.quick_packs(made.quick_packs(Duration::ZERO));
        }
        if packs > 0 {
            tracing::info!("{packs} packs were compressed again, and are {bytes} bytes shorter");
        }
    }
}
