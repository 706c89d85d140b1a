//! What is made once for all devices, packs and patches: kept in a cache, and shared while it is made and sent. Packs that were
//! compressed quickly and are in use wait here for being compressed again.

use super::packs::{BESIDE, cached, keep};
use super::{Cache, sealed};
use crate::packs::again::again;
use crate::packs::cut::{PackError, ReadError};
use crate::packs::framed::{Pack, WeakPack, encoded_len};
use crate::patch::Patch;
use crate::single_flight::SingleFlight;
use skiff_protocol::Digest;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Packs that may wait for being compressed again. Others wait when they are asked for the next time.
const WAITING: usize = 16 << 10;

/// Packs and patches, by what they are made of.
#[derive(Debug)]
pub struct Made {
    cache: Arc<Cache>,
    making: SingleFlight<Digest>,
    /// Packs that answers have in memory: many devices that pull the same share them.
    recent: Mutex<HashMap<Digest, WeakPack>>,
    quick: Mutex<Quick>,
}

/// Packs that were compressed quickly, first ones first.
#[derive(Debug)]
struct Quick {
    waiting: VecDeque<Digest>,
    /// When a pack was made last.
    made: Instant,
}

impl Made {
    /// Those in a cache.
    pub fn new(cache: Cache) -> Self {
        let quick = Quick { waiting: VecDeque::new(), made: Instant::now() };
        Self {
            cache: Arc::new(cache),
            making: SingleFlight::default(),
            recent: Mutex::default(),
            quick: Mutex::new(quick),
        }
    }

    /// Whether anything is kept at all.
    pub fn keeps(&self) -> bool {
        self.cache.most() > 0
    }

    /// Encoded bytes of the pack with this key, if it is kept.
    pub fn pack_len(&self, key: Digest) -> Option<u64> {
        let framed = self.cache.file_len(&key.hex().to_string())?.checked_sub(BESIDE as u64)?;
        Some(encoded_len(framed))
    }

    /// The pack with this key, or else from `make`.
    pub async fn pack(
        &self,
        key: Digest,
        make: impl Future<Output = Result<Pack, PackError>> + Send,
    ) -> Result<Pack, PackError> {
        let _turn = self.making.enter(key).await;
        if let Some(pack) = self.recent(key) {
            return Ok(pack);
        }
        let packs = Arc::clone(&self.cache);
        let cached = tokio::task::spawn_blocking(move || cached(&packs, key)).await;
        let pack = match cached.map_err(PackError::Encoder)?? {
            Some(pack) => pack,
            None => {
                let pack = make.await?;
                self.keep(key, pack.clone()).await?;
                self.quick().made = Instant::now();
                pack
            }
        };
        if pack.form().is_quick && self.keeps() {
            self.quick().add(key);
        }
        self.remember(key, &pack);
        Ok(pack)
    }

    async fn keep(&self, key: Digest, pack: Pack) -> Result<(), PackError> {
        let packs = Arc::clone(&self.cache);
        let keep = tokio::task::spawn_blocking(move || keep(&packs, key, &pack));
        keep.await.map_err(PackError::Encoder)?
    }

    /// How many packs wait for being compressed again, if none was made for so long.
    pub fn quick_packs(&self, since: Duration) -> usize {
        let quick = self.quick();
        if quick.made.elapsed() < since { 0 } else { quick.waiting.len() }
    }

    /// Compresses the first pack that waits again, with this level of zstd; how many bytes shorter it is. Devices get
    /// it as it was until then.
    pub async fn compress_again(&self, level: i32) -> Result<u64, PackError> {
        let Some(key) = self.quick().waiting.pop_front() else { return Ok(0) };
        let packs = Arc::clone(&self.cache);
        let work = move || {
            let Some(pack) = cached(&packs, key)?.filter(|pack| pack.form().is_quick) else {
                return Ok(None);
            };
            let shorter = again(&pack, level).map_err(|error| PackError::Cache(error.into()))?;
            let saved = pack.encoded_len().saturating_sub(shorter.encoded_len());
            Ok(Some((shorter, saved)))
        };
        let worked = tokio::task::spawn_blocking(work).await.map_err(PackError::Encoder)?;
        let Some((shorter, saved)) = worked? else { return Ok(0) };
        let _turn = self.making.enter(key).await;
        self.keep(key, shorter).await?;
        // Who asks from now on gets what the cache says the length of.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        Ok(saved)
    }

    fn quick(&self) -> MutexGuard<'_, Quick> {
        self.quick.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The patch with this key, or else from `make`; nothing if that says that none pays.
    pub async fn patch(
        &self,
        key: Digest,
        make: impl Future<Output = Result<Option<Patch>, ReadError>> + Send,
    ) -> Result<Option<Arc<Patch>>, ReadError> {
        let _turn = self.making.enter(key).await;
        let packs = Arc::clone(&self.cache);
        let cached = tokio::task::spawn_blocking(move || sealed::get(&packs, key)).await??;
        // No bytes say that none pays; what can't be read is made anew.
        match cached {
            Some(bytes) if bytes.is_empty() => return Ok(None),
            Some(bytes) => {
                if let Some(patch) = Patch::from_bytes(&bytes) {
                    return Ok(Some(Arc::new(patch)));
                }
            }
            None => {}
        }
        let patch = make.await?.map(Arc::new);
        let (packs, made) = (Arc::clone(&self.cache), patch.clone());
        let keep = move || {
            let bytes = made.map(|patch| patch.to_bytes());
            sealed::put(&packs, key, &[bytes.as_deref().unwrap_or_default()])
        };
        tokio::task::spawn_blocking(keep).await??;
        Ok(patch)
    }

    /// A pack that an answer still has in memory.
    fn recent(&self, key: Digest) -> Option<Pack> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).get(&key)?.upgrade()
    }

    fn remember(&self, key: Digest, pack: &Pack) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|_, pack| pack.is_alive());
        recent.insert(key, pack.downgrade());
    }
}

impl Quick {
    fn add(&mut self, key: Digest) {
        if self.waiting.len() < WAITING && !self.waiting.contains(&key) {
            self.waiting.push_back(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packs::framed::Form;
    use crate::packs::zstd;

    #[tokio::test]
    async fn a_damaged_pack_is_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path().to_owned(), 1 << 20).unwrap();
        let packs = Made::new(cache);
        let key = Digest([1; 32]);
        assert_eq!(packs.pack_len(key), None);
        let of = |bytes: &[u8]| Pack::new(bytes, Form::default()).unwrap();
        let made = |bytes: &'static [u8]| async move { Ok(of(bytes)) };
        let pack = async |bytes| packs.pack(key, made(bytes)).await.unwrap().frames();
        assert_eq!(pack(b"pack").await, of(b"pack").frames());
        assert_eq!(pack(b"never").await, of(b"pack").frames());
        assert_eq!(packs.pack_len(key), Some(4));
        let file = directory.path().join(key.hex().to_string());
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[2] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(pack(b"again").await, of(b"again").frames());
        assert_eq!(packs.pack_len(key), Some(5));
    }

    #[tokio::test]
    async fn what_was_compressed_quickly_waits_for_being_compressed_again() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Made::new(Cache::open(directory.path().to_owned(), 1 << 20).unwrap());
        let packs = open();
        let text: Vec<u8> = (0..90_000_u32).flat_map(|n| (n * n % 7919).to_le_bytes()).collect();
        let of = |bytes: &[u8], is_quick| {
            let form = Form { is_script: true, is_quick };
            Pack::new(&zstd::encode(bytes, 1).unwrap(), form).unwrap()
        };
        let (quick, other) = (Digest([1; 32]), Digest([2; 32]));
        let held = packs.pack(quick, async { Ok(of(&text, true)) }).await.unwrap();
        packs.pack(other, async { Ok(of(&text, false)) }).await.unwrap();
        let never = async || unreachable!("it is there");
        packs.pack(quick, never()).await.unwrap();
        assert_eq!(packs.quick_packs(Duration::from_secs(3600)), 0, "one was just made");
        assert_eq!(packs.quick_packs(Duration::ZERO), 1);

        // An accelerator that begins anew learns of it from who asks.
        drop(packs);
        let packs = open();
        assert_eq!(packs.quick_packs(Duration::ZERO), 0);
        packs.pack(quick, never()).await.unwrap();
        let before = packs.pack_len(quick).unwrap();
        assert_eq!(before, held.encoded_len());
        let saved = packs.compress_again(zstd::BEST).await.unwrap();
        let after = packs.pack(quick, never()).await.unwrap();
        assert!(saved > 0);
        assert_eq!([packs.pack_len(quick).unwrap(), after.encoded_len()], [before - saved; 2]);
        assert_eq!(after.form(), Form { is_script: true, is_quick: false });
        assert_eq!(packs.quick_packs(Duration::ZERO), 0);
        assert_eq!(packs.compress_again(zstd::BEST).await.unwrap(), 0);
    }
}
