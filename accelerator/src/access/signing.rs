//! Keys that sign tables of contents, read again when their files change.
//!
//! An answer is signed by each of them, so that a key is replaced in three steps: the new one beside the old one here, the new one
//! in place of the old one on the devices, the old one away here. What is signed: [`skiff_protocol::signed`].

use super::Watched;
use crate::sha256::sha256;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_eddsa_type;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::Signer;
use skiff_protocol::Digest;
use skiff_protocol::limits::MAX_SIGNATURES;
use skiff_protocol::response::Signature;
use skiff_protocol::signed::{self, KeyId};
use std::path::{Path, PathBuf};

/// Why tables can't be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The file is not there, or is no PEM.
    #[error("{} can't be used as PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// It has a key of another kind.
    #[error(
        "{} has no Ed25519 key in PKCS#8; make one by `openssl genpkey -algorithm ed25519`",
        path.display()
    )]
    Kind {
        /// The file.
        path: PathBuf,
    },
    /// There are more than the protocol has room for.
    #[error("tables are signed by at most {MAX_SIGNATURES} keys")]
    TooMany,
}

/// A key that was read can't be used after all.
#[derive(Debug, thiserror::Error)]
#[error("the key {0} can't sign")]
pub struct Unsigned(KeyId);

/// A key.
#[derive(Debug)]
struct Key {
    id: KeyId,
    signer: Box<dyn Signer>,
}

/// The keys; none if nothing is signed.
#[derive(Debug, Default)]
pub struct Signers(Vec<Watched<Key, SignError>>);

impl Signers {
    /// With the keys in these files.
    ///
    /// # Errors
    /// They can't be used.
    pub fn new(files: Vec<PathBuf>) -> Result<Self, SignError> {
        if files.len() > MAX_SIGNATURES {
            return Err(SignError::TooMany);
        }
        let watch = |file: PathBuf| Watched::new(vec![file.clone()], move || Key::read(&file));
        files.into_iter().map(watch).collect::<Result<_, _>>().map(Self)
    }

    /// Signs the table of an answer to this request.
    pub fn sign(&self, request: &[u8], metadata: &Digest) -> Result<Vec<Signature>, Unsigned> {
        if self.0.is_empty() {
            return Ok(Vec::new());
        }
        let message = signed::message(&sha256(request), metadata);
        self.0.iter().map(|key| key.get().sign(&message)).collect()
    }
}

impl Key {
    fn read(path: &Path) -> Result<Self, SignError> {
        let key = PrivateKeyDer::from_pem_file(path)
            .map_err(|source| SignError::Pem { path: path.to_owned(), source })?;
        Self::new(&key).ok_or_else(|| SignError::Kind { path: path.to_owned() })
    }

    fn new(key: &PrivateKeyDer<'_>) -> Option<Self> {
        let PrivateKeyDer::Pkcs8(key) = key else { return None };
        let key = any_eddsa_type(&PrivatePkcs8KeyDer::from(key.secret_pkcs8_der())).ok()?;
        let spki = key.public_key()?;
        // RFC 8410: the key's 32 bytes stand at the end.
        let public = spki.last_chunk::<32>()?;
        let id = KeyId::of(&sha256(public));
        tracing::info!("tables of contents are signed by the key {id}");
        Some(Self { id, signer: key.choose_scheme(&[SignatureScheme::ED25519])? })
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, Unsigned> {
        let made = self.signer.sign(message).map_err(|_| Unsigned(self.id))?;
        let halves = made.as_chunks::<32>().0.first_chunk::<2>().ok_or(Unsigned(self.id))?;
        Ok(Signature { key: self.id, signature: *halves })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use webpki::ring::ED25519;

    /// RFC 8032, section 7.1, TEST 1, in PKCS#8 as OpenSSL writes it.
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
                       MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
                       -----END PRIVATE KEY-----\n";
    const PUBLIC: [u8; 32] = [
        0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07,
        0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07,
        0x51, 0x1a,
    ];

    #[test]
    fn a_table_is_signed_by_each_key() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key.pem");
        assert!(matches!(Signers::new(vec![file.clone()]), Err(SignError::Pem { .. })));
        let p256 = "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n";
        std::fs::write(&file, p256).unwrap();
        assert!(matches!(Signers::new(vec![file.clone()]), Err(SignError::Kind { .. })));
        std::fs::write(&file, KEY).unwrap();
        assert!(matches!(Signers::new(vec![file.clone(); 5]), Err(SignError::TooMany)));

        let table = Digest([3; 32]);
        assert_eq!(Signers::default().sign(b"request", &table).unwrap(), []);
        let signatures = Signers::new(vec![file; 2]).unwrap().sign(b"request", &table).unwrap();
        assert_eq!(signatures[0], signatures[1]);
        assert_eq!(signatures.len(), 2);
        let Signature { key, signature } = signatures[0];
        assert_eq!(key, KeyId::of(&sha256(PUBLIC)));
        let message = signed::message(&sha256(b"request"), &table);
        let verify =
            |message| ED25519.verify_signature(&PUBLIC, message, &signature.concat()).is_ok();
        assert!(verify(&message));
        assert!(!verify(&signed::message(&table, &table)));
    }
}
