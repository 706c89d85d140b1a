//! Urgent answers go first: while a program on a device waits for a file, the device's link is for that.
//!
//! ```text
//! urgent answer of a deployment     ──────────▶│ it has a head start, or the device is gone
//! other answers of that deployment  ═══▶ ┄┄┄┄ ═══▶   give their connection nothing meanwhile
//! ```
//!
//! The head start is [`HEAD_START`] bytes, or all of a shorter answer. The rest shares the link: a connection that was
//! idle grows its window over many round trips, in which the link would stand still.
//!
//! Only answers of one deployment on one accelerator know of one another; another accelerator's cost time. An urgent
//! answer that makes no progress for [`PATIENCE`] (its device is gone, and TCP has not noticed) holds nobody back any
//! more. Nothing is kept of deployments but what answers that are under way have.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Bytes of an urgent answer that go alone.
pub const HEAD_START: u64 = 64 << 10;
/// How long an urgent answer may stand still.
const PATIENCE: Duration = Duration::from_secs(10);

/// A deployment's name, as devices give it.
pub type Deployment = [u8; 16];

/// The deployments that are being answered.
#[derive(Debug, Default)]
pub struct Deployments(Mutex<HashMap<Deployment, Arc<Lane>>>);

/// What the answers of a deployment share.
#[derive(Debug)]
struct Lane(watch::Sender<Urgent>);

/// Its urgent answers that hold others back.
#[derive(Debug, Clone, Copy)]
struct Urgent {
    /// How many are outstanding.
    count: usize,
    /// When one of them began or moved on.
    progress: Instant,
}

/// An answer's place in its deployment; dropping it ends the answer.
#[derive(Debug)]
pub struct Place {
    deployments: Arc<Deployments>,
    name: Deployment,
    lane: Arc<Lane>,
    is_urgent: bool,
    /// Whether it holds others back.
    is_ahead: bool,
    /// Bytes that went to its connection.
    sent: u64,
}

impl Deployments {
    fn lanes(&self) -> MutexGuard<'_, HashMap<Deployment, Arc<Lane>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for an answer; none if the deployment has no name.
    pub fn enter(self: &Arc<Self>, name: Deployment, is_urgent: bool) -> Option<Place> {
        if name == Deployment::default() {
            return None;
        }
        let lane = {
            let none = || {
                Arc::new(Lane(watch::Sender::new(Urgent { count: 0, progress: Instant::now() })))
            };
            Arc::clone(self.lanes().entry(name).or_insert_with(none))
        };
        if is_urgent {
            lane.0.send_modify(|urgent| {
                *urgent = Urgent { count: urgent.count + 1, progress: Instant::now() }
            });
        }
        let (deployments, is_ahead) = (Arc::clone(self), is_urgent);
        Some(Place { deployments, name, lane, is_urgent, is_ahead, sent: 0 })
    }

    /// Resolves when an urgent answer of this deployment is under way, or begins.
    pub async fn urgent(&self, name: Deployment) {
        let lane = self.lanes().get(&name).map(|lane| lane.0.subscribe());
        let Some(mut receiver) = lane else { return };
        if receiver.borrow_and_update().count == 0 {
            // Whatever changes there comes of an urgent answer, or the deployment has ended.
            let _ = receiver.changed().await;
        }
    }
}

impl Place {
    /// Resolves when this answer may go on.
    pub fn turn(&self) -> impl Future<Output = ()> + Send + 'static {
        // A receiver alone: what is waiting does not keep the place.
        let receiver = (!self.is_urgent).then(|| self.lane.0.subscribe());
        async move {
            let Some(mut receiver) = receiver else { return };
            loop {
                let Urgent { count, progress } = *receiver.borrow_and_update();
                if count == 0 || progress.elapsed() >= PATIENCE {
                    return;
                }
                let changed = timeout_at(progress + PATIENCE, receiver.changed()).await;
                if matches!(changed, Ok(Err(_))) {
                    return;
                }
            }
        }
    }

    /// Whether this answer may go on now.
    pub fn is_free(&self) -> bool {
        self.is_urgent || self.lane.0.borrow().count == 0
    }

    /// So many more bytes of this answer are going to its connection; all before them went.
    pub fn moves_on(&mut self, bytes: usize) {
        if self.sent >= HEAD_START {
            self.end_head_start();
        }
        self.sent += bytes as u64;
        if self.is_ahead {
            self.lane.0.send_modify(|urgent| urgent.progress = Instant::now());
        }
    }

    fn end_head_start(&mut self) {
        if std::mem::take(&mut self.is_ahead) {
            self.lane.0.send_modify(|urgent| urgent.count -= 1);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.end_head_start();
        let mut lanes = self.deployments.lanes();
        // The map's and ours: nobody else can get one while the map is locked.
        if Arc::strong_count(&self.lane) == 2 {
            lanes.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    const ONE: Deployment = [1; 16];
    const OTHER: Deployment = [2; 16];

    #[tokio::test(start_paused = true)]
    async fn urgent_answers_go_first() {
        let deployments = Arc::new(Deployments::default());
        assert!(deployments.enter(Deployment::default(), true).is_none());
        let plain = deployments.enter(ONE, false).unwrap();
        let other = deployments.enter(OTHER, false).unwrap();
        let urgent = [deployments.enter(ONE, true).unwrap(), deployments.enter(ONE, true).unwrap()];
        assert!(other.is_free() && urgent[0].is_free() && !plain.is_free());
        let mut turn = Box::pin(plain.turn());
        assert!((&mut turn).now_or_never().is_none());
        let [first, mut second] = urgent;
        assert!(first.turn().now_or_never().is_some() && other.turn().now_or_never().is_some());
        drop(first);
        second.moves_on(40_000);
        second.moves_on(40_000);
        assert!((&mut turn).now_or_never().is_none());
        second.moves_on(0);
        turn.await;
        drop(second);
        assert!(plain.is_free());
        drop(plain);
        assert_eq!(deployments.lanes().len(), 1, "the other deployment's");
        drop(other);
        assert!(deployments.lanes().is_empty());
    }

    #[tokio::test]
    async fn who_waits_for_an_urgent_answer_hears_of_each() {
        let deployments = Arc::new(Deployments::default());
        assert!(deployments.urgent(ONE).now_or_never().is_some(), "nobody is there");
        let _plain = deployments.enter(ONE, false).unwrap();
        let mut waiting = Box::pin(deployments.urgent(ONE));
        assert!((&mut waiting).now_or_never().is_none());
        drop((deployments.enter(ONE, false), deployments.enter(OTHER, true)));
        assert!((&mut waiting).now_or_never().is_none());
        drop(deployments.enter(ONE, true));
        assert!(waiting.now_or_never().is_some(), "it has ended already");
        let _urgent = deployments.enter(ONE, true);
        assert!(deployments.urgent(ONE).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_device_that_is_gone_holds_nobody_back() {
        let deployments = Arc::new(Deployments::default());
        let mut urgent = deployments.enter(ONE, true).unwrap();
        let plain = deployments.enter(ONE, false).unwrap();
        let started = Instant::now();
        tokio::time::sleep(PATIENCE / 2).await;
        urgent.moves_on(1);
        plain.turn().await;
        assert_eq!(started.elapsed(), PATIENCE / 2 + PATIENCE);
        urgent.moves_on(1);
        assert!(plain.turn().now_or_never().is_none(), "it moves on after all");
    }
}
