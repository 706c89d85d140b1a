//! OCI image layouts on disk, one for each repository: what a registry is where there is none.
//!
//! ```text
//! DIR/REPOSITORY/oci-layout
//!               /index.json           tags, as org.opencontainers.image.ref.name
//!               /blobs/sha256/<hex>   manifests, configs, layers
//! ```
//!
//! A repository's name can't leave `DIR`: it is checked against the grammar of
//! [`crate::reference`], which has neither `..` nor hidden names. Symbolic links in `DIR` are its
//! owner's affair.

use super::manifest::{Descriptor, Document, MAX_DOCUMENT};
use super::{BlobReader, RegistryError, read_document};
use crate::reference::{Reference, Selector, is_repository};
use serde::Deserialize;
use skiff_protocol::Digest;
use std::collections::HashMap;
use std::io::{ErrorKind, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A directory of image layouts.
#[derive(Debug)]
pub struct Layout {
    dir: PathBuf,
}

#[derive(Deserialize)]
struct Top {
    #[serde(default)]
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: Option<HashMap<String, String>>,
}

impl Layout {
    /// The layouts in a directory.
    pub fn open(dir: &Path) -> Result<Self, RegistryError> {
        if !dir.is_dir() {
            let text = format!("oci:{}", dir.display());
            return Err(RegistryError::Address { text, why: "is no directory" });
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// What a reference names now.
    pub async fn resolve(&self, reference: &Reference) -> Result<Descriptor, RegistryError> {
        let what = format!("image {reference}");
        match &reference.selector {
            Selector::Tag(tag) => self.tag(&what, &reference.repository, tag).await,
            Selector::Digest(digest) => {
                let missing = |error| match error {
                    RegistryError::NotFound { .. } => {
                        RegistryError::NotFound { what: what.clone() }
                    }
                    other => other,
                };
                let file =
                    self.blob(&reference.repository, *digest, None).await.map_err(missing)?;
                let bytes = read_document(&what, file).await?;
                let document = Document::parse(&bytes, "");
                let media_type = match document {
                    Ok(Document::Index(index)) => index.media_type,
                    Ok(Document::Manifest(manifest)) => manifest.media_type,
                    Err(error) => return Err(RegistryError::damaged(what, error.to_string())),
                };
                Ok(Descriptor { media_type, digest: *digest, size: bytes.len() as u64 })
            }
        }
    }

    async fn tag(
        &self,
        what: &str,
        repository: &str,
        tag: &str,
    ) -> Result<Descriptor, RegistryError> {
        self.open_file(what, repository, Path::new("oci-layout")).await?;
        let file = self.open_file(what, repository, Path::new("index.json")).await?;
        let bytes = read_document(what, Box::pin(file.take(MAX_DOCUMENT + 1))).await?;
        let top: Top = serde_json::from_slice(&bytes).map_err(|error| {
            RegistryError::damaged(what, format!("its index.json can't be read: {error}"))
        })?;
        let mut tagged = top.manifests.iter().filter(|entry| {
            let annotations = entry.annotations.as_ref();
            annotations.and_then(|map| map.get(REF_NAME)).is_some_and(|name| name == tag)
        });
        let not_found = || RegistryError::NotFound { what: what.to_owned() };
        let entry = tagged.next().ok_or_else(not_found)?;
        if tagged.any(|other| other.digest != entry.digest) {
            return Err(RegistryError::damaged(what, "its index.json has the tag more than once"));
        }
        let digest = Digest::parse(&entry.digest)
            .ok_or_else(|| RegistryError::damaged(what, "its digest is not a SHA-256"))?;
        Ok(Descriptor { media_type: entry.media_type.clone(), digest, size: entry.size })
    }

    /// A blob's bytes, not checked.
    pub async fn blob(
        &self,
        repository: &str,
        digest: Digest,
        range: Option<Range<u64>>,
    ) -> Result<BlobReader, RegistryError> {
        let what = format!("blob {repository}@{digest}");
        let name = format!("blobs/sha256/{}", digest.hex());
        let mut file = self.open_file(&what, repository, Path::new(&name)).await?;
        let Some(range) = range else { return Ok(Box::pin(file)) };
        let seek = file.seek(SeekFrom::Start(range.start)).await;
        seek.map_err(|error| RegistryError::unavailable(what, error))?;
        Ok(Box::pin(file.take(range.end.saturating_sub(range.start))))
    }

    async fn open_file(
        &self,
        what: &str,
        repository: &str,
        name: &Path,
    ) -> Result<File, RegistryError> {
        let not_found = || RegistryError::NotFound { what: what.to_owned() };
        if !is_repository(repository) {
            return Err(not_found());
        }
        let path = self.dir.join(repository).join(name);
        let file = File::open(&path).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => not_found(),
            _ => RegistryError::unavailable(what, error),
        })?;
        let metadata = file.metadata().await;
        match metadata {
            Ok(metadata) if metadata.is_file() => Ok(file),
            Ok(_) => Err(not_found()),
            Err(error) => Err(RegistryError::unavailable(what, error)),
        }
    }
}
