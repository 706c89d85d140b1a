//! Where images come from: one OCI registry, or OCI image layouts on disk.
//!
//! | `--registry` | module | what it is |
//! |---|---|---|
//! | `http://HOST[:PORT]` | [`http`] | a registry, without TLS |
//! | `https://HOST[:PORT]` | [`http`] | a registry |
//! | `oci:DIR` | [`layout`] | `DIR/REPOSITORY/oci-layout` for each repository |
//!
//! Only GET and HEAD are ever sent. Nothing that comes from here is believed before its digest is
//! checked: documents by [`Registry::manifest`] and [`Registry::config`], blobs by whoever reads the
//! stream to its end.

pub mod auth;
pub mod http;
pub mod layout;
pub mod manifest;
#[cfg(test)]
mod manifest_tests;
pub mod platform;

use crate::reference::{Reference, Selector};
use crate::sha256::sha256;
use http::Http;
use layout::Layout;
use manifest::{Descriptor, MAX_DOCUMENT};
use skiff_protocol::Digest;
use std::ops::Range;
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A blob's bytes as they come.
pub type BlobReader = Pin<Box<dyn AsyncRead + Send>>;

/// Where images come from.
#[derive(Debug)]
pub enum Registry {
    /// A registry.
    Http(Http),
    /// Image layouts on disk.
    Layout(Layout),
}

/// Why the registry gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The flag is wrong.
    #[error("the registry {text:?} {why}; give http://HOST, https://HOST or oci:DIR")]
    Address {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There is no such thing.
    #[error("the registry has no {what}; check the name, and that it was pushed")]
    NotFound {
        /// Image or blob.
        what: String,
    },
    /// The registry doesn't answer, or not as a registry.
    #[error("the registry does not give {what}; check that it runs and can be reached")]
    Unavailable {
        /// What was asked for.
        what: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The registry wants other credentials.
    #[error(
        "the registry refuses {what} ({why}); log in with `docker login`, as the user that runs this"
    )]
    Denied {
        /// What was asked for.
        what: String,
        /// Its answer.
        why: String,
    },
    /// What came is not what was asked for.
    #[error("{what} is damaged in the registry: {why}; push it again")]
    Damaged {
        /// Image or blob.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

impl RegistryError {
    pub(crate) fn unavailable(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { what: what.into(), source: source.into() }
    }

    pub(crate) fn damaged(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Damaged { what: what.into(), why: why.into() }
    }
}

impl Registry {
    /// The registry that `--registry` names. A layout directory has to be there; whether a
    /// registry answers shows at its first use.
    pub fn open(text: &str) -> Result<Self, RegistryError> {
        match text.strip_prefix("oci:") {
            Some(dir) => Layout::open(dir.as_ref()).map(Self::Layout),
            None => Http::new(text).map(Self::Http),
        }
    }

    /// What a reference names now.
    pub async fn resolve(&self, reference: &Reference) -> Result<Descriptor, RegistryError> {
        match self {
            Self::Http(http) => http.resolve(reference).await,
            Self::Layout(layout) => layout.resolve(reference).await,
        }
    }

    /// An index or manifest as it is, checked against its digest.
    pub async fn manifest(
        &self,
        repository: &str,
        digest: Digest,
    ) -> Result<Vec<u8>, RegistryError> {
        let what = Reference::digest(repository, digest).to_string();
        let reader = match self {
            Self::Http(http) => http.manifest(repository, &Selector::Digest(digest)).await?,
            Self::Layout(layout) => layout.blob(repository, digest, None).await?,
        };
        document(what, reader, digest).await
    }

    /// A config as it is, checked against its digest.
    pub async fn config(&self, repository: &str, digest: Digest) -> Result<Vec<u8>, RegistryError> {
        let what = format!("the config {}", Reference::digest(repository, digest));
        document(what, self.blob(repository, digest, None).await?, digest).await
    }

    /// A blob's bytes as a stream, or a range of them. They are not checked.
    pub async fn blob(
        &self,
        repository: &str,
        digest: Digest,
        range: Option<Range<u64>>,
    ) -> Result<BlobReader, RegistryError> {
        match self {
            Self::Http(http) => http.blob(repository, digest, range).await,
            Self::Layout(layout) => layout.blob(repository, digest, range).await,
        }
    }
}

async fn document(
    what: String,
    reader: BlobReader,
    digest: Digest,
) -> Result<Vec<u8>, RegistryError> {
    let bytes = read_document(&what, reader).await?;
    let got = sha256(&bytes);
    if got != digest {
        return Err(RegistryError::damaged(what, format!("its bytes have the digest {got}")));
    }
    Ok(bytes)
}

/// Reads a document of bounded length.
pub(crate) async fn read_document(
    what: &str,
    reader: BlobReader,
) -> Result<Vec<u8>, RegistryError> {
    let mut bytes = Vec::new();
    let read = reader.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes).await;
    read.map_err(|error| RegistryError::unavailable(what, error))?;
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(RegistryError::damaged(what, "it is longer than 4 MiB"));
    }
    Ok(bytes)
}
