//! Who may read what: the policy file, and the connections that devices show themselves on. And the other way round: by which
//! keys devices know what comes from here (`signing`).
//!
//! ```text
//! connection ──▶ tls (certificates; the client's names) ─┐
//! request ─────▶ gate: token, names ──▶ policy ──▶ Access ──▶ serve, hot::take
//!                                         │ patterns
//!                      watched: files are read again when they change
//! ```
//!
//! Without `--policy` every request may read everything, and [`Access`] says so. With it, a request that shows nobody that
//! the policy knows is answered with 401 before its body is read; the others get what their lines allow, and each
//! answer asks [`Access`] about every image that it would tell something of: those that are wanted, those that are held
//! (whose trees would show in what need not be sent), and those of a plan that is named by its ID.

mod gate;
mod pattern;
mod policy;
mod signing;
mod tls;
mod watched;

pub use gate::{Gate, Peer};
pub use pattern::Pattern;
pub use policy::{Policy, PolicyError};
pub use signing::{SignError, Signers, Unsigned};
pub use tls::{Tls, TlsError, TlsFiles};
pub use watched::Watched;

use crate::reference::Reference;
use std::sync::Arc;

/// What a request may read.
#[derive(Debug, Clone, Default)]
pub enum Access {
    /// Everything: there is no policy.
    #[default]
    Open,
    /// What one of these patterns has.
    Only(Arc<[Pattern]>),
}

impl Access {
    /// Whether it is everything, whatever there may be.
    pub fn is_all(&self) -> bool {
        match self {
            Self::Open => true,
            Self::Only(patterns) => patterns.iter().any(Pattern::is_all),
        }
    }

    /// Whether it has this repository.
    pub fn has(&self, repository: &str) -> bool {
        match self {
            Self::Open => true,
            Self::Only(patterns) => patterns.iter().any(|pattern| pattern.has(repository)),
        }
    }

    /// Whether it has the repository of this reference. What is no reference is in no repository.
    pub fn has_image(&self, reference: &str) -> bool {
        self.is_all() || Reference::parse(reference).is_ok_and(|named| self.has(&named.repository))
    }
}
