//! The OCI distribution API, version 2, over HTTP/1.1: a thin client that sends GET and HEAD.
//!
//! Bodies are streams; a body that stops for [`IDLE`] is an error, however long it takes as a
//! whole. reqwest follows redirects (registries send blobs from elsewhere) and drops the
//! `Authorization` header when the host or port changes; one from `https` to `http` is refused.

use super::auth::{Auth, docker_config};
use super::manifest::{ACCEPT, Descriptor};
use super::{BlobReader, RegistryError, read_document};
use crate::reference::{Reference, Selector};
use crate::sha256::sha256;
use futures_util::TryStreamExt as _;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, StatusCode, Url};
use skiff_protocol::Digest;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::StreamReader;

const CONNECT: Duration = Duration::from_secs(10);
/// The longest silence of a registry.
pub const IDLE: Duration = Duration::from_secs(30);
const MAX_REDIRECTS: usize = 10;

/// A registry.
#[derive(Debug)]
pub struct Http {
    client: Client,
    base: Url,
    auth: Auth,
}

impl Http {
    /// A registry at `http://HOST[:PORT]` or `https://HOST[:PORT]`, with docker's credentials.
    pub fn new(text: &str) -> Result<Self, RegistryError> {
        Self::with_config(text, docker_config())
    }

    /// A registry, with the credentials of this `config.json` in docker's format.
    pub fn with_config(text: &str, config: Option<PathBuf>) -> Result<Self, RegistryError> {
        let error = |why| RegistryError::Address { text: text.to_owned(), why };
        let base = Url::parse(text).map_err(|_| error("is no address"))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(error("is no address"));
        }
        if base.path() != "/" || base.query().is_some() || base.fragment().is_some() {
            return Err(error("has more than a host and a port"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(error("has credentials in it, which belong into `docker login`"));
        }
        // One provider for the whole process; that somebody set it already is fine.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder()
            .user_agent(concat!("skiff-accelerator/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .read_timeout(IDLE)
            .redirect(Policy::custom(|attempt| {
                let from = attempt.previous().last().map(Url::scheme);
                if attempt.previous().len() > MAX_REDIRECTS {
                    attempt.error("it redirects more than ten times")
                } else if from == Some("https") && attempt.url().scheme() != "https" {
                    attempt.error("it redirects from https to http")
                } else {
                    attempt.follow()
                }
            }))
            .build()
            .map_err(|error| RegistryError::unavailable("anything", error))?;
        Ok(Self { client, auth: Auth::new(config, &base), base })
    }

    /// What a reference names now.
    pub async fn resolve(&self, reference: &Reference) -> Result<Descriptor, RegistryError> {
        let what = format!("image {reference}");
        let path = format!("manifests/{}", reference.selector);
        let accept = accept();
        let head = self.send(Method::HEAD, &what, &reference.repository, &path, &accept).await?;
        let text = |name: HeaderName| head.headers().get(name).and_then(|v| v.to_str().ok());
        let media_type = text(header::CONTENT_TYPE).unwrap_or_default().to_owned();
        let digest = text(HeaderName::from_static("docker-content-digest")).and_then(Digest::parse);
        let size = text(header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
        let (digest, size) = match (digest, size) {
            (Some(digest), Some(size)) => (digest, size),
            // The header is optional; then the bytes say it.
            _ => {
                let body = self.manifest(&reference.repository, &reference.selector).await?;
                let bytes = read_document(&what, body).await?;
                (sha256(&bytes), bytes.len() as u64)
            }
        };
        match reference.selector {
            Selector::Digest(asked) if asked != digest => {
                Err(RegistryError::damaged(what, format!("the registry gives {digest}")))
            }
            _ => Ok(Descriptor { media_type, digest, size }),
        }
    }

    /// The bytes of a manifest or index, not checked.
    pub(crate) async fn manifest(
        &self,
        repository: &str,
        selector: &Selector,
    ) -> Result<BlobReader, RegistryError> {
        let selector = selector.clone();
        let path = format!("manifests/{selector}");
        let what = format!("image {}", Reference { repository: repository.to_owned(), selector });
        let response = self.send(Method::GET, &what, repository, &path, &accept()).await?;
        Ok(reader(response))
    }

    /// A blob's bytes, not checked.
    pub async fn blob(
        &self,
        repository: &str,
        digest: Digest,
        range: Option<Range<u64>>,
    ) -> Result<BlobReader, RegistryError> {
        let what = format!("blob {repository}@{digest}");
        let path = format!("blobs/{digest}");
        let Some(range) = range else {
            let response =
                self.send(Method::GET, &what, repository, &path, &HeaderMap::new()).await?;
            return Ok(reader(response));
        };
        if range.is_empty() {
            return Ok(Box::pin(tokio::io::empty()));
        }
        let value = format!("bytes={}-{}", range.start, range.end - 1);
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(header::RANGE, value);
        }
        let response = self.send(Method::GET, &what, repository, &path, &headers).await?;
        let partial = response.status() == StatusCode::PARTIAL_CONTENT;
        let place = response.headers().get(header::CONTENT_RANGE).and_then(|v| v.to_str().ok());
        let expected = format!("bytes {}-", range.start);
        if partial && !place.is_some_and(|place| place.starts_with(&expected)) {
            return Err(RegistryError::unavailable(what, "it sends another range"));
        }
        let mut reader = reader(response);
        if !partial {
            // It doesn't know ranges and sends everything.
            let mut before = (&mut reader).take(range.start);
            let skipped = tokio::io::copy(&mut before, &mut tokio::io::sink()).await;
            skipped.map_err(|error| RegistryError::unavailable(what, error))?;
        }
        Ok(Box::pin(reader.take(range.end - range.start)))
    }

    /// Sends a request, and meets one challenge.
    async fn send(
        &self,
        method: Method,
        what: &str,
        repository: &str,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Response, RegistryError> {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{repository}/{path}"));
        let denied = |why: String| RegistryError::Denied { what: what.to_owned(), why };
        let mut authorization = self.auth.kept(repository);
        for challenged in [false, true] {
            let mut request = self.client.request(method.clone(), url.clone());
            if let Some(value) = authorization {
                request = request.header(header::AUTHORIZATION, value);
            }
            let response = request.headers(headers.clone()).send().await;
            // The address can hold a signature, after a redirect.
            let response =
                response.map_err(|error| RegistryError::unavailable(what, error.without_url()))?;
            let status = response.status();
            match status {
                StatusCode::OK | StatusCode::PARTIAL_CONTENT => return Ok(response),
                StatusCode::NOT_FOUND => {
                    return Err(RegistryError::NotFound { what: what.to_owned() });
                }
                StatusCode::UNAUTHORIZED if !challenged => {
                    let challenge = response.headers().get(header::WWW_AUTHENTICATE);
                    let challenge = challenge.and_then(|value| value.to_str().ok());
                    let challenge = challenge.ok_or_else(|| denied("it says not how".into()))?;
                    let answer = self.auth.answer(&self.client, repository, challenge).await;
                    authorization =
                        Some(answer.map_err(|error| denied(crate::causes::chain(&error)))?);
                }
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    return Err(denied(format!("it answers {status}")));
                }
                _ => return Err(RegistryError::unavailable(what, format!("it answers {status}"))),
            }
        }
        Err(denied("it answers 401 Unauthorized".into()))
    }
}

fn accept() -> HeaderMap {
    HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(ACCEPT))])
}

fn reader(response: Response) -> BlobReader {
    let stream = response.bytes_stream();
    let stream = stream.map_err(|error| std::io::Error::other(error.without_url()));
    Box::pin(StreamReader::new(stream))
}
