//! Where the bytes of contents come from.
//!
//! ```text
//! content ──extent──▶ layer ─┬─ has a seek index ──▶ segments ──▶ a range of the registry's blob
//!                            └─ has none ──────────▶ the uncompressed tar, in the layer cache
//! ```
//!
//! What will be wanted once more is kept on the disk for a while ([`scratch`]).

pub mod scratch;
pub mod segments;

use crate::packs::cut::{ReadContent, ReadError};
use crate::tree::Content;
use futures_util::future::try_join_all;
use segments::{IndexedBlob, Segments};
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// Where a layer's uncompressed bytes can be had.
#[derive(Debug)]
pub enum Layer {
    /// In the registry's blob.
    Blob(IndexedBlob),
    /// In a file.
    Tar(Arc<File>),
}

/// The layers that an answer needs, by the image's index and the layer's.
#[derive(Debug)]
pub struct Layers {
    layers: HashMap<(usize, u32), Layer>,
    segments: Arc<Segments>,
    /// What is read may be wanted again.
    again: bool,
}

impl Layers {
    /// These layers, of which contents may be read `again` when much else was read since.
    pub fn new(layers: HashMap<(usize, u32), Layer>, segments: Arc<Segments>, again: bool) -> Self {
        Self { layers, segments, again }
    }

    /// Fills `into` with the uncompressed tar's bytes from `offset` on.
    async fn read_tar(&self, layer: &Layer, offset: u64, into: &mut [u8]) -> Result<(), ReadError> {
        match layer {
            Layer::Tar(file) => {
                let (file, len) = (Arc::clone(file), into.len());
                let read = move || {
                    let mut bytes = vec![0; len];
                    file.read_exact_at(&mut bytes, offset).map(|()| bytes)
                };
                into.copy_from_slice(&tokio::task::spawn_blocking(read).await??);
            }
            Layer::Blob(blob) => {
                let end = offset + into.len() as u64;
                let segment =
                    |at| blob.index.segment_at(at).ok_or("a content lies behind its layer's end");
                let (first, last) = (segment(offset)?, segment(end - 1)?);
                // All at once: they are one round trip.
                let segments =
                    (first..=last).map(|number| self.segments.get(blob, number, self.again));
                for (number, segment) in (first..).zip(try_join_all(segments).await?) {
                    let bytes = blob.index.bytes(number);
                    let (from, to) = (bytes.start.max(offset), bytes.end.min(end));
                    let place = |base: u64| -> Result<_, std::num::TryFromIntError> {
                        Ok(usize::try_from(from - base)?..usize::try_from(to - base)?)
                    };
                    into[place(offset)?].copy_from_slice(&segment[place(bytes.start)?]);
                }
            }
        }
        Ok(())
    }
}

impl ReadContent for Layers {
    async fn read(
        &self,
        image: usize,
        content: &Content,
        offset: u64,
        into: &mut [u8],
    ) -> Result<(), ReadError> {
        let layer = self.layers.get(&(image, content.layer));
        let layer = layer.ok_or("the content's layer was not opened")?;
        into.fill(0);
        let end = offset + into.len() as u64;
        let (mut rest, mut at) = (into, offset);
        let mut reads = Vec::new();
        // In order and without overlap, as the tar reader has checked.
        for extent in &content.extents {
            let (from, to) = (extent.offset.max(at), (extent.offset + extent.len).min(end));
            if from < to {
                let (_hole, behind) = rest.split_at_mut(usize::try_from(from - at)?);
                let (piece, behind) = behind.split_at_mut(usize::try_from(to - from)?);
                reads.push(self.read_tar(layer, extent.tar_offset + (from - extent.offset), piece));
                (rest, at) = (behind, to);
            }
        }
        try_join_all(reads).await?;
        Ok(())
    }
}
