//! The lull behind the hot packs of a device that starts its programs before everything is there.
//!
//! ```text
//! hot packs ════════════▶ HotComplete ┄┄ lull ┄┄ other packs ═════▶
//! ```
//!
//! If the hot set is right, everything that programs open while they start is on the device then, and what is left of
//! their start is work: a database makes its files for a second or more. Meanwhile nothing takes their processor, their
//! disk and the link from them, and when the service answers nothing was on the wire that it did not need.
//!
//! The lull is a quarter of the time that the hot packs took, at most [`LONGEST`]: so it grows with what there is to start
//! as the device and its link see it, and everything together takes a quarter longer at worst, and never [`LONGEST`]
//! longer (beside what TCP needs to find its speed again, a few round trips). An urgent request ends it, since then the
//! hot set lacks something, and the other packs may bring more of that. The link is idle only if there is a hot set.

use super::urgent::{Deployment, Deployments};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// However long the hot packs took.
pub const LONGEST: Duration = Duration::from_secs(3);

/// Waits for the lull to end, behind hot packs that took until now since `from`.
pub async fn pass(deployments: &Deployments, name: Deployment, from: Instant) {
    // The time being over is an end as good as the other.
    let _ = timeout(length(from.elapsed()), deployments.urgent(name)).await;
}

fn length(hot: Duration) -> Duration {
    (hot / 4).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test(start_paused = true)]
    async fn it_is_a_part_of_what_was_before_and_ends_when_somebody_waits() {
        let deployments = Arc::new(Deployments::default());
        let name = [1; 16];
        let _stream = deployments.enter(name, false).unwrap();
        // Milliseconds: of the hot packs, and of the lull.
        for (hot, expected) in [(0, 0), (400, 100), (12_000, 3_000), (600_000, 3_000)] {
            let from = Instant::now();
            tokio::time::sleep(Duration::from_millis(hot)).await;
            let before = Instant::now();
            pass(&deployments, name, from).await;
            assert_eq!(before.elapsed().as_millis(), expected, "{hot}");
        }
        let from = Instant::now();
        tokio::time::sleep(Duration::from_secs(8)).await;
        let before = Instant::now();
        let urgent = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(deployments.enter(name, true));
        };
        tokio::join!(pass(&deployments, name, from), urgent);
        assert_eq!(before.elapsed().as_millis(), 1_000);
    }
}
