//! Whom to trust, and what to show: the options of a connection.
//!
//! | option | |
//! |---|---|
//! | none | over `https://`, the CAs that the system trusts |
//! | `--ca FILE` | these CAs, and no others |
//! | `--pin KEY` | exactly this key, whatever the certificate says of its name and dates: for devices without a clock |
//! | `--token-file FILE` | a bearer token, over `https://` or to this machine itself only |
//! | `--tree-key KEY` | besides, only tables of contents that one of these keys has signed (`pull/signed`) |
//! | `--cert FILE --key FILE` | a client certificate, over `https://` only |
//!
//! Files are read when they are needed and again when they have changed, so that what was renewed is used by a daemon, too.

use super::proxy::Proxies;
use super::tree_key::{PublicKey, TreeKey, read_keys};
use super::{HttpError, Pin};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Longest file of certificates; the bundles of all public CAs have some 250 KiB.
pub const MAX_FILE: u64 = 2 << 20;
/// Longest token, bytes.
const MAX_TOKEN: usize = 4096;

/// The options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecurityOptions {
    /// A file of CAs.
    pub ca: Option<PathBuf>,
    /// Keys that are trusted: any of them.
    pub pins: Vec<Pin>,
    /// A file with a bearer token.
    pub token_file: Option<PathBuf>,
    /// A file with a client certificate, and those that lead to its CA.
    pub certificate: Option<PathBuf>,
    /// A file with its key.
    pub key: Option<PathBuf>,
    /// Keys that sign tables of contents: any of them. None if a table need not be signed.
    pub tree_keys: Vec<TreeKey>,
    /// What is between, which is no choice of whoever asks.
    pub proxies: Proxies,
}

impl SecurityOptions {
    /// One text for each choice of options; empty if none is chosen.
    pub fn text(&self) -> String {
        let files = [&self.ca, &self.token_file, &self.certificate, &self.key];
        let names = ["ca", "token-file", "cert", "key"].into_iter().zip(files);
        let mut text = String::new();
        for (name, file) in names {
            if let Some(file) = file {
                text += &format!("--{name} {}\n", file.display());
            }
        }
        for pin in &self.pins {
            text += &format!("--pin {pin}\n");
        }
        for key in &self.tree_keys {
            text += &format!("--tree-key {key}\n");
        }
        text
    }
}

/// The options, and what was made of them. One for all connections of a process, so that TLS sessions are resumed.
#[derive(Debug, Default)]
pub struct Security {
    options: SecurityOptions,
    #[cfg(feature = "tls")]
    pub(super) tls: super::tls::Configured,
}

impl Security {
    /// With these options.
    pub fn new(options: SecurityOptions) -> Self {
        Self {
            options,
            #[cfg(feature = "tls")]
            tls: super::tls::Configured::default(),
        }
    }

    /// The options.
    pub fn options(&self) -> &SecurityOptions {
        &self.options
    }

    /// The keys of which one must have signed a table of contents; none if that need not be.
    pub fn tree_keys(&self) -> Result<Vec<PublicKey>, HttpError> {
        read_keys(&self.options.tree_keys)
    }

    /// The value of the header `Authorization`, if there is a token.
    pub fn authorization(&self) -> Result<Option<String>, HttpError> {
        let Some(path) = &self.options.token_file else { return Ok(None) };
        let text = read(path)?;
        let token = text.trim_ascii();
        if token.is_empty() || token.len() > MAX_TOKEN || !token.iter().all(u8::is_ascii_graphic) {
            let text = "it has to hold one token, of visible ASCII characters without spaces";
            return Err(unusable(path, io::Error::new(io::ErrorKind::InvalidData, text)));
        }
        Ok(Some(format!("Bearer {}", String::from_utf8_lossy(token))))
    }
}

/// A small file of the options.
pub fn read(path: &Path) -> Result<Vec<u8>, HttpError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
    read.map_err(|source| unusable(path, source))?;
    Ok(bytes)
}

/// A file of the options can't be used.
pub fn unusable(path: &Path, source: io::Error) -> HttpError {
    HttpError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let options = SecurityOptions { token_file: Some(path.clone()), ..Default::default() };
        let security = Security::new(options);
        assert!(security.authorization().is_err(), "no file");
        for (text, expected) in [
            ("s3cret\n", Some("Bearer s3cret")),
            ("next", Some("Bearer next")),
            ("", None),
            ("a b", None),
            ("a\r\nX: y", None),
            ("ä", None),
        ] {
            std::fs::write(&path, text).unwrap();
            let found = security.authorization().ok().flatten();
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
        assert_eq!(Security::default().authorization().unwrap(), None);
    }
}
