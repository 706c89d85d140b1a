//! Image references: `[HOST[:PORT]/]REPOSITORY[:TAG][@sha256:…]`.
//!
//! The accelerator stands beside one registry, so a host is dropped: as in every OCI client, the
//! first component is a host if it contains a `.` or `:` or is `localhost`. Names follow the OCI
//! distribution specification, which makes them safe as paths: a component starts and ends with a
//! letter or digit, so there is no `..`, no empty and no hidden one.

use skiff_protocol::Digest;
use std::fmt;

/// Longest repository name that registries take.
const MAX_REPOSITORY: usize = 255;
const MAX_TAG: usize = 128;

/// What a reference names in its repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Selector {
    /// A tag, which can move.
    Tag(String),
    /// A manifest or index.
    Digest(Digest),
}

impl fmt::Display for Selector {
    /// As the registry API has it in paths.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// An image's name in the registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The repository, without a host.
    pub repository: String,
    /// Where both a tag and a digest are given, the digest.
    pub selector: Selector,
}

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no image, because {why}; write it like `library/nginx:1.27`")]
pub struct ReferenceError {
    text: String,
    why: &'static str,
}

impl Reference {
    /// Parses a reference; without tag and digest it is the tag `latest`.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let rest = match text.split_once('/') {
            Some((host, path)) if is_host(host) => path,
            _ => text,
        };
        let named = Self::without_host(rest);
        named.map_err(|error| ReferenceError { text: text.to_owned(), ..error })
    }

    /// Parses what [`Display`](fmt::Display) writes: a first component that looks like a host is a part of
    /// the repository.
    pub fn without_host(text: &str) -> Result<Self, ReferenceError> {
        let error = |why| ReferenceError { text: text.to_owned(), why };
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest = Digest::parse(digest);
                (name, Some(digest.ok_or_else(|| error("its digest is not a SHA-256"))?))
            }
            None => (text, None),
        };
        let (repository, tag) = name.split_once(':').unwrap_or((name, "latest"));
        check(repository, tag).map_err(error)?;
        let selector = digest.map_or_else(|| Selector::Tag(tag.to_owned()), Selector::Digest);
        Ok(Self { repository: repository.to_owned(), selector })
    }

    /// A tag of a repository, whose name has no host before it.
    ///
    /// # Errors
    /// One of the names is none.
    pub fn tag(repository: &str, tag: &str) -> Result<Self, ReferenceError> {
        let error = |why| ReferenceError { text: format!("{repository}:{tag}"), why };
        check(repository, tag).map_err(error)?;
        Ok(Self { repository: repository.to_owned(), selector: Selector::Tag(tag.to_owned()) })
    }

    /// The manifest or index with this digest in a repository.
    pub fn digest(repository: &str, digest: Digest) -> Self {
        Self { repository: repository.to_owned(), selector: Selector::Digest(digest) }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if matches!(self.selector, Selector::Tag(_)) { ':' } else { '@' };
        write!(f, "{}{separator}{}", self.repository, self.selector)
    }
}

/// Says what is wrong with names.
fn check(repository: &str, tag: &str) -> Result<(), &'static str> {
    if !is_repository(repository) {
        return Err("its repository is not lower-case letters, digits and . _ - /");
    }
    if !is_tag(tag) {
        return Err("its tag is not letters, digits and . _ -, at most 128");
    }
    Ok(())
}

fn is_host(component: &str) -> bool {
    (component.contains(['.', ':']) || component == "localhost") && !component.contains('@')
}

/// Whether a name is a repository's by the grammar of the OCI distribution specification.
pub fn is_repository(name: &str) -> bool {
    name.len() <= MAX_REPOSITORY && name.split('/').all(is_component)
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(component: &str) -> bool {
    let bytes = component.as_bytes();
    bytes.first().is_some_and(is_plain)
        && bytes.last().is_some_and(is_plain)
        && bytes
            .chunk_by(|a, b| is_plain(a) == is_plain(b))
            .all(|run| run.iter().all(is_plain) || is_separator(run))
}

fn is_plain(byte: &u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_separator(run: &[u8]) -> bool {
    matches!(run, b"." | b"_" | b"__") || run.iter().all(|byte| *byte == b'-')
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= MAX_TAG
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        let hex = "0123456789abcdef".repeat(4);
        let digest = format!("sha256:{hex}");
        let rows = [
            ("nginx", "nginx:latest".to_owned()),
            ("nginx:1.27", "nginx:1.27".to_owned()),
            ("docker.io/library/nginx:1.27", "library/nginx:1.27".to_owned()),
            ("localhost/a", "a:latest".to_owned()),
            ("host:5000/a/b-c__d.e:T_1", "a/b-c__d.e:T_1".to_owned()),
            ("a---b", "a---b:latest".to_owned()),
            ("host.x/dot.ted/a:1", "dot.ted/a:1".to_owned()),
            (&format!("a:1@{digest}"), format!("a@{digest}")),
            (&format!("[::1]:5000/a@{digest}"), format!("a@{digest}")),
        ];
        for (text, expected) in rows {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(reference.to_string(), expected, "{text}");
            assert_eq!(Reference::without_host(&expected).unwrap(), reference, "{text}");
        }
    }

    #[test]
    fn a_repository_of_a_registry_has_no_host() {
        let reference = Reference::tag("dot.ted/a", "1").unwrap();
        assert_eq!(reference.to_string(), "dot.ted/a:1");
        assert_eq!(reference.repository, "dot.ted/a");
        for (repository, tag) in
            [("h:5000/a", "1"), ("a", ""), ("", "1"), ("../a", "1"), ("a", "1@x")]
        {
            assert!(Reference::tag(repository, tag).is_err(), "{repository} {tag}");
        }
    }

    #[test]
    fn what_names_no_image() {
        let rows = [
            "",
            "/a",
            "a/",
            "a//b",
            "..",
            "a/../b",
            "h.x/../b",
            "a/.b",
            "A",
            "a..b",
            "a___b",
            "a._b",
            "-a",
            "a:",
            "a:-1",
            "a:b:c",
            "a b",
            "a@sha256:12",
            "a@sha512:12",
            "a\0",
            "a?b=c",
            "host.x/",
            "a@sha256:12/b",
            &"a".repeat(256),
            &format!("a:{}", "b".repeat(129)),
        ];
        for text in rows {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }
}
