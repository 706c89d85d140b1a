//! What is made once for all devices, packs and patches: kept in a cache, and shared while it is made and sent.

use super::packs::{BESIDE, cached, keep};
use super::{Cache, sealed};
use crate::packs::cut::{PackError, ReadError};
use crate::packs::framed::{Pack, WeakPack, encoded_len};
use crate::patch::Patch;
use crate::single_flight::SingleFlight;
use skiff_protocol::Digest;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Packs and patches, by what they are made of.
#[derive(Debug)]
pub struct Made {
    cache: Arc<Cache>,
    making: SingleFlight<Digest>,
    /// Packs that answers have in memory: many devices that pull the same share them.
    recent: Mutex<HashMap<Digest, WeakPack>>,
}

impl Made {
    /// Those in a cache.
    pub fn new(cache: Cache) -> Self {
        Self { cache: Arc::new(cache), making: SingleFlight::default(), recent: Mutex::default() }
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
                let (packs, made) = (Arc::clone(&self.cache), pack.clone());
                let keep = tokio::task::spawn_blocking(move || keep(&packs, key, &made));
                keep.await.map_err(PackError::Encoder)??;
                pack
            }
        };
        self.remember(key, &pack);
        Ok(pack)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_damaged_pack_is_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path().to_owned(), 1 << 20).unwrap();
        let packs = Made::new(cache);
        let key = Digest([1; 32]);
        assert_eq!(packs.pack_len(key), None);
        let of = |bytes: &[u8]| Pack::new(bytes, false).unwrap();
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
}
