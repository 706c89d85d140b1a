//! An image's merged root file system, as metadata only.
//!
//! A [`Tree`] maps each path to its [`Node`]. File contents are not here: a node says where they
//! lie, as extents of the uncompressed tar of one layer ([`Content::extents`]).

mod digest;
pub(crate) mod encode;
mod node;
mod resolve;

pub use encode::DecodeError;
pub(crate) use node::below;
pub use node::{Content, Extent, FileKind, Metadata, Node, Path, Tree};
