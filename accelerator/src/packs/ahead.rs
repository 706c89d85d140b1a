//! Bounded look-ahead: the next few packs are made while one is sent, in order. A slow reader
//! stops the making; whoever drops this stops it, too.

use super::cut::PackError;
use std::collections::VecDeque;
use tokio::task::JoinHandle;

/// What makes a pack, in a task of its own.
pub type Making<T> = JoinHandle<Result<T, PackError>>;

/// Packs in order, some in the making.
pub struct Ahead<'a, T> {
    numbers: Box<dyn Iterator<Item = u32> + Send + 'a>,
    start: Box<dyn FnMut(u32) -> Making<T> + Send + 'a>,
    depth: usize,
    queue: VecDeque<(u32, Making<T>)>,
}

impl<T> std::fmt::Debug for Ahead<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ahead").field("queued", &self.queue.len()).finish_non_exhaustive()
    }
}

impl<'a, T> Ahead<'a, T> {
    /// Packs with these numbers, at most `depth` of them made or in the making.
    pub fn new(
        numbers: impl Iterator<Item = u32> + Send + 'a,
        depth: usize,
        start: impl FnMut(u32) -> Making<T> + Send + 'a,
    ) -> Self {
        let (numbers, start) = (Box::new(numbers), Box::new(start));
        Self { numbers, start, depth, queue: VecDeque::new() }
    }

    /// The next pack and its number.
    pub async fn next(&mut self) -> Option<Result<(u32, T), PackError>> {
        while self.queue.len() < self.depth.max(1) {
            let Some(number) = self.numbers.next() else { break };
            self.queue.push_back((number, (self.start)(number)));
        }
        let (number, making) = self.queue.front_mut()?;
        let number = *number;
        let made = making.await.map_err(PackError::Encoder).and_then(|made| made);
        self.queue.pop_front();
        Some(made.map(|made| (number, made)))
    }
}

impl<T> Drop for Ahead<'_, T> {
    fn drop(&mut self) {
        for (_, making) in &self.queue {
            making.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    #[tokio::test]
    async fn packs_come_in_order_and_no_more_than_the_depth_is_ahead() {
        let started = Arc::new(AtomicUsize::new(0));
        let counter = started.clone();
        let mut ahead = Ahead::new(0..9, 3, move |number| {
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
            assert!(started.load(SeqCst) <= before + 3);
        }
        assert!(ahead.next().await.is_none());
    }
}
