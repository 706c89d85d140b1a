//! The policy file. A line says who may read which repositories:
//!
//! ```text
//! # WHO                                     REPOSITORIES
//! token 9f86d081884c7d659a2feaa0c55ad015…   factory/* shared/base
//! certificate gateway-17.example            factory/press
//! ```
//!
//! A token stands there as its SHA-256 (`printf %s "$TOKEN" | sha256sum`), so that nobody who reads the file has it. A client
//! certificate goes by the DNS names among its subject's alternative names, in lower case; its common name is not looked at. Several
//! lines may be about one, who then may read what any of them says; a request that shows both a token and a certificate may read
//! what both may.

use super::pattern::Pattern;
use crate::sha256::sha256;
use skiff_protocol::Digest;
use std::sync::Arc;
use subtle::{Choice, ConstantTimeEq as _};

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy(Vec<Line>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    who: Who,
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    Token([u8; 32]),
    Certificate(String),
}

/// What is wrong with a policy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A line.
    #[error("line {0} is not `token SHA256 REPOSITORY...` or `certificate NAME REPOSITORY...`")]
    Line(usize),
    /// Its token is none.
    #[error(
        "line {0} has no SHA-256 of a token: 64 hexadecimal digits, from `printf %s \"$TOKEN\" | sha256sum`"
    )]
    Token(usize),
    /// A pattern of repositories.
    #[error(
        "line {0} has {1:?}, which is no pattern of repositories, like factory/press, factory/* or factory/**"
    )]
    Pattern(usize, String),
    /// Nobody.
    #[error("it has no line; is it whole? nobody could read anything")]
    Empty,
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// It is none, or names nobody, as a file does that is being written.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let mut lines = Vec::new();
        for (number, text) in (1..).zip(text.lines()) {
            let text = text.split_once('#').map_or(text, |(text, _)| text);
            let mut words = text.split_ascii_whitespace();
            let Some(kind) = words.next() else { continue };
            let who = match (kind, words.next()) {
                ("token", Some(hash)) => {
                    let hash = Digest::parse(&format!("sha256:{}", hash.to_ascii_lowercase()));
                    Who::Token(hash.ok_or(PolicyError::Token(number))?.0)
                }
                ("certificate", Some(name)) => Who::Certificate(name.to_ascii_lowercase()),
                _ => return Err(PolicyError::Line(number)),
            };
            let pattern = |word: &str| {
                Pattern::parse(word).ok_or_else(|| PolicyError::Pattern(number, word.to_owned()))
            };
            let patterns = words.map(pattern).collect::<Result<Vec<_>, _>>()?;
            if patterns.is_empty() {
                return Err(PolicyError::Line(number));
            }
            lines.push(Line { who, patterns });
        }
        if lines.is_empty() { Err(PolicyError::Empty) } else { Ok(Self(lines)) }
    }

    /// What they may read who show this token and these names; nothing if one of them is unknown, or there is
    /// none. The time that it takes tells nothing of the tokens in the policy.
    pub fn patterns(&self, token: Option<&[u8]>, names: &[String]) -> Option<Arc<[Pattern]>> {
        let shown: Option<[u8; 32]> = token.map(|token| sha256(token).0);
        let (mut patterns, mut token_is_known) = (Vec::new(), token.is_none());
        for line in &self.0 {
            let is_theirs = match (&line.who, &shown) {
                (Who::Token(known), Some(shown)) => known.ct_eq(shown),
                (Who::Certificate(known), _) => Choice::from(u8::from(names.contains(known))),
                (Who::Token(_), None) => Choice::from(0),
            };
            if is_theirs.into() {
                token_is_known |= matches!(line.who, Who::Token(_));
                patterns.extend_from_slice(&line.patterns);
            }
        }
        (token_is_known && !patterns.is_empty()).then(|| patterns.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_policy_says_who_may_read_what() {
        let text = format!(
            "# all\n\ntoken {ABC} factory/* # two lines\ntoken {} shared/base\n\
             certificate Gateway.example press/** more\n",
            ABC.to_uppercase()
        );
        let policy = Policy::parse(&text).unwrap();
        let may = |token: Option<&str>, names: &[&str], repository: &str| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            let patterns = policy.patterns(token.map(str::as_bytes), &names)?;
            Some(patterns.iter().any(|pattern| pattern.has(repository)))
        };
        let gateway = &["gateway.example"][..];
        for (token, names, repository, expected) in [
            (Some("abc"), &[][..], "factory/a", Some(true)),
            (Some("abc"), &[], "shared/base", Some(true)),
            (Some("abc"), &[], "press/a", Some(false)),
            (Some("abc"), gateway, "press/a", Some(true)),
            (None, gateway, "press/a/b", Some(true)),
            (None, gateway, "factory/a", Some(false)),
            (None, &[], "factory/a", None),
            (Some("abd"), &[], "factory/a", None),
            (Some(""), &[], "factory/a", None),
            (Some(ABC), &[], "factory/a", None),
            (Some("abd"), gateway, "press/a", None),
            (None, &["other.example"], "press/a", None),
        ] {
            assert_eq!(may(token, names, repository), expected, "{token:?} {names:?} {repository}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        use PolicyError::{Empty, Line, Pattern, Token};
        for (text, expected) in [
            (String::new(), Empty),
            ("# nothing\n\n".to_owned(), Empty),
            (format!("token {ABC}"), Line(1)),
            ("\ntoken".to_owned(), Line(2)),
            ("user joe a".to_owned(), Line(1)),
            (format!("token {} a", &ABC[1..]), Token(1)),
            (format!("token {ABC} a/ b"), Pattern(1, "a/".to_owned())),
        ] {
            assert_eq!(Policy::parse(&text), Err(expected), "{text}");
        }
    }
}
