//! `skiff`, the agent: brings container images to an edge device through an accelerator.
//!
//! One thread does everything; a few helper threads of `smol` wait for the network. Memory is
//! fixed, whatever the image's size: what grows with an image lies in scratch files (`spool`).
//!
//! | module | what it does |
//! |---|---|
//! | `command` | from the command line to what the others do |
//! | `cli` | the command line |
//! | `pull` | one deployment, from request to commit |
//! | `applications` | images that are deployed and taken back together |
//! | `updates` | what an image's name pointed to before |
//! | `trace` | what containers open while they start |
//! | `http` | one POST and its streamed answer, over `async-h1` |
//! | `decode` | packs and the metadata stream, in fixed memory |
//! | `spool` | the table of contents, on disk |
//! | `apply` | writes entries and contents into snapshot directories |
//! | `cold` | files that stand before their bytes are there, under leases |
//! | `hydrate` | brings those bytes |
//! | `daemon` | does that in the background |
//! | `holder` | keeps cold files open while there is no daemon |
//! | `pause` | waits between tries |
//! | `target` | where images go: containerd, or a plain directory |
//! | `containerd` | containerd's gRPC API over its Unix socket |
//! | `json` | one reader and one writer of JSON |
//! | `state` | the agent's own directory: lock and scratch |
//! | `sync` | brings data to the disk |
//! | `sha256` | digests of contents, blobs and keys |
//! | `sys` | system calls that rustix does not have |
//! | `report` | what is said meanwhile |
//! | `exit` | errors to sentences and exit codes |

pub mod applications;
pub mod apply;
pub mod cli;
pub mod cold;
pub mod command;
pub mod containerd;
pub mod daemon;
pub mod decode;
pub mod exit;
pub mod holder;
pub mod http;
pub mod hydrate;
pub mod json;
pub mod pause;
pub mod platform;
pub mod pull;
pub mod report;
mod sha256;
pub mod spool;
pub mod state;
pub mod sync;
pub mod sys;
pub mod target;
pub mod trace;
pub mod updates;
