//! The algorithms: one cipher suite, one key exchange, and the signatures that certificates have. What is not named
//! here, the linker leaves out of the binary.
//!
//! ChaCha20: small boards have no instructions for AES, and no link that is slow enough to need this program is too fast
//! for it elsewhere. Whatever speaks TLS 1.3 has it: the accelerator, and OpenSSL, which proxies are built with.

use super::p256;
use futures_rustls::pki_types::{PrivateKeyDer, SignatureVerificationAlgorithm};
use futures_rustls::rustls::crypto::ring::cipher_suite;
use futures_rustls::rustls::crypto::{
    CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms,
};
use futures_rustls::rustls::sign::SigningKey;
use futures_rustls::rustls::{Error, SignatureScheme};
use rustix::rand::{GetRandomFlags, getrandom};
use std::sync::Arc;
use webpki::ring as signed;

/// All of them.
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_CHACHA20_POLY1305_SHA256],
        kx_groups: vec![&p256::Group],
        signature_verification_algorithms: SIGNATURES,
        secure_random: &Kernel,
        key_provider: &Keys,
    }
}

/// What signs certificates and handshakes.
pub const SIGNATURES: WebPkiSupportedAlgorithms =
    WebPkiSupportedAlgorithms { all: ALL, mapping: IN_HANDSHAKES };

const ALL: &[&dyn SignatureVerificationAlgorithm] = &[
    &p256::Verify,
    signed::ECDSA_P384_SHA256,
    signed::ECDSA_P384_SHA384,
    signed::ED25519,
    signed::RSA_PKCS1_2048_8192_SHA256,
    signed::RSA_PKCS1_2048_8192_SHA384,
    signed::RSA_PKCS1_2048_8192_SHA512,
    signed::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    signed::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    signed::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];

const IN_HANDSHAKES: &[(SignatureScheme, &[&dyn SignatureVerificationAlgorithm])] = &[
    (SignatureScheme::ECDSA_NISTP256_SHA256, &[&p256::Verify]),
    (SignatureScheme::ECDSA_NISTP384_SHA384, &[signed::ECDSA_P384_SHA384]),
    (SignatureScheme::ED25519, &[signed::ED25519]),
    (SignatureScheme::RSA_PSS_SHA256, &[signed::RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
    (SignatureScheme::RSA_PSS_SHA384, &[signed::RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
    (SignatureScheme::RSA_PSS_SHA512, &[signed::RSA_PSS_2048_8192_SHA512_LEGACY_KEY]),
];

/// The kernel's randomness. It waits until there is some, after boot.
#[derive(Debug)]
pub struct Kernel;

impl SecureRandom for Kernel {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        let mut rest = buffer;
        while !rest.is_empty() {
            let got =
                getrandom(&mut *rest, GetRandomFlags::empty()).map_err(|_| GetRandomFailed)?;
            rest = &mut rest[got..];
        }
        Ok(())
    }
}

/// Keys of client certificates.
#[derive(Debug)]
struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        if let Some(key) = p256::Key::read(&key) {
            return Ok(Arc::new(key));
        }
        let none = "its key is none that is understood here: ECDSA on P-256";
        Err(Error::General(none.to_owned()))
    }
}
