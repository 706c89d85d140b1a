//! One at a time for each key: whoever wants what is being made already waits for it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// What is under way, by key.
#[derive(Debug)]
pub struct SingleFlight<K>(Mutex<HashMap<K, Arc<AsyncMutex<()>>>>);

impl<K> Default for SingleFlight<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> SingleFlight<K> {
    /// Waits until nobody else is at work on this key. Whoever gets it looks first whether the work
    /// is done by now.
    pub async fn enter(&self, key: K) -> OwnedMutexGuard<()> {
        let lock = {
            let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            under_way.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(under_way.entry(key).or_default())
        };
        lock.lock_owned().await
    }
}
