//! The shared secret that notifications show, as `Authorization: Bearer TOKEN`.

use crate::sha256::sha256;
use std::fmt;
use subtle::ConstantTimeEq as _;

/// The environment variable that has it. Not an option: other users see those.
pub const VARIABLE: &str = "SKIFF_NOTIFY_TOKEN";

/// A secret. Only its hash is kept.
pub struct Token([u8; 32]);

/// Why a text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{VARIABLE} has to be visible ASCII characters, without spaces; set a token, or unset it")]
pub struct TokenError;

impl Token {
    /// A token that a header can hold.
    ///
    /// # Errors
    /// A header can't hold it, or it is empty.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(sha256(text).0)) } else { Err(TokenError) }
    }

    /// Whether an `Authorization` header shows it. The time that it takes tells nothing of the token,
    /// its length included.
    pub fn shown_by(&self, header: &[u8]) -> bool {
        const SCHEME: &[u8] = b"bearer ";
        match header.split_at_checked(SCHEME.len()) {
            Some((scheme, shown)) if scheme.eq_ignore_ascii_case(SCHEME) => {
                sha256(shown).0.ct_eq(&self.0).into()
            }
            _ => false,
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_is_the_token() {
        let token = Token::new("s3cret").unwrap();
        for good in ["Bearer s3cret", "bearer s3cret"] {
            assert!(token.shown_by(good.as_bytes()), "{good}");
        }
        for bad in
            ["", "s3cret", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cret ", "Basic s3cret"]
        {
            assert!(!token.shown_by(bad.as_bytes()), "{bad}");
        }
        assert!(!format!("{token:?}").contains("s3cret"));
        for bad in ["", "a b", "a\n", "ä"] {
            assert_eq!(Token::new(bad).unwrap_err(), TokenError, "{bad:?}");
        }
    }
}
