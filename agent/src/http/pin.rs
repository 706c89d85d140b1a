//! A pinned key: the SHA-256 of its SubjectPublicKeyInfo, which any certificate of the key has. Written `sha256/` and
//! Base64, as RFC 7469 and curl have it, or 64 hexadecimal digits.

use super::encoding;
#[cfg(any(test, feature = "tls"))]
use crate::sha256::sha256;
use std::fmt::{self, Write as _};

/// A key's SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 32]);

impl Pin {
    /// Reads a pin.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("sha256").unwrap_or(text).as_bytes();
        // Base64 may itself begin with a slash, so it is cut off by its length.
        let digits = if rest.ends_with(b"=") { 44 } else { 64 };
        let (between, digits) = rest.split_at_checked(rest.len().checked_sub(digits)?)?;
        if !matches!(between, b"" | b":" | b"/" | b"//") {
            return None;
        }
        encoding::hex(digits).or_else(|| encoding::base64(digits)).map(Self)
    }

    /// That of a SubjectPublicKeyInfo.
    #[cfg(feature = "tls")]
    pub fn of(spki: &[u8]) -> Self {
        Self(sha256(spki).0)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256/")?;
        encoding::to_base64(&self.0, |digit| f.write_char(digit))
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
        let pin = Pin(sha256(b"").0);
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
        let slash = format!("/{}", &base64[1..]);
        for before in ["", "sha256/", "sha256//", "sha256:"] {
            let pin = Pin::parse(&format!("{before}{slash}")).map(|pin| pin.to_string());
            assert_eq!(pin, Some(format!("sha256/{slash}")), "{before}");
        }
        for text in [
            "",
            "sha256/",
            "sha256///",
            &format!("sha256///{base64}"),
            &hex[1..],
            &base64[1..],
            &base64.replace('Q', "-"),
            "sha1/abc=",
        ] {
            assert_eq!(Pin::parse(text), None, "{text}");
        }
    }
}
