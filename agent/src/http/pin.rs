//! A pinned key: the SHA-256 of its SubjectPublicKeyInfo, which any certificate of the key has. Written `sha256/` and
//! Base64, as RFC 7469 and curl have it, or 64 hexadecimal digits.

#[cfg(any(test, feature = "tls"))]
use sha2::{Digest as _, Sha256};
use std::fmt;

/// A key's SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 32]);

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl Pin {
    /// Reads a pin.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("sha256").unwrap_or(text).trim_start_matches([':', '/']);
        let bytes = rest.as_bytes();
        let mut key = [0; 32];
        if bytes.len() == 64 {
            for (to, pair) in key.iter_mut().zip(bytes.chunks(2)) {
                let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
                *to = u8::try_from(high? * 16 + low?).ok()?;
            }
            return Some(Self(key));
        }
        let digits = bytes.strip_suffix(b"=")?;
        if digits.len() != 43 {
            return None;
        }
        let (mut bits, mut have, mut at) = (0u32, 0, 0);
        for digit in digits {
            let value = ALPHABET.iter().position(|one| one == digit)?;
            bits = bits << 6 | u32::try_from(value).ok()?;
            have += 6;
            if have >= 8 {
                have -= 8;
                let [.., byte] = (bits >> have).to_be_bytes();
                *key.get_mut(at)? = byte;
                at += 1;
            }
        }
        Some(Self(key))
    }

    /// That of a SubjectPublicKeyInfo.
    #[cfg(feature = "tls")]
    pub fn of(spki: &[u8]) -> Self {
        Self(Sha256::digest(spki).into())
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256/")?;
        for three in self.0.chunks(3) {
            let [a, b, c] = [0, 1, 2].map(|at| u32::from(three.get(at).copied().unwrap_or(0)));
            let bits = a << 16 | b << 8 | c;
            for digit in 0..=three.len() {
                let index = bits >> (18 - 6 * digit) & 63;
                write!(f, "{}", char::from(ALPHABET[index as usize]))?;
            }
        }
        f.write_str("=")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_and_written() {
        // SHA-256 of nothing.
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let base64 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let pin = Pin(Sha256::digest(b"").into());
        for text in [
            hex.to_owned(),
            format!("sha256:{hex}"),
            format!("sha256/{base64}"),
            format!("sha256//{base64}"),
            base64.to_owned(),
        ] {
            assert_eq!(Pin::parse(&text), Some(pin), "{text}");
        }
        assert_eq!(pin.to_string(), format!("sha256/{base64}"));
        for text in ["", "sha256/", &hex[1..], &base64[1..], &base64.replace('Q', "-"), "sha1/abc="]
        {
            assert_eq!(Pin::parse(text), None, "{text}");
        }
    }
}
