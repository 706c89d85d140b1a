//! TLS 1.3 towards devices, with certificates that are read again when their files change.
//!
//! Connections that are there stay as they are; new ones get what is new. With CAs of clients, a client certificate is
//! wanted, and needed if there is no policy that could know a device by a token.

use super::{Peer, Watched};
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerSessionMemoryCache, VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use webpki::EndEntityCert;

/// How long a handshake may take: some round trips, over the worst link.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// Sessions that are remembered, so that a device's next connection takes less.
const SESSIONS: usize = 4096;

/// The files of `--tls-cert`, `--tls-key` and `--tls-client-ca`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those that lead to its CA.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// CAs of client certificates.
    pub client_ca: Option<PathBuf>,
}

/// Why TLS can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there, or has not what it should have.
    #[error("{} can't be used as PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// Certificate and key, or a CA.
    #[error("{} can't be used", path.display())]
    Rustls {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The CAs of clients.
    #[error("{} can't be used for client certificates", path.display())]
    Verifier {
        /// The file.
        path: PathBuf,
        /// Why.
        source: VerifierBuilderError,
    },
}

/// Makes connections secure.
#[derive(Debug)]
pub struct Tls(Watched<ServerConfig, TlsError>);

impl Tls {
    /// With these files. `optional`: a client without a certificate may be known otherwise.
    ///
    /// # Errors
    /// They can't be used.
    pub fn new(files: TlsFiles, optional: bool) -> Result<Self, TlsError> {
        let mut watched = vec![files.certificate.clone(), files.key.clone()];
        watched.extend(files.client_ca.clone());
        Ok(Self(Watched::new(watched, move || config(&files, optional))?))
    }

    /// Takes a connection over; `buffer` bytes of an answer are encrypted ahead. Gives who is there.
    ///
    /// # Errors
    /// There is no TLS connection to be had.
    pub async fn accept(
        &self,
        stream: TcpStream,
        buffer: usize,
    ) -> std::io::Result<(TlsStream<TcpStream>, Peer)> {
        let bound = |connection: &mut rustls::ServerConnection| {
            connection.set_buffer_limit(Some(buffer));
        };
        let accepting = TlsAcceptor::from(self.0.get()).accept_with(stream, bound);
        let stream = tokio::time::timeout(HANDSHAKE, accepting).await??;
        let peer = peer(stream.get_ref().1.peer_certificates());
        Ok((stream, peer))
    }
}

/// The names in a certificate that was verified.
fn peer(chain: Option<&[CertificateDer<'_>]>) -> Peer {
    let first = chain.and_then(|chain| chain.first());
    let Some(certificate) = first.and_then(|one| EndEntityCert::try_from(one).ok()) else {
        return Peer::default();
    };
    Peer(certificate.valid_dns_names().map(str::to_ascii_lowercase).collect())
}

fn config(files: &TlsFiles, optional: bool) -> Result<ServerConfig, TlsError> {
    let TlsFiles { certificate, key: key_file, client_ca } = files;
    let provider = Arc::new(ring::default_provider());
    let wrong = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Rustls { path, source }
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(wrong(certificate))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for one in certificates(path)? {
                roots.add(one).map_err(wrong(path))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier =
                if optional { verifier.allow_unauthenticated() } else { verifier }.build();
            let verifier =
                verifier.map_err(|source| TlsError::Verifier { path: path.clone(), source })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_file(key_file)
        .map_err(|source| TlsError::Pem { path: key_file.clone(), source })?;
    let mut config =
        builder.with_single_cert(certificates(certificate)?, key).map_err(wrong(certificate))?;
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Pem { path: path.to_owned(), source };
    let found = CertificateDer::pem_file_iter(path).map_err(failed)?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(failed)?;
    if found.is_empty() { Err(failed(pem::Error::NoItemsFound)) } else { Ok(found) }
}
