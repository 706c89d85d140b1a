//! From a layer blob to what the layer holds, in one pass and without a disk:
//!
//! ```text
//! blob ──seek──▶ source (diff ID, sink) ──tar──▶ entries ──apply──▶ AppliedLayer
//! ```
//!
//! The measure is containerd 1.6 on overlayfs: [`AppliedLayer`] is what it would have left in the
//! layer's own directory, and [`merge`] does overlayfs's part. Where containerd refuses
//! a layer this module refuses it too, but for three cases that it takes leniently: old GNU sparse
//! files, a whiteout of something that the same layer holds, and a directory removed by its own layer.
//!
//! containerd unpacks an image's *lowest* layer without overlayfs, so whiteouts and opaque marks
//! there delete what the layer itself held so far: [`AppliedLayer::base`].

mod applied;
mod apply;
mod encode;
mod error;
pub mod limits;
mod path;
mod source;
mod stack;
mod tar;
#[cfg(test)]
pub(crate) mod tar_builder;

pub use applied::{AppliedLayer, Entries, Entry, Inherit};
pub use error::LayerError;
pub use stack::{Stack, merge};

use crate::seek::{Index, Indexer};
use crate::sketch::Sketched;
use source::Source;
use std::io::{BufReader, Read, Write};

/// Compressed bytes that are read at once.
const BUFFER: usize = 128 << 10;

/// A layer that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerRead {
    /// SHA-256 of the whole uncompressed tar.
    pub diff_id: [u8; 32],
    /// Bytes of the uncompressed tar.
    pub uncompressed_len: u64,
    /// What the layer holds.
    pub applied: AppliedLayer,
    /// The blob's seek index, where it can have one.
    pub index: Option<Index>,
    /// The sketches of its contents.
    pub sketches: Sketched,
}

/// Reads a layer blob (gzip, zstd or plain tar) to its end. `sink` gets every uncompressed byte.
///
/// # Errors
/// The blob can't be read, is damaged, over a limit, or can't be unpacked. The sink has then got a
/// part of the bytes.
pub fn read_layer(blob: impl Read, sink: &mut dyn Write) -> Result<LayerRead, LayerError> {
    let blob = BufReader::with_capacity(BUFFER, blob);
    let mut blob = Indexer::open(blob).map_err(LayerError::Blob)?;
    let mut source = Source::new(&mut blob, sink);
    let mut layer = apply::Layer::default();
    let mut reader = tar::Reader::new(&mut source);
    while let Some(entry) = reader.next()? {
        layer.apply(entry)?;
    }
    let sketches = reader.into_sketches();
    let (diff_id, uncompressed_len) = source.finish()?;
    let (applied, index) = (layer.finish()?, blob.finish());
    Ok(LayerRead { diff_id, uncompressed_len, applied, index, sketches })
}
