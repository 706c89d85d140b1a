//! Skiff's accelerator: a Tokio service beside an OCI registry.
//!
//! Data flows one way through the modules:
//!
//! ```text
//! registry ──blob──▶ seek ──tar──▶ layer ──applied layers──▶ tree     driven by ingest
//!     │               │ index                                │
//!     │               └──────────▶ store (metadata) ◀────────┘
//!     │ ranges                          │
//!     ▼                                 ▼
//! contents ──bytes──▶ packs ◀────────  plan  ◀── serve ◀── request
//!                       └──frames──▶ device
//! ```
//!
//! `library` is what `serve` stands on: ingest, store and caches put together. `watch` has new images ingested
//! before a device asks. `access` says which device may read what. `seek` finds a tar's bytes in the registry's blob. `applications` says what an
//! application may be, `graph` shows what was planned. `cli` is the command line. `reference` reads images' names, `asked` remembers devices'
//! platforms; `sketch` says which contents resemble each other; `single_flight`, `meter`, `mapped` (memory for big buffers), `sha256` and `causes` are small things that
//! several modules need.

pub mod access;
pub mod applications;
pub mod asked;
pub mod cache;
pub mod causes;
pub mod cli;
pub mod contents;
pub mod graph;
pub mod hot;
pub mod ingest;
pub mod layer;
pub mod library;
pub mod mapped;
pub mod meter;
pub mod packs;
pub mod patch;
pub mod plan;
pub mod reference;
pub mod registry;
pub mod seek;
pub mod serve;
mod sha256;
pub mod single_flight;
pub mod sketch;
pub mod store;
pub mod tree;
pub mod watch;
