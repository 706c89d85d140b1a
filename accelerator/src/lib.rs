//! Skiff's accelerator: a Tokio service beside an OCI registry.
//!
//! Data flows one way through the modules:
//!
//! ```text
//! registry ──blob──▶ layer ──applied layer──▶ tree ──▶ store (SQLite)
//!                                              │
//!              request ──▶ plan (delta, contents, packs) ──▶ serve ──frames──▶ device
//!                                              ▲
//!                                  cache (layer bytes, encoded packs)
//! ```

pub mod cache;
pub mod ingest;
pub mod layer;
pub mod library;
pub mod packs;
pub mod plan;
pub mod reference;
pub mod registry;
pub mod serve;
pub mod store;
pub mod tree;
