//! What committed snapshots are called.
//!
//! An image's snapshot has the image's chain ID as name, as after a stock pull. A base, which several
//! images lie on, is no image: its name is made of its tree's digest, and no chain ID can be mistaken
//! for it.

use skiff_protocol::Digest;
use std::fmt;

/// What the name of a base begins with; its tree's digest follows, in 64 digits.
const BASE: &str = "skiff-base-";

/// The name of a committed snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SnapshotName {
    /// An image's, by its chain ID.
    Chain(Digest),
    /// A base's, by the digest of its tree.
    Base(Digest),
}

impl SnapshotName {
    /// Parses the text form. Names that others gave are none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix(BASE) {
            Some(hex) => Digest::parse(&format!("sha256:{hex}")).map(Self::Base),
            None => Digest::parse(text).map(Self::Chain),
        }
    }

    /// The tree's digest, if it is a base.
    pub fn base(self) -> Option<Digest> {
        match self {
            Self::Base(tree) => Some(tree),
            Self::Chain(_) => None,
        }
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain(id) => write!(f, "{id}"),
            Self::Base(tree) => write!(f, "{BASE}{}", tree.hex()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        let digest = Digest([0xab; 32]);
        for name in [SnapshotName::Chain(digest), SnapshotName::Base(digest)] {
            assert_eq!(SnapshotName::parse(&name.to_string()), Some(name));
        }
        assert_eq!(
            SnapshotName::Base(digest).to_string(),
            format!("skiff-base-{}", "ab".repeat(32))
        );
        for other in
            ["", "skiff-base-", "skiff-base-zz", "skiff-base-sha256:ab", "k8s-1", "sha256:ab"]
        {
            assert_eq!(SnapshotName::parse(other), None, "{other}");
        }
    }
}
