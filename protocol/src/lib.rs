//! Skiff's wire format: what an agent asks, what an accelerator answers, and nothing else.
//!
//! The format itself is specified in `protocol/SPEC.md`; this crate is one implementation of it
//! and is tested against that document's vectors. It is `no_std`, allocates nothing, and does no
//! I/O of its own: frames are read and written through the `embedded-io` traits.
//!
//! ```text
//! request body   = one postcard message                                      request
//! response body  = frame*                                                    frame
//!   frame        = header (8 bytes, CRC-32) + payload (≤ 32 KiB)
//!   payload      = one postcard message, or a slice of a byte stream         response
//!   metadata     = the Metadata frames' payloads, joined, are one raw
//!                  deflate stream of length-prefixed records                 record
//!   pack         = a Pack frame, then PackData frames with its encoded bytes: raw
//!                  deflate or, if the request offers it, a zstd frame
//!   patched      = decoded, operations on a base that make its bytes         script
//! trace report   = length-prefixed records                                   trace
//! ```

#![no_std]

#[cfg(test)]
extern crate std;

mod digest;
mod error;
pub mod frame;
pub mod limits;
pub mod path;
mod ranges;
pub mod record;
pub mod request;
pub mod response;
pub mod script;
pub mod signed;
pub mod trace;
mod version;

pub use digest::Digest;
pub use error::Error;
pub use ranges::{Range, Ranges};
pub use version::Version;

/// Path of the HTTP resource that answers a [`request::DeployRequest`], by POST.
pub const DEPLOY_PATH: &str = "/v1/deploy";

/// Media type of request and response bodies.
pub const MEDIA_TYPE: &str = "application/vnd.skiff.v1";

/// Path of the HTTP resource that takes reports of what was opened ([`trace`]), by POST.
pub const TRACE_PATH: &str = "/v1/trace";

/// Media type of such reports.
pub const TRACE_MEDIA_TYPE: &str = "application/vnd.skiff.trace.v1";
