//! What an accelerator signs, so that a device takes no table of contents but one of its own accelerators, whatever the bytes
//! came through.
//!
//! ```text
//! domain (32 bytes) · SHA-256 of the request · SHA-256 of the inflated metadata stream
//! ```
//!
//! What stands on the disk in the end is decided by three things. The *stream* has references, targets, manifests and configs,
//! and every entry with its metadata and its content's digest; packs are checked against those. It names what it lies on
//! (held images and bases) by number, and those are in the *request*, by their manifests' and trees' digests, as is what
//! was asked for: a table that was made for another device, image, application or platform does not fit. *Time* is in the
//! request, too: a deployment's name is random ([`crate::request::Hydration`]), so an answer that was recorded fits no other
//! deployment. What comes without metadata needs no signature: packs of a plan whose table is on the device already.

use crate::Digest;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Says what the signature is for, so that one for another purpose is none for this.
pub const DOMAIN: &[u8; 32] = b"skiff signed table of contents 1";

/// Bytes of what is signed.
pub const MESSAGE_LEN: usize = 96;

/// What is signed: of the request's body, as it was sent, and of the inflated metadata stream, the SHA-256.
pub fn message(request: &Digest, metadata: &Digest) -> [u8; MESSAGE_LEN] {
    let mut message = [0; MESSAGE_LEN];
    for (to, from) in message.chunks_exact_mut(32).zip([DOMAIN, &request.0, &metadata.0]) {
        to.copy_from_slice(from);
    }
    message
}

/// Names an Ed25519 key: the first 8 bytes of the SHA-256 of its 32 bytes (RFC 8032, section 5.1.5).
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyId(pub [u8; 8]);

impl KeyId {
    /// Of a key that has this SHA-256.
    pub fn of(sha256: &Digest) -> Self {
        let mut id = [0; 8];
        id.copy_from_slice(sha256.0.split_at(8).0);
        Self(id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
