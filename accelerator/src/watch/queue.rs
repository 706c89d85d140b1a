//! What waits to be ingested: bounded, each name once for a platform. A tag that is pushed again
//! while it waits is ingested once, as what was pushed last. What failed waits here, too, for its next try.

use crate::reference::Reference;
use crate::registry::platform::Platform;
use skiff_protocol::Digest;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Most that waits.
pub(super) const MOST: usize = 1000;

/// How long to wait after each failure; after one more, it is given up.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
];

/// An image to ingest for a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) image: Pushed,
    pub(super) platform: Platform,
}

/// A name, and what it stands for. docker-registry tells of a push before it moves the tag, so asking for
/// the tag at once would give the image before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pushed {
    /// As it was pushed.
    pub(super) name: Reference,
    /// The manifest or index, if it was told.
    pub(super) digest: Option<Digest>,
}

impl Pushed {
    /// What to read.
    pub(super) fn wanted(&self) -> Reference {
        match self.digest {
            Some(digest) => Reference::digest(&self.name.repository, digest),
            None => self.name.clone(),
        }
    }
}

impl Job {
    /// Whether it is for the same name and platform.
    fn replaces(&self, other: &Self) -> bool {
        self.image.name == other.image.name && self.platform == other.platform
    }
}

/// The queue is full.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// What is next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// This, which failed so many times.
    Job(Job, usize),
    /// Nothing before then.
    At(Instant),
    /// Nothing.
    Nothing,
}

#[derive(Debug)]
struct Entry {
    job: Job,
    failures: usize,
    due: Instant,
}

/// In the order in which they came; who waits for its next try is passed over.
#[derive(Debug, Default)]
struct Queue(VecDeque<Entry>);

impl Queue {
    /// Puts jobs in, all or none. One that waits already is replaced, at its place, and due at once.
    fn push(&mut self, jobs: Vec<Job>, now: Instant) -> Result<(), Full> {
        let new =
            jobs.iter().filter(|job| !self.0.iter().any(|entry| job.replaces(&entry.job))).count();
        if self.0.len() + new > MOST {
            return Err(Full);
        }
        for job in jobs {
            if let Some(entry) = self.0.iter_mut().find(|entry| job.replaces(&entry.job)) {
                *entry = Entry { job, failures: 0, due: now };
            } else {
                self.0.push_back(Entry { job, failures: 0, due: now });
            }
        }
        Ok(())
    }

    /// Puts a job back that failed for the `failures`th time. Says how long it waits, or that it is given
    /// up. One that was pushed meanwhile waits anyway, and that is its next try.
    fn retry(&mut self, job: Job, failures: usize, now: Instant) -> Option<Duration> {
        if self.0.iter().any(|entry| job.replaces(&entry.job)) {
            return Some(Duration::ZERO);
        }
        let pause = *PAUSES.get(failures.checked_sub(1)?)?;
        if self.0.len() >= MOST {
            return None;
        }
        self.0.push_back(Entry { job, failures, due: now + pause });
        Some(pause)
    }

    fn next(&mut self, now: Instant) -> Next {
        let due = self.0.iter().position(|entry| entry.due <= now);
        if let Some(Entry { job, failures, .. }) = due.and_then(|at| self.0.remove(at)) {
            return Next::Job(job, failures);
        }
        let first = self.0.iter().map(|entry| entry.due).min();
        first.map_or(Next::Nothing, Next::At)
    }
}

/// The queue, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queue: Mutex<Queue>,
    changed: Notify,
}

impl Waiting {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts jobs in, all or none.
    pub(super) fn push(&self, jobs: Vec<Job>) -> Result<(), Full> {
        self.queue().push(jobs, Instant::now())?;
        self.changed.notify_one();
        Ok(())
    }

    /// Puts a job back that failed for the `failures`th time; how long it waits, if it is not given up.
    /// Only for who calls [`Waiting::take`], since nobody is woken.
    pub(super) fn retry(&self, job: Job, failures: usize) -> Option<Duration> {
        self.queue().retry(job, failures, Instant::now())
    }

    /// Whether there is little room. What can wait stays out then.
    pub(super) fn is_half_full(&self) -> bool {
        self.queue().0.len() >= MOST / 2
    }

    /// A job that is due.
    #[cfg(test)]
    pub(super) fn take_due(&self) -> Option<Job> {
        match self.queue().next(Instant::now()) {
            Next::Job(job, _) => Some(job),
            Next::At(_) | Next::Nothing => None,
        }
    }

    /// Waits for a job, and takes it out; and how often it failed. For one caller.
    pub(super) async fn take(&self) -> (Job, usize) {
        loop {
            let next = self.queue().next(Instant::now());
            match next {
                Next::Job(job, failures) => return (job, failures),
                Next::At(due) => {
                    // Whatever ends the waiting, we look again.
                    let _ = tokio::time::timeout_at(due.into(), self.changed.notified()).await;
                }
                Next::Nothing => self.changed.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(tag: &str, platform: &str) -> Job {
        Job {
            image: Pushed { name: Reference::tag("a", tag).unwrap(), digest: None },
            platform: format!("linux/{platform}").parse().unwrap(),
        }
    }

    #[test]
    fn a_burst_of_one_tag_is_one_job_for_each_platform() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for _ in 0..10 {
            queue.push(vec![job("1", "amd64"), job("1", "arm64")], now).unwrap();
        }
        queue.push(vec![job("2", "amd64")], now).unwrap();
        for expected in [job("1", "amd64"), job("1", "arm64"), job("2", "amd64")] {
            assert_eq!(queue.next(now), Next::Job(expected, 0));
        }
        assert_eq!(queue.next(now), Next::Nothing);
        // The last one counts.
        let named = |number| {
            let mut job = job("1", "amd64");
            job.image.digest = Some(Digest([number; 32]));
            job
        };
        for number in 1..4 {
            queue.push(vec![named(number)], now).unwrap();
        }
        assert_eq!(queue.next(now), Next::Job(named(3), 0));
        assert_eq!(queue.next(now), Next::Nothing);
        // One that is under way is not in the queue: a push meanwhile is another one.
        queue.push(vec![job("1", "amd64")], now).unwrap();
        assert_eq!(queue.next(now), Next::Job(job("1", "amd64"), 0));
    }

    #[test]
    fn a_failure_waits_longer_each_time_and_holds_up_nobody() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        for (pause, failures) in PAUSES.into_iter().zip(1..) {
            assert_eq!(queue.retry(job("1", "amd64"), failures, now), Some(pause));
            assert_eq!(queue.next(now), Next::At(now + pause));
            queue.push(vec![job("2", "amd64")], now).unwrap();
            assert_eq!(queue.next(now), Next::Job(job("2", "amd64"), 0));
            now += pause;
            assert_eq!(queue.next(now), Next::Job(job("1", "amd64"), failures));
        }
        assert_eq!(queue.retry(job("1", "amd64"), PAUSES.len() + 1, now), None);
        assert_eq!(queue.next(now), Next::Nothing);
    }

    #[test]
    fn a_push_begins_anew() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        // Of one that waits for its third try,
        queue.retry(job("1", "amd64"), 2, now).unwrap();
        queue.push(vec![job("1", "amd64")], now).unwrap();
        assert_eq!(queue.next(now), Next::Job(job("1", "amd64"), 0));
        // and of one that was just at its third.
        queue.push(vec![job("1", "amd64")], now).unwrap();
        assert_eq!(queue.retry(job("1", "amd64"), 3, now), Some(Duration::ZERO));
        assert_eq!(queue.next(now), Next::Job(job("1", "amd64"), 0));
        assert_eq!(queue.next(now), Next::Nothing);
    }

    #[test]
    fn the_bound_holds() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for number in 0..MOST - 1 {
            queue.push(vec![job(&number.to_string(), "amd64")], now).unwrap();
        }
        let two = vec![job("x", "amd64"), job("x", "arm64")];
        assert_eq!(queue.push(two, now), Err(Full));
        queue.push(vec![job("x", "amd64")], now).unwrap();
        // What is in it can be pushed again.
        queue.push(vec![job("7", "amd64")], now).unwrap();
        assert_eq!(queue.push(vec![job("y", "amd64")], now), Err(Full));
        assert_eq!(queue.retry(job("y", "amd64"), 1, now), None);
        assert_eq!(queue.0.len(), MOST);
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let waiting = std::sync::Arc::new(Waiting::default());
        let other = std::sync::Arc::clone(&waiting);
        let taken = tokio::spawn(async move { other.take().await });
        tokio::task::yield_now().await;
        waiting.push(vec![job("1", "amd64")]).unwrap();
        assert_eq!(taken.await.unwrap(), (job("1", "amd64"), 0));
    }
}
