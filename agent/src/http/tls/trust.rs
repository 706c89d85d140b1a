//! Decides whether a certificate is the accelerator's: by a CA, its name and the date, or by its key alone.
//!
//! With both `--ca` and `--pin`, both have to be right. Revocation is not looked at: no list of it is fetched.

use super::provider::SIGNATURES;
use crate::http::Pin;
use futures_rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use futures_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use futures_rustls::rustls::client::{
    verify_server_cert_signed_by_trust_anchor, verify_server_name,
};
use futures_rustls::rustls::crypto::verify_tls13_signature;
use futures_rustls::rustls::server::ParsedCertificate;
use futures_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, PeerIncompatible, RootCertStore,
    SignatureScheme,
};
use std::sync::Arc;
use webpki::EndEntityCert;

/// Another key than a pinned one.
#[derive(Debug, thiserror::Error)]
#[error("its key {0} is none that is pinned (--pin)")]
pub struct OtherKey(Pin);

/// Trusts CAs, keys, or what has both.
#[derive(Debug)]
pub struct Verifier {
    roots: Option<RootCertStore>,
    pins: Vec<Pin>,
}

impl Verifier {
    /// There have to be CAs or pins.
    pub fn new(roots: Option<RootCertStore>, pins: Vec<Pin>) -> Self {
        Self { roots, pins }
    }
}

/// Names the certificate's names, which are there for people only in a build that has `Debug`.
fn with_names(error: Error, certificate: &CertificateDer<'_>) -> Error {
    let names = EndEntityCert::try_from(certificate);
    match (error, names) {
        (
            Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                expected, ..
            }),
            Ok(names),
        ) => {
            let presented = names.valid_dns_names().map(str::to_owned).collect();
            let error = CertificateError::NotValidForNameContext { expected, presented };
            Error::InvalidCertificate(error)
        }
        (error, _) => error,
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        if self.roots.is_none() && self.pins.is_empty() {
            return Err(unknown);
        }
        if let Some(roots) = &self.roots {
            let all = SIGNATURES.all;
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, all)?;
            verify_server_name(&parsed, name).map_err(|error| with_names(error, certificate))?;
        }
        let key = Pin::of(&parsed.subject_public_key_info());
        if !self.pins.is_empty() && !self.pins.contains(&key) {
            let other = OtherError(Arc::new(OtherKey(key)));
            return Err(Error::InvalidCertificate(CertificateError::Other(other)));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &SIGNATURES)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SIGNATURES.supported_schemes()
    }
}
