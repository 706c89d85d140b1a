//! Segments of layer blobs, cut out of the registry's own bytes and inflated.
//!
//! Packs follow the order of the layers ([`crate::plan::order`]), so that a segment is wanted for a few packs,
//! one after the other, and by devices that pull the same thing at the same time. So the segments that were used
//! last stay in memory, at most [`MOST`] bytes of them; and who wants one that is being fetched waits for it.
//!
//! ```text
//! get ──▶ asked (≤ ASKED) ══ round trip ══▶ head ──▶ reading (≤ READING) ──▶ inflated ──▶ kept
//! ```
//!
//! Two bounds, since the way to the registry may be long and memory is short: many requests are on
//! their way at once, so that a pack whose contents are scattered over [`ASKED`] segments waits for one round trip
//! (over twice as many: two); but few bodies are taken in at once. The others wait in the connections.

use super::scratch::{Key, Scratch};
use crate::mapped::Mapped;
use crate::registry::{Registry, RegistryError};
use crate::seek::{Index, SeekError};
use skiff_protocol::Digest;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{OnceCell, Semaphore};

/// Bytes of inflated segments that are kept.
const MOST: usize = 32 << 20;
/// Segments that the registry is asked for at once.
const ASKED: usize = 64;
/// Segments that are read and inflated at once.
const READING: usize = 8;

/// A layer blob with its seek index.
#[derive(Debug, Clone)]
pub struct IndexedBlob {
    /// The repository to read it from.
    pub repository: String,
    /// Its digest.
    pub digest: Digest,
    /// Its index.
    pub index: Arc<Index>,
}

/// Why a segment can't be had.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The registry does not give it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The registry's stream ends early.
    #[error("the registry's bytes of {blob} end early")]
    Stream {
        /// The blob.
        blob: Digest,
        /// Why.
        source: std::io::Error,
    },
    /// What came is not what was ingested.
    #[error("the blob {blob} is not what it was when it was ingested; push it again")]
    Damaged {
        /// The blob.
        blob: Digest,
        /// What is wrong.
        source: SeekError,
    },
    /// The system has no memory for it.
    #[error("there is no memory for a segment of a layer")]
    Memory(#[source] std::io::Error),
    /// The task that inflates ended early.
    #[error("the inflating of a segment ended early")]
    Task(#[from] tokio::task::JoinError),
}

/// The segments that were used last.
#[derive(Debug)]
pub struct Segments {
    registry: Arc<Registry>,
    scratch: Arc<Scratch>,
    kept: Mutex<Kept>,
    fetching: Mutex<HashMap<Key, Weak<Fetching>>>,
    asked: Semaphore,
    reading: Semaphore,
}

/// A segment that some wait for; each of them has it as soon as it is there, however many others
/// were kept since.
type Fetching = OnceCell<Arc<Mapped>>;

#[derive(Debug, Default)]
struct Kept {
    /// Bytes, and when they were used last.
    segments: HashMap<Key, (Arc<Mapped>, u64)>,
    bytes: usize,
    clock: u64,
}

impl Segments {
    /// None yet, of blobs of this registry.
    pub fn new(registry: Arc<Registry>, scratch: Scratch) -> Self {
        Self {
            registry,
            scratch: Arc::new(scratch),
            kept: Mutex::default(),
            fetching: Mutex::default(),
            asked: Semaphore::new(ASKED),
            reading: Semaphore::new(READING),
        }
    }

    /// A segment's bytes. One that may be wanted `again` is kept in the scratch file for a while.
    pub async fn get(
        &self,
        blob: &IndexedBlob,
        number: usize,
        again: bool,
    ) -> Result<Arc<Mapped>, SegmentError> {
        let key = (blob.digest, number);
        if let Some(segment) = self.kept(|kept| kept.get(key)) {
            return Ok(segment);
        }
        let fetching = self.fetching(key);
        let fetch = async {
            // Who came between the look and the wait finds it kept.
            if let Some(segment) = self.kept(|kept| kept.get(key)) {
                return Ok(segment);
            }
            let segment = self.fetch(blob, number, again).await?;
            self.kept(|kept| kept.put(key, segment.clone()));
            Ok(segment)
        };
        fetching.get_or_try_init(|| fetch).await.cloned()
    }

    /// The segment that is being fetched, by others or from now on.
    fn fetching(&self, key: Key) -> Arc<Fetching> {
        let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = fetching.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        fetching.retain(|_, one| one.strong_count() > 0);
        let new = Arc::new(Fetching::new());
        fetching.insert(key, Arc::downgrade(&new));
        new
    }

    async fn fetch(
        &self,
        blob: &IndexedBlob,
        number: usize,
        again: bool,
    ) -> Result<Arc<Mapped>, SegmentError> {
        let key = (blob.digest, number);
        // Semaphores are never closed.
        if again {
            let _reading = self.reading.acquire().await.ok();
            let scratch = Arc::clone(&self.scratch);
            match tokio::task::spawn_blocking(move || scratch.get(key)).await? {
                Ok(Some(compressed)) => return inflate(blob, number, compressed).await,
                Ok(None) => {}
                Err(error) => tracing::warn!("a segment that was kept is read again: {error}"),
            }
        }
        let _asked = self.asked.acquire().await.ok();
        let span = blob.index.span(number);
        let len = usize::try_from(span.end - span.start).unwrap_or(usize::MAX);
        let mut stream = self.registry.blob(&blob.repository, blob.digest, Some(span)).await?;
        let _reading = self.reading.acquire().await.ok();
        let mut compressed = Mapped::zeroed(len).map_err(SegmentError::Memory)?;
        let ended = |source| SegmentError::Stream { blob: blob.digest, source };
        stream.read_exact(&mut compressed).await.map_err(ended)?;
        if again {
            let scratch = Arc::clone(&self.scratch);
            let put = move || (scratch.put(key, &compressed), compressed);
            let (put, back) = tokio::task::spawn_blocking(put).await?;
            if let Err(error) = put {
                tracing::warn!("a segment is not kept and may be read again: {error}");
            }
            compressed = back;
        }
        inflate(blob, number, compressed).await
    }

    fn kept<T>(&self, work: impl FnOnce(&mut Kept) -> T) -> T {
        work(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn inflate(
    blob: &IndexedBlob,
    number: usize,
    compressed: Mapped,
) -> Result<Arc<Mapped>, SegmentError> {
    let (index, digest) = (Arc::clone(&blob.index), blob.digest);
    let inflate = move || {
        let mut memory = Mapped::zeroed(index.room(number)).map_err(SegmentError::Memory)?;
        let place = index.inflate(number, &compressed, &mut memory);
        let place = place.map_err(|source| SegmentError::Damaged { blob: digest, source })?;
        Ok(Arc::new(memory.cut(place.start, place.len())))
    };
    tokio::task::spawn_blocking(inflate).await?
}

impl Kept {
    fn get(&mut self, key: Key) -> Option<Arc<Mapped>> {
        self.clock += 1;
        let (segment, used) = self.segments.get_mut(&key)?;
        *used = self.clock;
        Some(Arc::clone(segment))
    }

    fn put(&mut self, key: Key, segment: Arc<Mapped>) {
        self.clock += 1;
        self.bytes += segment.len();
        if let Some((old, _)) = self.segments.insert(key, (segment, self.clock)) {
            self.bytes -= old.len();
        }
        while self.bytes > MOST && self.segments.len() > 1 {
            let oldest = self.segments.iter().min_by_key(|(_, (_, used))| *used);
            let Some((&key, _)) = oldest else { break };
            if let Some((old, _)) = self.segments.remove(&key) {
                self.bytes -= old.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_go_first() {
        let mut kept = Kept::default();
        let key = |number| (Digest([0; 32]), number);
        let segment = |len| Arc::new(Mapped::zeroed(len).unwrap());
        let quarter = segment(MOST / 4);
        for number in 0..4 {
            kept.put(key(number), quarter.clone());
        }
        assert!(kept.get(key(0)).is_some());
        kept.put(key(4), quarter.clone());
        let there = [0, 1, 2, 3, 4].map(|number| kept.segments.contains_key(&key(number)));
        assert_eq!(there, [true, false, true, true, true]);
        assert_eq!(kept.bytes, MOST);
        kept.put(key(5), segment(MOST + 1));
        assert_eq!(kept.segments.len(), 1, "what is too large stays until the next");
    }
}
