//! Bounded look-ahead: the next few packs are made while one is sent, in order. A slow reader
//! stops the making; whoever drops this stops it, too. Each answer has one pack in the making. Those beyond
//! it are from one supply for all answers, so that memory is bounded with many slow devices.

use super::cut::PackError;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

/// What makes a pack, in a task of its own.
pub type Making<T> = JoinHandle<Result<T, PackError>>;

/// How far answers may be ahead.
#[derive(Debug, Clone)]
pub struct Supply {
    depth: usize,
    permits: Arc<Semaphore>,
}

impl Supply {
    /// An answer may have `depth` packs in the making, and all answers `extra` more than one each.
    pub fn new(depth: usize, extra: usize) -> Self {
        Self { depth, permits: Arc::new(Semaphore::new(extra)) }
    }
}

/// Packs in order, some in the making.
pub struct Ahead<'a, T> {
    numbers: Box<dyn Iterator<Item = u32> + Send + 'a>,
    start: Box<dyn FnMut(u32) -> Making<T> + Send + 'a>,
    supply: Supply,
    queue: VecDeque<(u32, Making<T>, Option<OwnedSemaphorePermit>)>,
}

impl<T> std::fmt::Debug for Ahead<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ahead").field("queued", &self.queue.len()).finish_non_exhaustive()
    }
}

impl<'a, T> Ahead<'a, T> {
    /// Packs with these numbers, as far ahead as the supply goes.
    pub fn new(
        numbers: impl Iterator<Item = u32> + Send + 'a,
        supply: Supply,
        start: impl FnMut(u32) -> Making<T> + Send + 'a,
    ) -> Self {
        let (numbers, start) = (Box::new(numbers), Box::new(start));
        Self { numbers, start, supply, queue: VecDeque::new() }
    }

    /// The next pack and its number.
    pub async fn next(&mut self) -> Option<Result<(u32, T), PackError>> {
        while self.queue.len() < self.supply.depth.max(1) {
            let permit = match self.queue.is_empty() {
                true => None,
                false => match Arc::clone(&self.supply.permits).try_acquire_owned() {
                    Ok(permit) => Some(permit),
                    Err(_) => break,
                },
            };
            let Some(number) = self.numbers.next() else { break };
            self.queue.push_back((number, (self.start)(number), permit));
        }
        let (number, making, _) = self.queue.front_mut()?;
        let number = *number;
        let made = making.await.map_err(PackError::Encoder).and_then(|made| made);
        self.queue.pop_front();
        Some(made.map(|made| (number, made)))
    }
}

impl<T> Drop for Ahead<'_, T> {
    fn drop(&mut self) {
        for (_, making, _) in &self.queue {
            making.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    #[tokio::test]
    async fn packs_come_in_order_and_no_more_than_the_supply_is_ahead() {
        for (depth, extra, ahead) in [(3, 9, 3), (3, 1, 2), (1, 9, 1), (0, 0, 1)] {
            in_order(Supply::new(depth, extra), ahead).await;
        }
    }

    async fn in_order(supply: Supply, most: usize) {
        let started = Arc::new(AtomicUsize::new(0));
        let counter = started.clone();
        let mut ahead = Ahead::new(0..9, supply, move |number| {
            counter.fetch_add(1, SeqCst);
            tokio::spawn(async move {
                tokio::time::sleep(std::time::Duration::from_millis(u64::from(9 - number))).await;
                Ok(number * 10)
            })
        });
        for expected in 0..9 {
            let (number, made) = ahead.next().await.unwrap().unwrap();
            assert_eq!((number, made), (expected, expected * 10));
            let before = usize::try_from(expected).unwrap();
            assert!(started.load(SeqCst) <= before + most);
        }
        assert!(ahead.next().await.is_none());
    }
}
