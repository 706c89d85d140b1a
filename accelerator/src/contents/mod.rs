//! Where the bytes of contents come from.
//!
//! ```text
//! content ──extent──▶ layer ─┬─ has a seek index ──▶ segments ──▶ a range of the registry's blob
//!                            └─ has none ──────────▶ the uncompressed tar, in the layer cache
//! ```

pub mod segments;

use crate::packs::cut::{ReadContent, ReadError};
use crate::tree::Content;
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
}

impl Layers {
    /// These layers.
    pub fn new(layers: HashMap<(usize, u32), Layer>, segments: Arc<Segments>) -> Self {
        Self { layers, segments }
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
                let mut done = 0;
                while done < into.len() {
                    let at = offset + done as u64;
                    let number = blob.index.segment_at(at);
                    let number = number.ok_or("a content lies behind its layer's end")?;
                    let segment = self.segments.get(blob, number).await?;
                    let from = usize::try_from(at - blob.index.bytes(number).start)?;
                    let len = (into.len() - done).min(segment.len() - from);
                    into[done..done + len].copy_from_slice(&segment[from..from + len]);
                    done += len;
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
        for extent in &content.extents {
            let (from, to) = (extent.offset.max(offset), (extent.offset + extent.len).min(end));
            if from < to {
                let piece = usize::try_from(from - offset)?..usize::try_from(to - offset)?;
                let at = extent.tar_offset + (from - extent.offset);
                self.read_tar(layer, at, &mut into[piece]).await?;
            }
        }
        Ok(())
    }
}
