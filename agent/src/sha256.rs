//! SHA-256: every byte of a content goes through it, which is a third of what a pull costs a device.
//!
//! By `ring`, which TLS brings along, with code for the vector registers of a processor that has no instructions for it; without TLS
//! by `sha2`, which is smaller.

use skiff_protocol::Digest;
use std::fmt;

#[cfg(feature = "tls")]
type Hash = ring::digest::Context;
#[cfg(not(feature = "tls"))]
type Hash = sha2::Sha256;

/// The SHA-256 of what comes piece by piece.
pub(crate) struct Sha256(Hash);

#[cfg(feature = "tls")]
impl Sha256 {
    pub(crate) fn new() -> Self {
        Self(ring::digest::Context::new(&ring::digest::SHA256))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> Digest {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.0.finish().as_ref());
        Digest(digest)
    }
}

#[cfg(not(feature = "tls"))]
impl Sha256 {
    pub(crate) fn new() -> Self {
        Self(sha2::Digest::new())
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        sha2::Digest::update(&mut self.0, bytes);
    }

    pub(crate) fn finish(self) -> Digest {
        Digest(sha2::Digest::finalize(self.0).into())
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256")
    }
}

/// The SHA-256 of these bytes.
pub(crate) fn sha256(bytes: impl AsRef<[u8]>) -> Digest {
    let mut hash = Sha256::new();
    hash.update(bytes.as_ref());
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_standard() {
        // FIPS 180-4's examples, as NIST publishes them.
        let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256("").hex().to_string(), of_nothing);
        let mut pieces = Sha256::new();
        pieces.update(b"a");
        pieces.update(b"bc");
        assert_eq!(pieces.finish().hex().to_string(), of_abc);
    }
}
