//! TLS 1.3, by `rustls` with `ring`.
//!
//! | module | what it does |
//! |---|---|
//! | `provider` | the few algorithms that are in the binary |
//! | `p256` | those of them that are not `ring`'s |
//! | `der` | how its keys and signatures are written |
//! | `trust` | CAs or pinned keys |
//! | `verdict` | what a failure says of the accelerator, or of this device |
//!
//! The clock. A certificate is good from a date to a date, and only a clock can tell. One that is wrong makes
//! a good certificate look bad, and that is what is said, with both dates; nothing is trusted because the clock could be wrong, since
//! whoever can set the clock (or hold it back at the start) could otherwise bring an old, stolen certificate back. A device that has no clock
//! pins the key: then names and dates are not looked at, and a key that is lost is replaced by another pin.

mod der;
mod p256;
mod provider;
mod trust;
mod verdict;

pub use verdict::{Verdict, verdict};

use super::HttpError;
use super::security::{MAX_FILE, Security, SecurityOptions, read, unusable};
use super::socket::Socket;
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use futures_rustls::pki_types::pem::PemObject as _;
use futures_rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use futures_rustls::rustls::client::Resumption;
use futures_rustls::rustls::version::TLS13;
use futures_rustls::rustls::{ClientConfig, Error, RootCertStore};
use std::cell::RefCell;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Where systems have the CAs that they trust; the first that is there counts.
const SYSTEM: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];
/// Accelerators whose sessions are remembered.
const SESSIONS: usize = 8;

/// A connection that has clones.
#[derive(Debug, Clone)]
pub struct Shared(Arc<Mutex<TlsStream<Socket>>>);

impl Shared {
    /// Does something with the stream.
    pub fn with<T>(&self, work: impl FnOnce(&mut TlsStream<Socket>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What tells whether a file has changed: inode, length, time.
type Stamp = (u64, u64, i64, i64);

/// What was made of the options, and of which files.
#[derive(Debug, Default)]
pub struct Configured(RefCell<Option<(Vec<Stamp>, Arc<ClientConfig>)>>);

/// Makes a connected socket a TLS connection.
pub async fn secure(config: Arc<ClientConfig>, host: &str, socket: Socket) -> io::Result<Shared> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(config).connect(name, socket).await?;
    Ok(Shared(Arc::new(Mutex::new(stream))))
}

impl Security {
    /// Reads the files, unless they are as they were.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, HttpError> {
        let options = self.options();
        let stamps = options.stamps();
        let mut made = self.tls.0.borrow_mut();
        if let Some((of, config)) = &*made
            && *of == stamps
        {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(options.config()?);
        *made = Some((stamps, Arc::clone(&config)));
        Ok(config)
    }
}

impl SecurityOptions {
    /// The file of CAs, if CAs count.
    fn roots(&self) -> Result<Option<PathBuf>, HttpError> {
        match &self.ca {
            Some(path) => Ok(Some(path.clone())),
            None if !self.pins.is_empty() => Ok(None),
            None => {
                let found = SYSTEM.iter().map(Path::new).find(|path| path.exists());
                found.map(|path| Some(path.to_owned())).ok_or(HttpError::NoRoots)
            }
        }
    }

    fn stamps(&self) -> Vec<Stamp> {
        let roots = self.roots().ok().flatten();
        let paths = [roots.as_ref(), self.certificate.as_ref(), self.key.as_ref()];
        let stamp = |path: &PathBuf| match fs::metadata(path) {
            Ok(found) => (found.ino(), found.len(), found.mtime(), found.mtime_nsec()),
            Err(_) => Stamp::default(),
        };
        paths.into_iter().flatten().map(stamp).collect()
    }

    fn config(&self) -> Result<ClientConfig, HttpError> {
        let mut roots = None;
        if let Some(path) = self.roots()? {
            let mut store = RootCertStore::empty();
            // One that is of no use among a system's many must not take the others away.
            let (added, _) = store.add_parsable_certificates(certificates(&path)?);
            if added == 0 {
                return Err(invalid(&path, "it holds no certificate of a CA in PEM"));
            }
            roots = Some(store);
        }
        let provider = Arc::new(provider::provider());
        let verifier = trust::Verifier::new(roots, self.pins.clone());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| HttpError::Setup(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match (&self.certificate, &self.key) {
            (Some(certificate), Some(path)) => {
                let chain = certificates(certificate)?;
                let key = PrivateKeyDer::from_pem_slice(&read(path)?)
                    .map_err(|_| invalid(path, "it holds no private key in PEM"))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    let why = match error {
                        Error::General(why) => why,
                        Error::InconsistentKeys(_) => "the key is that of another".to_owned(),
                        _ => "it is damaged".to_owned(),
                    };
                    let text = format!("it can't be used with {}: {why}", path.display());
                    invalid(certificate, &text)
                })?
            }
            _ => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(config)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let bytes = read(path)?;
    if bytes.len() as u64 >= MAX_FILE {
        return Err(invalid(path, "it is longer than 2 MiB"));
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(invalid(path, "it holds no certificate in PEM, or a damaged one")),
    }
}

fn invalid(path: &Path, what: &str) -> HttpError {
    unusable(path, io::Error::new(io::ErrorKind::InvalidData, what.to_owned()))
}
