//! Why an image can't be ingested.

use crate::layer::LayerError;
use crate::registry::RegistryError;
use crate::registry::manifest::ManifestError;
use crate::store::StoreError;
use skiff_protocol::Digest;

/// Why an image can't be ingested.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The registry does not give it.
    #[error(transparent)]
    Registry(RegistryError),
    /// Its index, manifest or config is not understood.
    #[error("the image {image} can't be used")]
    Document {
        /// The image.
        image: String,
        /// Why.
        source: ManifestError,
    },
    /// It has nothing for the device.
    #[error("the image {image} has nothing for this device's platform; push it for this platform")]
    NoPlatform {
        /// The image.
        image: String,
    },
    /// An index in an index.
    #[error("the image {image} has an index within its index; push it again with another tool")]
    Nested {
        /// The image.
        image: String,
    },
    /// Manifest and config contradict each other.
    #[error("the image {image} has no layers, or another number than its config; push it again")]
    LayerCount {
        /// The image.
        image: String,
    },
    /// A layer can't be read.
    #[error("the layer {digest} can't be unpacked")]
    Layer {
        /// The blob.
        digest: Digest,
        /// Why.
        source: LayerError,
    },
    /// A layer is not what its digests say.
    #[error("the layer {digest} is damaged in the registry: its {what} differs; push it again")]
    Damaged {
        /// The blob.
        digest: Digest,
        /// What differs.
        what: &'static str,
    },
    /// The cache can't be written.
    #[error("the layer cache can't be used; check the disk of the data directory")]
    Cache(#[source] std::io::Error),
    /// The database fails.
    #[error(transparent)]
    Store(StoreError),
    /// A task panicked or was cancelled.
    #[error("the reading of a layer ended early")]
    Task(#[source] tokio::task::JoinError),
}
