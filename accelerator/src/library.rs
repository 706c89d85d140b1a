//! The service's library: ingest, store and caches put together.

use crate::cache::Cache;
use crate::ingest::{Image, Ingest, IngestError, LayerRef};
use crate::meter::Meter;
use crate::packs::cut::{PackError, ReadContent};
use crate::plan::Blob;
use crate::reference::{Reference, ReferenceError};
use crate::registry::platform::Platform;
use crate::registry::{Registry, RegistryError};
use crate::serve::library::{Known, Library};
use crate::serve::refusal::Refusal;
use crate::single_flight::SingleFlight;
use crate::store::{PostgresUrl, Store, StoreError};
use crate::tree::Content;
use skiff_protocol::Digest;
use skiff_protocol::record::Role;
use skiff_protocol::request;
use skiff_protocol::response::FailureCode;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Images of one registry, with everything that is kept of them.
#[derive(Debug)]
pub struct Images {
    ingest: Arc<Ingest>,
    packs: Arc<Cache>,
    making: SingleFlight,
}

/// Why the library can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The registry's address is wrong.
    #[error(transparent)]
    Registry(RegistryError),
    /// The data directory can't be used.
    #[error("the data directory {} can't be used", path.display())]
    Data {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database can't be used.
    #[error(transparent)]
    Store(StoreError),
}

impl Images {
    /// Opens the data directory; each of the two caches may have so many bytes. Metadata are in the
    /// database, or in the directory if there is none.
    pub async fn open(
        registry: &str,
        data: &Path,
        cache_bytes: u64,
        database: Option<&PostgresUrl>,
    ) -> Result<Self, OpenError> {
        let registry = Registry::open(registry).map_err(OpenError::Registry)?;
        let failed = |source| OpenError::Data { path: data.to_owned(), source };
        let layers = Cache::open(data.join("cache/layers"), cache_bytes).map_err(failed)?;
        let packs = Cache::open(data.join("cache/packs"), cache_bytes).map_err(failed)?;
        let store = Store::open(data, database).await.map_err(OpenError::Store)?;
        let ingest = Arc::new(Ingest::new(registry, store, layers));
        Ok(Self { ingest, packs: Arc::new(packs), making: SingleFlight::default() })
    }

    /// Ingests an image.
    pub async fn ingest(
        &self,
        reference: &str,
        platform: &Platform,
        meter: &Meter,
    ) -> Result<Image, Refusal> {
        let reference = Reference::parse(reference).map_err(|error| bad_reference(&error))?;
        self.ingest.image(&reference, platform, meter).await.map_err(|error| refused(&error))
    }
}

fn bad_reference(error: &ReferenceError) -> Refusal {
    Refusal::because(FailureCode::NotFound, error)
}

/// The protocol's code for what went wrong.
fn refused(error: &IngestError) -> Refusal {
    let code = match error {
        IngestError::Registry(error) => match error {
            RegistryError::NotFound { .. } => FailureCode::NotFound,
            RegistryError::Unavailable { .. } => FailureCode::RegistryUnavailable,
            RegistryError::Denied { .. } => FailureCode::RegistryDenied,
            RegistryError::Damaged { .. } => FailureCode::BadImage,
            RegistryError::Address { .. } => FailureCode::Internal,
        },
        IngestError::NoPlatform { .. } => FailureCode::NoPlatform,
        IngestError::Document { .. }
        | IngestError::Nested { .. }
        | IngestError::LayerCount { .. }
        | IngestError::Layer { .. }
        | IngestError::Damaged { .. } => FailureCode::BadImage,
        IngestError::Cache(_) | IngestError::Store(_) | IngestError::Task(_) => {
            FailureCode::Internal
        }
    };
    Refusal::because(code, error)
}

fn platform_of(platform: &request::Platform<'_>) -> Platform {
    Platform::new(platform.os, platform.architecture, platform.variant)
}

fn known(image: Image) -> Known<Arc<[LayerRef]>> {
    let contents = image.tree.content_bytes();
    let encoded: u64 = image.layers.iter().map(|layer| layer.size).sum();
    let blob = |role, blob: crate::ingest::Blob| Blob {
        role,
        digest: blob.digest,
        media_type: blob.media_type,
        bytes: blob.bytes,
    };
    let target = image.index.as_ref().unwrap_or(&image.manifest).digest;
    let manifest = image.manifest.digest;
    let mut blobs: Vec<Blob> =
        image.index.map(|index| blob(Role::Index, index)).into_iter().collect();
    blobs.push(blob(Role::Manifest, image.manifest));
    blobs.push(blob(Role::Config, image.config));
    Known {
        target,
        manifest,
        tree: image.tree,
        tree_digest: image.tree_digest,
        blobs,
        ratio: encoded.saturating_mul(1000) / contents.max(1),
        image: image.layers.into(),
    }
}

/// Bytes of the checksum behind a cached pack.
const SEAL: usize = 4;

/// A pack as it lies in the cache: with its CRC-32 behind it, since disks are not to be trusted.
fn sealed(pack: &[u8]) -> Vec<u8> {
    [pack, &crc32fast::hash(pack).to_le_bytes()].concat()
}

/// The pack in a cached file, if it is what was written.
fn unsealed(bytes: &[u8]) -> Option<&[u8]> {
    let (pack, seal) = bytes.split_last_chunk::<SEAL>()?;
    (crc32fast::hash(pack).to_le_bytes() == *seal).then_some(pack)
}

/// Uncompressed layers, by the image's index and the layer's.
#[derive(Debug)]
pub struct Layers(HashMap<(usize, u32), File>);

impl ReadContent for Layers {
    fn read(
        &self,
        image: usize,
        content: &Content,
        offset: u64,
        into: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let file = self.0.get(&(image, content.layer));
        let file = file.ok_or("the content's layer was not opened")?;
        into.fill(0);
        let end = offset + into.len() as u64;
        for extent in &content.extents {
            let (from, to) = (extent.offset.max(offset), (extent.offset + extent.len).min(end));
            if from < to {
                let piece = usize::try_from(from - offset)?..usize::try_from(to - offset)?;
                file.read_exact_at(&mut into[piece], extent.tar_offset + (from - extent.offset))?;
            }
        }
        Ok(())
    }
}

impl Library for Images {
    type Image = Arc<[LayerRef]>;
    type Reader = Layers;

    async fn image(
        &self,
        reference: &str,
        platform: &request::Platform<'_>,
        meter: &Meter,
    ) -> Result<Known<Self::Image>, Refusal> {
        Ok(known(self.ingest(reference, &platform_of(platform), meter).await?))
    }

    async fn held(
        &self,
        reference: &str,
        manifest: Digest,
        platform: &request::Platform<'_>,
        meter: &Meter,
    ) -> Result<Known<Self::Image>, Refusal> {
        let named = Reference::parse(reference).map_err(|error| bad_reference(&error))?;
        // What is known needs no registry: the image may be gone from it.
        if let Some((tree, tree_digest)) =
            self.ingest.known(manifest).await.map_err(|error| refused(&error))?
        {
            return Ok(Known {
                target: manifest,
                manifest,
                tree,
                tree_digest,
                blobs: Vec::new(),
                ratio: 1000,
                image: [].into(),
            });
        }
        let reference = Reference::digest(&named.repository, manifest);
        let image = self.ingest.image(&reference, &platform_of(platform), meter).await;
        Ok(known(image.map_err(|error| refused(&error))?))
    }

    async fn reader(
        &self,
        images: Vec<Self::Image>,
        needed: BTreeSet<(usize, u32)>,
    ) -> Result<Self::Reader, Refusal> {
        let mut files = HashMap::new();
        for (image, number) in needed {
            let layers = images.get(image).zip(usize::try_from(number).ok());
            let layer =
                layers.and_then(|(layers, number)| layers.get(number)).ok_or_else(|| {
                    Refusal::new(FailureCode::Internal, "a tree names a layer that its image lacks")
                })?;
            let file = self.ingest.tar(layer, &Meter::default()).await;
            files.insert((image, number), file.map_err(|error| refused(&error))?);
        }
        Ok(Layers(files))
    }

    async fn pack(
        &self,
        key: Digest,
        make: impl FnOnce() -> Result<Vec<u8>, PackError> + Send + 'static,
    ) -> Result<Arc<[u8]>, PackError> {
        let _turn = self.making.enter(key).await;
        let packs = Arc::clone(&self.packs);
        let work = move || {
            let name = key.hex().to_string();
            let failed = |error: std::io::Error| PackError::Cache(error.into());
            if let Some(mut file) = packs.get(&name) {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).map_err(failed)?;
                // A damaged pack is made again.
                if let Some(pack) = unsealed(&bytes) {
                    return Ok(pack.into());
                }
            }
            let pack = make()?;
            let temporary = packs.temporary();
            std::fs::write(&temporary, sealed(&pack)).map_err(failed)?;
            packs.take_in(&temporary, &name).map_err(failed)?;
            Ok(pack.into())
        };
        tokio::task::spawn_blocking(work).await.map_err(PackError::Encoder)?
    }

    fn pack_len(&self, key: Digest) -> Option<u64> {
        self.packs.file_len(&key.hex().to_string())?.checked_sub(SEAL as u64)
    }

    async fn keep_plan(&self, id: Digest, inputs: Vec<u8>) -> Result<(), Refusal> {
        let kept = self.ingest.store().put_plan(id, inputs).await;
        kept.map_err(|error| Refusal::internal(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_damaged_pack_is_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let registry = format!("oci:{}", directory.path().display());
        let images = Images::open(&registry, directory.path(), 1 << 20, None).await.unwrap();
        let key = Digest([1; 32]);
        assert_eq!(images.pack_len(key), None);
        let made = |bytes: &'static [u8]| move || Ok(bytes.to_vec());
        assert_eq!(*images.pack(key, made(b"pack")).await.unwrap(), *b"pack");
        assert_eq!(*images.pack(key, made(b"never")).await.unwrap(), *b"pack");
        assert_eq!(images.pack_len(key), Some(4));
        let file = directory.path().join("cache/packs").join(key.hex().to_string());
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[2] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(*images.pack(key, made(b"again")).await.unwrap(), *b"again");
        assert_eq!(images.pack_len(key), Some(5));
    }
}
