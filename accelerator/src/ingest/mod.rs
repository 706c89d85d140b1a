//! Ingest: reads an image's layers once, as streams, and keeps what the planner needs.
//!
//! ```text
//! registry ──blob──▶ SHA-256 ──▶ read_layer ──▶ AppliedLayer, seek index ──▶ store
//! ```
//!
//! A layer's blob digest, size and diff ID are checked before anything of it is kept. Two requests
//! that want the same layer wait for one reading of it. Only of a layer that can't be indexed (zstd in
//! a single frame) the uncompressed tar is wanted; it is read once more, into the layer cache.

mod error;
mod layer;
mod trees;

pub use error::IngestError;

use crate::cache::Cache;
use crate::layer::Stack;
use crate::meter::Meter;
use crate::reference::Reference;
use crate::registry::Registry;
use crate::registry::manifest::{Config, Document, Manifest};
use crate::registry::platform::Platform;
use crate::single_flight::SingleFlight;
use crate::store::Store;
use crate::tree::Tree;
use skiff_protocol::Digest;
use std::sync::Arc;
use trees::Trees;

/// A document with its digest and media type.
#[derive(Debug, Clone)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A layer of an image.
#[derive(Debug, Clone)]
pub struct LayerRef {
    /// The repository to read it from.
    pub repository: String,
    /// Digest of the blob.
    pub digest: Digest,
    /// Bytes of the blob.
    pub size: u64,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
}

/// An image that has been ingested.
#[derive(Debug, Clone)]
pub struct Image {
    /// The index, where the reference names one.
    pub index: Option<Blob>,
    /// The manifest.
    pub manifest: Blob,
    /// The config.
    pub config: Blob,
    /// Its layers, base first.
    pub layers: Vec<LayerRef>,
    /// Its merged tree.
    pub tree: Arc<Tree>,
    /// The tree's digest.
    pub tree_digest: Digest,
}

/// Ingests images of one registry.
#[derive(Debug)]
pub struct Ingest {
    registry: Arc<Registry>,
    store: Store,
    layers: Arc<Cache>,
    under_way: SingleFlight<Digest>,
    trees: Trees,
}

impl Ingest {
    /// Ingests from this registry into this store and cache of uncompressed layers.
    pub fn new(registry: Arc<Registry>, store: Store, layers: Cache) -> Self {
        Self {
            registry,
            store,
            layers: Arc::new(layers),
            under_way: SingleFlight::default(),
            trees: Trees::default(),
        }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The image that a reference names now, for a platform.
    pub async fn image(
        self: &Arc<Self>,
        reference: &Reference,
        platform: &Platform,
        meter: &Meter,
    ) -> Result<Image, IngestError> {
        let name = reference.to_string();
        let repository = &reference.repository;
        let top = self.registry.resolve(reference).await.map_err(IngestError::Registry)?;
        let bytes = self.registry.manifest(repository, top.digest).await;
        let bytes = bytes.map_err(IngestError::Registry)?;
        let understood = |source| IngestError::Document { image: name.clone(), source };
        let document = Document::parse(&bytes, &top.media_type).map_err(understood)?;
        let (index, manifest, bytes, digest) = match document {
            Document::Manifest(manifest) => (None, manifest, bytes, top.digest),
            Document::Index(index) => {
                let chosen = index
                    .pick(platform)
                    .ok_or_else(|| IngestError::NoPlatform { image: name.clone() })?;
                let inner = self.registry.manifest(repository, chosen.digest).await;
                let inner = inner.map_err(IngestError::Registry)?;
                let parsed = Document::parse(&inner, &chosen.media_type).map_err(understood)?;
                let Document::Manifest(manifest) = parsed else {
                    return Err(IngestError::Nested { image: name });
                };
                let digest = chosen.digest;
                let media_type = index.media_type;
                (Some(Blob { digest: top.digest, media_type, bytes }), manifest, inner, digest)
            }
        };
        let media_type = manifest.media_type.clone();
        let blob = Blob { digest, media_type, bytes };
        self.assemble(name, repository, platform, index, blob, manifest, meter).await
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one image, once")]
    async fn assemble(
        self: &Arc<Self>,
        name: String,
        repository: &str,
        platform: &Platform,
        index: Option<Blob>,
        manifest: Blob,
        parsed: Manifest,
        meter: &Meter,
    ) -> Result<Image, IngestError> {
        let bytes = self.registry.config(repository, parsed.config.digest).await;
        let bytes = bytes.map_err(IngestError::Registry)?;
        let config = Config::parse(&bytes)
            .map_err(|source| IngestError::Document { image: name.clone(), source })?;
        if config.platform.as_ref().is_some_and(|offered| platform.rank(offered).is_none()) {
            return Err(IngestError::NoPlatform { image: name });
        }
        if config.diff_ids.len() != parsed.layers.len() || parsed.layers.is_empty() {
            return Err(IngestError::LayerCount { image: name });
        }
        let layers: Vec<LayerRef> = parsed
            .layers
            .iter()
            .zip(&config.diff_ids)
            .map(|(layer, &diff_id)| LayerRef {
                repository: repository.to_owned(),
                digest: layer.digest,
                size: layer.size,
                diff_id,
            })
            .collect();
        let (tree, tree_digest) = self.tree(manifest.digest, &layers, meter).await?;
        let (digest, media_type) = (parsed.config.digest, parsed.config.media_type);
        let config = Blob { digest, media_type, bytes };
        Ok(Image { index, manifest, config, layers, tree, tree_digest })
    }

    /// The tree of the image with this manifest and its digest, if it was ingested before. Asks no
    /// registry.
    pub async fn known(
        &self,
        manifest: Digest,
    ) -> Result<Option<(Arc<Tree>, Digest)>, IngestError> {
        if let Some(found) = self.trees.get(manifest) {
            return Ok(Some(found));
        }
        let stored = self.store.tree(manifest).await.map_err(IngestError::Store)?;
        Ok(stored.map(|(tree, digest)| self.trees.put(manifest, tree, digest)))
    }

    /// The tree of a base layer, if it was planned before.
    pub async fn base(&self, digest: Digest) -> Result<Option<Arc<Tree>>, IngestError> {
        if let Some((tree, _)) = self.trees.get(digest) {
            return Ok(Some(tree));
        }
        let stored = self.store.base(digest).await.map_err(IngestError::Store)?;
        Ok(stored.map(|tree| self.trees.put(digest, tree, digest).0))
    }

    /// The merged tree: a known one, or by reading what layers are not known.
    async fn tree(
        self: &Arc<Self>,
        manifest: Digest,
        layers: &[LayerRef],
        meter: &Meter,
    ) -> Result<(Arc<Tree>, Digest), IngestError> {
        if let Some(found) = self.known(manifest).await? {
            return Ok(found);
        }
        let mut stack = Stack::default();
        for layer in layers {
            let applied = self.layer(layer, meter).await?;
            let push = move || {
                stack.push(applied);
                stack
            };
            stack = tokio::task::spawn_blocking(push).await.map_err(IngestError::Task)?;
        }
        let tree = stack.into_tree();
        let digest = Digest(tree.digest());
        let of: Vec<Digest> = layers.iter().map(|layer| layer.digest).collect();
        let kept = self.store.put_tree(manifest, &tree, digest, &of).await;
        kept.map_err(IngestError::Store)?;
        Ok(self.trees.put(manifest, tree, digest))
    }
}
