//! The service's library: ingest, store and caches put together.

use crate::access::Access;
use crate::asked::Asked;
use crate::cache::{Cache, Made, Place};
use crate::contents::Layers;
use crate::contents::scratch::Scratch;
use crate::contents::segments::Segments;
use crate::graph::Graph;
use crate::hot::Item;
use crate::ingest::{Image, Ingest, IngestError, LayerRef};
use crate::meter::Meter;
use crate::packs::cut::{PackError, ReadError};
use crate::packs::framed::Pack;
use crate::patch::Patch;
use crate::plan::{Blob, Delta, Wanted};
use crate::reference::{Reference, ReferenceError};
use crate::registry::platform::Platform;
use crate::registry::{Registry, RegistryError};
use crate::serve::library::{Known, Library, Planned};
use crate::serve::refusal::Refusal;
use crate::single_flight::SingleFlight;
use crate::sketch::Sketched;
use crate::store::{PostgresUrl, Store, StoreError};
use crate::tree::Tree;
use skiff_protocol::Digest;
use skiff_protocol::record::Role;
use skiff_protocol::request::{self, Codecs};
use skiff_protocol::response::FailureCode;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of layer blobs that may be kept on the disk for patches within a stream.
const SCRATCH: u64 = 256 << 20;

/// Images of one registry, with everything that is kept of them.
#[derive(Debug)]
pub struct Images {
    registry: Arc<Registry>,
    ingest: Arc<Ingest>,
    asked: Asked,
    made: Arc<Made>,
    segments: Arc<Segments>,
    predicting: SingleFlight<Digest>,
    /// Nobody else has these caches.
    _place: Place,
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
    /// Another process has its caches.
    #[error(
        "the data directory {} is used by another `skiff-accelerator serve`; stop that, or give this one another --data",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The database can't be used.
    #[error(transparent)]
    Store(StoreError),
}

impl Images {
    /// Opens the data directory, as the one service that uses it; each of the two caches may have so many bytes.
    /// Metadata are in the database, or in the directory if there is none.
    pub async fn open(
        registry: &str,
        data: &Path,
        cache_bytes: u64,
        database: Option<&PostgresUrl>,
    ) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Data { path: data.to_owned(), source };
        let place = Place::of_service(data).map_err(failed)?;
        let place = place.ok_or_else(|| OpenError::InUse { path: data.to_owned() })?;
        Self::open_in(place, registry, data, cache_bytes, database).await
    }

    /// The same beside a service that may use it, for a while: caches are others.
    pub async fn open_beside(
        registry: &str,
        data: &Path,
        cache_bytes: u64,
        database: Option<&PostgresUrl>,
    ) -> Result<Self, OpenError> {
        let place = Place::of_ingest(data);
        let place = place.map_err(|source| OpenError::Data { path: data.to_owned(), source })?;
        Self::open_in(place, registry, data, cache_bytes, database).await
    }

    async fn open_in(
        place: Place,
        registry: &str,
        data: &Path,
        cache_bytes: u64,
        database: Option<&PostgresUrl>,
    ) -> Result<Self, OpenError> {
        let registry = Registry::open(registry).map_err(OpenError::Registry)?;
        let failed = |source| OpenError::Data { path: data.to_owned(), source };
        let layers = Cache::open(place.path().join("layers"), cache_bytes).map_err(failed)?;
        let packs = Cache::open(place.path().join("packs"), cache_bytes).map_err(failed)?;
        let store = Store::open(data, database).await.map_err(OpenError::Store)?;
        let registry = Arc::new(registry);
        let scratch = Scratch::new(place.path().to_owned(), SCRATCH);
        let segments = Arc::new(Segments::new(Arc::clone(&registry), scratch));
        let ingest = Arc::new(Ingest::new(Arc::clone(&registry), store, layers));
        Ok(Self {
            registry,
            ingest,
            asked: Asked::default(),
            made: Arc::new(Made::new(packs)),
            segments,
            predicting: SingleFlight::default(),
            _place: place,
        })
    }

    /// The metadata.
    pub fn store(&self) -> &Store {
        self.ingest.store()
    }

    /// Where images come from.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The tree of the image with this manifest, if it was ingested before.
    pub(crate) async fn tree(&self, manifest: Digest) -> Result<Option<Arc<Tree>>, Refusal> {
        let known = self.ingest.known(manifest).await.map_err(|error| refused(&error))?;
        Ok(known.map(|(tree, _)| tree))
    }

    /// The images that are being looked at for what they start with.
    pub(crate) fn predicting(&self) -> &SingleFlight<Digest> {
        &self.predicting
    }

    /// Packs and patches.
    pub fn made(&self) -> &Arc<Made> {
        &self.made
    }

    /// Whether there is room for patches that nobody waits for.
    pub fn keeps_patches(&self) -> bool {
        self.made.keeps()
    }

    /// The platforms that devices got images for.
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Ingests an image.
    pub async fn ingest(
        &self,
        reference: &str,
        platform: &Platform,
        meter: &Meter,
    ) -> Result<Image, Refusal> {
        let reference = Reference::parse(reference).map_err(|error| bad_reference(&error))?;
        self.ingest_named(&reference, platform, meter).await
    }

    /// Ingests the image that a reference names now.
    pub async fn ingest_named(
        &self,
        reference: &Reference,
        platform: &Platform,
        meter: &Meter,
    ) -> Result<Image, Refusal> {
        self.ingest.image(reference, platform, meter).await.map_err(|error| refused(&error))
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

impl Library for Images {
    type Image = Arc<[LayerRef]>;
    type Reader = Layers;

    async fn image(
        &self,
        reference: &str,
        platform: &request::Platform<'_>,
        meter: &Meter,
    ) -> Result<Known<Self::Image>, Refusal> {
        let platform = platform_of(platform);
        let image = self.ingest(reference, &platform, meter).await?;
        self.asked.note(&platform);
        Ok(known(image))
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

    async fn image_of(
        &self,
        reference: &str,
        manifest: Digest,
        platform: &request::Platform<'_>,
    ) -> Result<Self::Image, Refusal> {
        let named = Reference::parse(reference).map_err(|error| bad_reference(&error))?;
        let reference = Reference::digest(&named.repository, manifest);
        let platform = platform_of(platform);
        let image = self.ingest_named(&reference, &platform, &Meter::default()).await?;
        Ok(image.layers.into())
    }

    async fn is_in(
        &self,
        access: &Access,
        reference: &str,
        manifest: Digest,
        tree: Digest,
    ) -> Result<bool, Refusal> {
        if access.is_all() {
            return Ok(true);
        }
        let named = Reference::parse(reference).map_err(|error| bad_reference(&error))?;
        if !access.has(&named.repository) {
            return Ok(false);
        }
        // The names by which it was planned for devices: the registry may have it no more.
        let names = self.ingest.store().names_of(tree).await;
        let names = names.map_err(|error| Refusal::internal(&error))?;
        let mut names = names.iter().filter_map(|name| Reference::without_host(name).ok());
        if names.any(|name| access.has(&name.repository)) {
            return Ok(true);
        }
        match self.registry.manifest(&named.repository, manifest).await {
            Ok(_) => Ok(true),
            Err(RegistryError::Unavailable { .. }) => {
                let text = "the registry does not say whether it has an image that is held";
                Err(Refusal::new(FailureCode::RegistryUnavailable, text))
            }
            Err(_) => Ok(false),
        }
    }

    async fn reader(
        &self,
        images: Vec<Self::Image>,
        needed: BTreeSet<(usize, u32)>,
        again: bool,
    ) -> Result<Self::Reader, Refusal> {
        let mut layers = HashMap::new();
        for (image, number) in needed {
            let of_image = images.get(image).zip(usize::try_from(number).ok());
            let layer =
                of_image.and_then(|(layers, number)| layers.get(number)).ok_or_else(|| {
                    Refusal::new(FailureCode::Internal, "a tree names a layer that its image lacks")
                })?;
            let opened = self.ingest.open(layer).await.map_err(|error| refused(&error))?;
            layers.insert((image, number), opened);
        }
        Ok(Layers::new(layers, Arc::clone(&self.segments), again))
    }

    async fn pack(
        &self,
        key: Digest,
        make: impl Future<Output = Result<Pack, PackError>> + Send,
    ) -> Result<Pack, PackError> {
        self.made.pack(key, make).await
    }

    async fn patch(
        &self,
        key: Digest,
        make: impl Future<Output = Result<Option<Patch>, ReadError>> + Send,
    ) -> Result<Option<Arc<Patch>>, ReadError> {
        self.made.patch(key, make).await
    }

    async fn sketches(&self, manifest: Digest) -> Result<Sketched, Refusal> {
        let sketches = self.ingest.store().sketches(manifest).await;
        sketches.map_err(|error| Refusal::internal(&error))
    }

    fn pack_len(&self, key: Digest) -> Option<u64> {
        self.made.pack_len(key)
    }

    async fn base(&self, digest: Digest) -> Result<Option<Arc<Tree>>, Refusal> {
        let base = self.ingest.base(digest).await;
        base.map_err(|error| refused(&error))
    }

    async fn application(&self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        let images = self.ingest.store().application(name).await;
        images.map_err(|error| Refusal::internal(&error))
    }

    async fn keep_plan(&self, plan: Planned) -> Result<(), Refusal> {
        let kept = async {
            let store = self.ingest.store();
            for (digest, tree) in &plan.bases {
                store.put_base(*digest, tree).await?;
            }
            for delta in &plan.deltas {
                store.put_delta(delta).await?;
            }
            for (name, tree) in &plan.names {
                // Without the registry's host, which differs from device to device.
                let name = Reference::parse(name).map_or(name.clone(), |name| name.to_string());
                store.put_state(*tree, &name).await?;
            }
            store.put_plan(plan.id, plan.inputs).await
        };
        kept.await.map_err(|error| Refusal::internal(&error))
    }

    async fn plan(&self, id: Digest) -> Result<Option<Vec<u8>>, Refusal> {
        self.ingest.store().plan(id).await.map_err(|error| Refusal::internal(&error))
    }

    async fn hot(
        &self,
        application: Option<&str>,
        class: &str,
        platform: &request::Platform<'_>,
        wanted: &[Wanted],
        images: &[Self::Image],
    ) -> Result<Vec<Item>, Refusal> {
        let platform = platform_of(platform).to_string();
        self.hot_set(application, class, &platform, wanted, images).await
    }

    async fn measured(&self, delta: &Delta, codecs: Codecs, bytes: u64) -> Result<(), Refusal> {
        let kept = self.ingest.store().measured(delta, codecs, bytes).await;
        kept.map_err(|error| Refusal::internal(&error))
    }

    async fn sent_bytes(&self, delta: &Delta, codecs: Codecs) -> Result<Option<u64>, Refusal> {
        let bytes = self.ingest.store().sent_bytes(delta, codecs).await;
        bytes.map_err(|error| Refusal::internal(&error))
    }

    async fn graph(&self) -> Result<Graph, Refusal> {
        self.ingest.store().graph().await.map_err(|error| Refusal::internal(&error))
    }
}
