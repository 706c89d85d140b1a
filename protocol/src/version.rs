//! The protocol's version.

use serde::{Deserialize, Serialize};

/// A protocol version. Peers with the same `major` understand each other: the accelerator answers
/// in the lower of the two minors. A minor version may add fields at the end of a message,
/// variants at the end of an enumeration and frame kinds, and sends them only to who knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// Changed when an old peer could misunderstand.
    pub major: u16,
    /// Changed when something was added.
    pub minor: u16,
}

impl Version {
    /// What this crate speaks.
    pub const CURRENT: Self = Self { major: 1, minor: 5 };

    /// Whether the peer knows base layers: [`crate::record::Record::Base`] and [`crate::record::Parent::Layer`].
    pub const fn has_bases(self) -> bool {
        self.minor >= 1
    }

    /// Whether the peer knows [`crate::response::FailureCode::Denied`].
    pub const fn has_denied(self) -> bool {
        self.minor >= 3
    }

    /// Whether the peer knows [`crate::response::Signature`].
    pub const fn has_signatures(self) -> bool {
        self.minor >= 4
    }

    /// Whether the peer knows [`crate::script`].
    pub const fn has_patches(self) -> bool {
        self.minor >= 5
    }

    /// Whether the peer's requests end with [`crate::request::Hydration`].
    pub const fn has_hydration(self) -> bool {
        self.minor >= 2
    }

    /// Whether the peer knows [`crate::request::Part::Rest`], [`crate::request::Part::Metadata`] and
    /// [`crate::request::Part::Contents`].
    pub const fn has_rest(self) -> bool {
        self.minor >= 3
    }
}
