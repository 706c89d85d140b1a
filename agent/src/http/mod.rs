//! HTTP/1.1 as the agent needs it: one POST with a short body, one streamed answer.
//!
//! `async-h1` 2.3.4 does the work, and this module keeps it where it is safe:
//!
//! | trap in async-h1 | what is done about it |
//! |---|---|
//! | the head of an answer is bounded at the ends of lines only | [`wire::Wire`] fails after [`wire::MAX_HEAD`] bytes |
//! | a header that is not ASCII panics | it is an error after its first such byte |
//! | a trailer that is not ASCII does, too | trailers are an error (`chunks`) |
//! | a 1xx answer is taken for the final one | it is an error here: nothing that we send asks for one |
//! | bodies of HEAD and 304 answers hang | only POST is sent, only the body of a 200 is read |
//! | a close-delimited body ends without an error | the answer must be chunked or have a length |
//! | a truncated body ends without an error | Skiff's own last frame says that all is there |
//! | no time-outs | connecting, writing, and each read have one |
//!
//! Bytes are counted on the socket, heads and chunk framing included.

mod chunks;
mod client;
mod wire;

pub use client::{Body, Client, HttpError};
