//! Indexes, manifests and configs, in the forms of OCI and of Docker schema 2.
//!
//! A document's kind is its `mediaType`, else what the registry says of it, else what it contains.
//! A document that is both a manifest and an index is refused: two clients would see two images in
//! it (CVE-2021-41190). Only what the accelerator needs is read; what a device gets is always the
//! original bytes.

use super::platform::Platform;
use serde::Deserialize;
use skiff_protocol::Digest;

/// Largest index, manifest or config that is read, the bound that registries and clients share.
pub const MAX_DOCUMENT: u64 = 4 << 20;

/// Media types of manifests and indexes, as an `Accept` header wants them.
pub const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Whether a media type is a manifest's or an index's.
pub fn is_image(media_type: &str) -> bool {
    [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST].contains(&media_type)
}

/// What a blob is and how it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Its media type.
    pub media_type: String,
    /// Its SHA-256.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
}

/// An index or a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// Images for several platforms.
    Index(Index),
    /// One image.
    Manifest(Manifest),
}

/// Images for several platforms, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The media type of the index itself.
    pub media_type: String,
    /// Its manifests; those without a platform suit none.
    pub manifests: Vec<(Descriptor, Option<Platform>)>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The media type of the manifest itself.
    pub media_type: String,
    /// The image's config.
    pub config: Descriptor,
    /// Its layers, base first.
    pub layers: Vec<Descriptor>,
}

/// What is needed of a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the image runs, if it says so.
    pub platform: Option<Platform>,
    /// Digests of the uncompressed layers, base first.
    pub diff_ids: Vec<Digest>,
}

/// Why a document is not understood.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not the JSON that it should be.
    #[error("it is not a valid {what}; push the image again")]
    Json {
        /// Manifest, index or config.
        what: &'static str,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// It names something other than by SHA-256.
    #[error("it has the digest {0:?}, but only sha256 is understood; push the image again")]
    Digest(String),
    /// Docker's first format.
    #[error(
        "it is a Docker schema 1 manifest, which has no layer digests to trust; push the image \
         again with a current tool"
    )]
    Schema1,
    /// A manifest and an index in one.
    #[error("it is both a manifest and an index; push the image again with another tool")]
    Ambiguous,
    /// Something else, like a chart or a signature.
    #[error("it is {0:?}, not an image")]
    NotAnImage(String),
    /// A layer that is kept elsewhere.
    #[error(
        "its layer {0} is not in the registry (a foreign layer); only Windows images have those"
    )]
    Foreign(Digest),
    /// A layer in an unknown format.
    #[error("its layer {digest} is {media_type:?}, but only tar, gzip and zstd are understood")]
    LayerType {
        /// The layer.
        digest: Digest,
        /// What it says to be.
        media_type: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    platform: Option<RawPlatform>,
    #[serde(default)]
    urls: Vec<String>,
}

#[derive(Deserialize)]
struct RawPlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    #[serde(default)]
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<Vec<RawDescriptor>>,
    #[serde(default)]
    config: Option<RawDescriptor>,
    #[serde(default)]
    layers: Option<Vec<RawDescriptor>>,
    #[serde(default)]
    fs_layers: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct RawConfig {
    #[serde(flatten)]
    platform: RawPlatform,
    rootfs: RawRootfs,
}

#[derive(Deserialize)]
struct RawRootfs {
    diff_ids: Vec<String>,
}

impl Document {
    /// Parses an index or manifest; `media_type` is what the registry says of it, if anything.
    pub fn parse(bytes: &[u8], media_type: &str) -> Result<Self, ManifestError> {
        let raw: RawDocument = serde_json::from_slice(bytes)
            .map_err(|source| ManifestError::Json { what: "manifest or index", source })?;
        if raw.fs_layers.is_some() || raw.schema_version == 1 {
            return Err(ManifestError::Schema1);
        }
        if raw.manifests.is_some() && (raw.layers.is_some() || raw.config.is_some()) {
            return Err(ManifestError::Ambiguous);
        }
        let said = match raw.media_type.as_deref() {
            Some(text) if !text.is_empty() => text,
            _ => media_type.split(';').next().unwrap_or("").trim(),
        };
        match (raw.manifests, raw.config, raw.layers) {
            (Some(manifests), None, None) => {
                let media_type = kind(said, [OCI_INDEX, DOCKER_INDEX])?;
                let manifests = manifests.into_iter().map(entry).collect::<Result<_, _>>()?;
                Ok(Self::Index(Index { media_type, manifests }))
            }
            (None, Some(config), Some(layers)) => {
                let media_type = kind(said, [OCI_MANIFEST, DOCKER_MANIFEST])?;
                let config = descriptor(&config)?;
                let layers = layers.iter().map(layer).collect::<Result<_, _>>()?;
                Ok(Self::Manifest(Manifest { media_type, config, layers }))
            }
            _ => Err(ManifestError::NotAnImage(said.to_owned())),
        }
    }
}

impl Index {
    /// The manifest that suits a device best; of equals the first.
    pub fn pick(&self, device: &Platform) -> Option<&Descriptor> {
        self.manifests
            .iter()
            .filter_map(|(descriptor, offered)| Some((device.rank(offered.as_ref()?)?, descriptor)))
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, descriptor)| descriptor)
    }
}

impl Config {
    /// Parses a config.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let raw: RawConfig = serde_json::from_slice(bytes)
            .map_err(|source| ManifestError::Json { what: "config", source })?;
        let diff_ids = raw.rootfs.diff_ids.iter().map(|text| digest(text));
        Ok(Self {
            platform: platform(&raw.platform),
            diff_ids: diff_ids.collect::<Result<_, _>>()?,
        })
    }
}

/// Checks that what is said fits what is there; without anything said it is the first of `known`.
fn kind(said: &str, known: [&str; 2]) -> Result<String, ManifestError> {
    match said {
        "" | "application/json" | "application/octet-stream" => Ok(known[0].to_owned()),
        said if known.contains(&said) => Ok(said.to_owned()),
        said => Err(ManifestError::NotAnImage(said.to_owned())),
    }
}

fn entry(raw: RawDescriptor) -> Result<(Descriptor, Option<Platform>), ManifestError> {
    Ok((descriptor(&raw)?, raw.platform.as_ref().and_then(platform)))
}

fn platform(raw: &RawPlatform) -> Option<Platform> {
    let named = !raw.os.is_empty() && !raw.architecture.is_empty();
    named.then(|| {
        Platform::new(&raw.os, &raw.architecture, raw.variant.as_deref().unwrap_or_default())
    })
}

fn descriptor(raw: &RawDescriptor) -> Result<Descriptor, ManifestError> {
    let digest = digest(&raw.digest)?;
    Ok(Descriptor { media_type: raw.media_type.clone(), digest, size: raw.size })
}

fn layer(raw: &RawDescriptor) -> Result<Descriptor, ManifestError> {
    let descriptor = descriptor(raw)?;
    let (digest, media_type) = (descriptor.digest, &descriptor.media_type);
    if !raw.urls.is_empty()
        || media_type.contains("foreign")
        || media_type.contains("nondistributable")
    {
        return Err(ManifestError::Foreign(digest));
    }
    match media_type.as_str() {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Ok(descriptor),
        other => Err(ManifestError::LayerType { digest, media_type: other.to_owned() }),
    }
}

fn digest(text: &str) -> Result<Digest, ManifestError> {
    Digest::parse(text).ok_or_else(|| ManifestError::Digest(text.to_owned()))
}
