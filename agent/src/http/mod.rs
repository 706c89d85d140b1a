//! HTTP/1.1 as the agent needs it: one POST with a short body, one streamed answer.
//!
//! `async-h1` 2.3.4 does the work, and this module keeps it where it is safe:
//!
//! | trap in async-h1 | what is done about it |
//! |---|---|
//! | the head of an answer is bounded at the ends of lines only | [`wire::Wire`] fails after [`wire::MAX_HEAD`] bytes |
//! | a header that is not ASCII panics | it is an error after its first such byte |
//! | a trailer that is not ASCII does, too | trailers are an error (`chunks`) |
//! | an answer in HTTP/1.0, as proxies refuse, is none | its version is raised (`wire`); it must have a length like any other |
//! | a 1xx answer is taken for the final one | it is an error here: nothing that we send asks for one |
//! | bodies of HEAD and 304 answers hang | only POST is sent, only the body of a 200 is read |
//! | a close-delimited body ends without an error | the answer must be chunked or have a length |
//! | a truncated body ends without an error | Skiff's own last frame says that all is there |
//! | a request to a proxy does not name the whole address | its address is one whose path that is (`client`) |
//! | no time-outs | connecting, writing, and each read have one |
//!
//! Bytes are counted on the socket, below TLS: its handshakes and records, heads and chunk framing included. Every connection is
//! made with the options in [`security`], through a [`proxy`] if the environment names one, and with `https://` it is a [`tls`] one (feature `tls`).

mod chunks;
mod client;
mod encoding;
mod error;
mod pin;
mod proxy;
mod rate;
mod security;
mod socket;
#[cfg(feature = "tls")]
mod tls;
mod tree_key;
mod wire;

pub use client::{Body, BodyError, Client, PATIENCE};
pub use error::HttpError;
pub use pin::Pin;
pub use proxy::Proxies;
pub use rate::Rate;
pub use security::{Security, SecurityOptions};
pub use tree_key::{PublicKey, TreeKey};
