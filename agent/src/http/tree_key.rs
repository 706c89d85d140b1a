//! Keys that sign tables of contents: the option `--tree-key`, and whether one has signed.

#[cfg(feature = "tls")]
use super::security::{read, unusable};
use super::{HttpError, encoding};
#[cfg(feature = "tls")]
use crate::sha256::sha256;
use skiff_protocol::response::Signature;
use skiff_protocol::signed::KeyId;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// What stands before the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410).
const SPKI: &[u8; 12] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// The option: a key, or a file of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeKey {
    /// A file that has keys in lines of their own, as a PEM file of a public key does.
    File(PathBuf),
    /// The 32 bytes of a key.
    Key([u8; 32]),
}

impl TreeKey {
    /// What can be no key is the name of a file.
    pub fn parse(text: OsString) -> Self {
        key(text.as_encoded_bytes()).map_or_else(|| Self::File(text.into()), Self::Key)
    }
}

impl fmt::Display for TreeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Key(key) => key.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

/// A key in hexadecimal or Base64, or its SubjectPublicKeyInfo in Base64.
fn key(text: &[u8]) -> Option<[u8; 32]> {
    if let Some(key) = encoding::hex(text).or_else(|| encoding::base64(text)) {
        return Some(key);
    }
    let spki = encoding::base64::<44>(text)?;
    let (head, key) = spki.split_first_chunk::<12>()?;
    (head == SPKI).then(|| key.first_chunk().copied())?
}

/// A key that tables are checked by.
#[derive(Debug, Clone, Copy)]
pub struct PublicKey {
    id: KeyId,
    #[cfg(feature = "tls")]
    key: [u8; 32],
}

impl PublicKey {
    /// Its name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Whether it has signed this.
    #[cfg(feature = "tls")]
    pub fn has_signed(&self, message: &[u8], signature: &Signature) -> bool {
        let signature = signature.signature.as_flattened();
        webpki::ring::ED25519.verify_signature(&self.key, message, signature).is_ok()
    }

    /// There is none: the command line has refused it.
    #[cfg(not(feature = "tls"))]
    pub fn has_signed(&self, _: &[u8], _: &Signature) -> bool {
        false
    }
}

/// The keys of these options. Files are read anew each time.
#[cfg(feature = "tls")]
pub fn read_keys(options: &[TreeKey]) -> Result<Vec<PublicKey>, HttpError> {
    let mut keys = Vec::new();
    for option in options {
        let path = match option {
            TreeKey::Key(key) => {
                keys.push(public(*key));
                continue;
            }
            TreeKey::File(path) => path,
        };
        let bytes = read(path)?;
        let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let before = keys.len();
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with(b"--")) {
            let key =
                key(line).ok_or_else(|| invalid(path, "it has a line that is no Ed25519 key"))?;
            keys.push(public(key));
        }
        if keys.len() == before {
            return Err(invalid(path, "it has no public key"));
        }
    }
    Ok(keys)
}

/// There are none: the command line has refused them.
#[cfg(not(feature = "tls"))]
pub fn read_keys(_: &[TreeKey]) -> Result<Vec<PublicKey>, HttpError> {
    Ok(Vec::new())
}

#[cfg(feature = "tls")]
fn public(key: [u8; 32]) -> PublicKey {
    PublicKey { id: KeyId::of(&sha256(key)), key }
}

#[cfg(feature = "tls")]
fn invalid(path: &std::path::Path, what: &'static str) -> HttpError {
    unusable(path, std::io::Error::new(std::io::ErrorKind::InvalidData, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, TEST 2.
    const HEX: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    const BASE64: &str = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";
    const SPKI: &str = "MCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";

    #[test]
    fn a_key_is_read_as_it_is_written() {
        for text in [HEX, BASE64, SPKI] {
            let key = TreeKey::parse(text.into());
            assert!(matches!(key, TreeKey::Key(_)), "{text}");
            assert_eq!(key.to_string(), HEX, "{text}");
        }
        let rsa = SPKI.replace("Vw", "Vx");
        for text in ["tree.pub", &HEX[1..], &BASE64[1..], &rsa, ""] {
            assert_eq!(TreeKey::parse(text.into()), TreeKey::File(text.into()));
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_key_has_signed_or_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tree.pub");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_keys(&[TreeKey::File(path.clone())]).ok()
        };
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{SPKI}\n-----END PUBLIC KEY-----\n");
        let keys = read(&format!("{pem}{HEX}\n\n{BASE64}")).unwrap();
        assert_eq!(keys.len(), 3);
        for text in ["", "-----BEGIN PUBLIC KEY-----\n", "x", &format!("{pem}MCow\n")] {
            assert!(read(text).is_none(), "{text:?}");
        }
        // Of the one byte 0x72.
        let half = |text| encoding::hex(text).unwrap();
        let signature = Signature {
            key: keys[0].id(),
            signature: [
                half(b"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"),
                half(b"085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
            ],
        };
        for key in keys {
            assert!(key.has_signed(b"\x72", &signature) && !key.has_signed(b"\x73", &signature));
        }
    }
}
