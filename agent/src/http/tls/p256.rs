//! P-256, by `p256`: what `ring` has for it brings a table of 150 KB on 64-bit machines, and for X25519 one of 24 KB.

use super::der;
use super::provider::Kernel;
use futures_rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, PrivateKeyDer, SignatureVerificationAlgorithm,
    SubjectPublicKeyInfoDer, alg_id,
};
use futures_rustls::rustls::crypto::{
    ActiveKeyExchange, SecureRandom, SharedSecret, SupportedKxGroup,
};
use futures_rustls::rustls::sign::{Signer, SigningKey, public_key_to_spki};
use futures_rustls::rustls::{
    Error, NamedGroup, PeerMisbehaved, SignatureAlgorithm, SignatureScheme,
};
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey as Secret, VerifyingKey};
use p256::elliptic_curve::point::AffineCoordinates as _;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::{ProjectivePoint, PublicKey, SecretKey};

/// Verifies with SHA-256.
#[derive(Debug)]
pub struct Verify;

impl SignatureVerificationAlgorithm for Verify {
    fn verify_signature(
        &self,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = VerifyingKey::from_sec1_bytes(key).map_err(|_| InvalidSignature)?;
        let [r, s] = der::signature(signature).ok_or(InvalidSignature)?;
        let signature = Signature::from_scalars(r, s).map_err(|_| InvalidSignature)?;
        key.verify(message, &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }
}

/// A key of a client certificate.
#[derive(Debug, Clone)]
pub struct Key(Secret);

impl Key {
    /// Reads it, if it is one.
    pub fn read(der: &PrivateKeyDer<'_>) -> Option<Self> {
        Secret::from_slice(&der::secret(der)?).ok().map(Self)
    }
}

impl SigningKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let is_offered = offered.contains(&SignatureScheme::ECDSA_NISTP256_SHA256);
        is_offered.then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    /// So that a certificate of another key is noticed.
    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        let point = self.0.verifying_key().to_sec1_point(false);
        Some(public_key_to_spki(&alg_id::ECDSA_P256, point))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature: Result<Signature, _> = self.0.try_sign(message);
        let signature = signature.map_err(|_| Error::General("the key can't sign".to_owned()))?;
        Ok(der::write_signature(&signature.to_bytes().into()))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

/// The key exchange, which whatever speaks TLS 1.3 has to have (RFC 8446, section 9.1).
#[derive(Debug)]
pub struct Group;

/// Length of a point in a key share: uncompressed (RFC 8446, section 4.2.8.2).
const POINT: usize = 65;

impl SupportedKxGroup for Group {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut bytes = [0; 32];
        // All but one in 2^32 numbers are secret keys.
        let secret = loop {
            Kernel.fill(&mut bytes)?;
            if let Ok(secret) = SecretKey::from_slice(&bytes) {
                break secret;
            }
        };
        let public = secret.public_key().to_sec1_point(false).as_bytes().to_vec();
        Ok(Box::new(Exchange { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

struct Exchange {
    secret: SecretKey,
    public: Vec<u8>,
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let invalid = || Error::from(PeerMisbehaved::InvalidKeyShare);
        if peer.len() != POINT {
            return Err(invalid());
        }
        // It is checked to be on the curve, and is not its zero, which has no such form.
        let peer = PublicKey::from_sec1_bytes(peer).map_err(|_| invalid())?;
        let point = ProjectivePoint::from(peer) * *self.secret.to_nonzero_scalar();
        Ok(SharedSecret::from(point.to_affine().x().as_slice()))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}
