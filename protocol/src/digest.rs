//! SHA-256 digests, as 32 raw bytes on the wire.

use core::fmt;
use serde::{Deserialize, Serialize};

/// A SHA-256 digest: of a content, a blob, a tree or a plan. Thirty-two bytes on the wire, without
/// a length; shown as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Parses `sha256:` followed by 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:")?.as_bytes();
        if hex.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Self(bytes))
    }

    /// The 64 hexadecimal digits alone, as file names and keys use them.
    pub fn hex(&self) -> impl fmt::Display + '_ {
        Hex(&self.0)
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

struct Hex<'a>(&'a [u8; 32]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn text_form_is_read_and_written() {
        let text = "sha256:00ff0123456789abcdef00000000000000000000000000000000000000000a1b";
        let digest = Digest::parse(text).unwrap();
        assert_eq!(digest.to_string(), text);
        for bad in ["", "sha256:", &text[..70], &text.to_uppercase(), "sha512:00", &text[7..]] {
            assert_eq!(Digest::parse(bad), None, "{bad}");
        }
    }
}
