//! containerd's gRPC API (1.6 and later), as far as the agent needs it.
//!
//! ```text
//! images  content  snapshots  leases  containers      a call each, typed
//!         └──────────┬──────────────┘
//!                  grpc                   unary and streaming calls: h2 + prost over a Unix socket
//!                messages                 the fields that are used, by their numbers in the .proto
//! metadata                                index, manifest and config (JSON), as a stream
//! ```

mod containers;
mod content;
mod grpc;
mod images;
mod leases;
mod messages;
pub mod metadata;
mod snapshots;

pub use grpc::{Client, GrpcError};
pub use images::ImageTarget;
pub use snapshots::Kind;
