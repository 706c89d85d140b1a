//! Makes durable what was filled, and says so in the journal: in batches, and on another thread, so that nobody who
//! waits for a file waits for the disk.

use super::{HydrateError, Hydration};
use crate::apply::{ApplyError, Beneath};
use crate::pull::PullError;
use crate::spool::State;
use crate::state::StateError;
use crate::sync;
use std::rc::Rc;
use std::time::Duration;

/// How often. After a power cut what was filled since is fetched again.
const EVERY: Duration = Duration::from_secs(2);

impl Hydration {
    /// Settles again and again, and sees that all is as it should be.
    pub(super) async fn settle_always(self: Rc<Self>) {
        for turn in 1_u32.. {
            smol::Timer::after(EVERY).await;
            // What can't be synced now is tried again with the next batch.
            let _ = self.settle().await;
            let _ = self.check_stream();
            if turn.is_multiple_of(8) {
                let _ = self.drop_removed();
                // Somebody else may have set it back.
                let _ = self.guard.never_break();
            }
        }
    }

    /// Syncs what was filled so far, and marks it as done.
    pub(super) async fn settle(&self) -> Result<(), HydrateError> {
        let (filled, layers) = {
            let shared = &mut *self.tables.borrow_mut();
            let copy = |layer: &Beneath| layer.root().try_clone_to_owned();
            let layers: Result<Vec<_>, _> = shared.layers.iter().map(copy).collect();
            let layers = layers.map_err(|e| StateError::io(&self.directory, e))?;
            (shared.cold.take_filled(), layers)
        };
        if filled.is_empty() {
            return Ok(());
        }
        // All layers are on one file system.
        let synced = smol::unblock(move || layers.first().map_or(Ok(()), sync::file_system)).await;
        let shared = &mut *self.tables.borrow_mut();
        if let Err(e) = synced {
            shared.cold.not_settled(filled);
            return Err(PullError::from(ApplyError::writeback(e)).into());
        }
        for number in filled {
            shared.contents.set_state(number, State::Done).map_err(PullError::from)?;
        }
        Ok(())
    }
}
