//! Certificates of a private CA, in files.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData as _, SignatureAlgorithm, date_time_ymd,
};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// A CA.
#[derive(Debug)]
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate's file.
    pub file: PathBuf,
}

/// Which key a certificate has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// EdDSA.
    Ed25519,
    /// RSA with 2048 bits, which takes a moment.
    Rsa,
}

impl Key {
    fn generate(self) -> KeyPair {
        let of = |algorithm: &'static SignatureAlgorithm| KeyPair::generate_for(algorithm).unwrap();
        match self {
            Self::P256 => of(&PKCS_ECDSA_P256_SHA256),
            Self::P384 => of(&PKCS_ECDSA_P384_SHA384),
            Self::Ed25519 => of(&PKCS_ED25519),
            Self::Rsa => {
                let pem = crate::harness::run("openssl", &["genpkey", "-algorithm", "RSA"]);
                KeyPair::from_pem(&pem).unwrap()
            }
        }
    }
}

/// A certificate and its key, in files.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate.
    pub file: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// `sha256/…`, of its key.
    pub pin: String,
}

impl Ca {
    /// A new one, with its file in the directory.
    pub fn new(directory: &Path, name: &str, key: Key) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = key.generate();
        let file = directory.join(format!("{name}.pem"));
        fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), file }
    }

    /// A certificate for these names and addresses, good from one year's begin to another's.
    pub fn sign(&self, file: &Path, names: &[&str], years: (i32, i32), key: Key) -> Certificate {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        let pair = key.generate();
        let pin = Sha256::digest(pair.subject_public_key_info());
        let signed = params.signed_by(&pair, &self.issuer).unwrap();
        let key = file.with_extension("key");
        // The key first, and both at once as far as anybody can see who has only one of them.
        replace(&key, &pair.serialize_pem());
        replace(file, &signed.pem());
        let pin = format!("sha256/{}", BASE64_STANDARD.encode(pin));
        Certificate { file: file.to_owned(), key, pin }
    }
}

/// Replaces a file as a whole, as tools that renew certificates do.
pub fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, file).unwrap();
}
