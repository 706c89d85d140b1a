//! Reads one layer: a stream from the registry through a hash into a blocking thread that unpacks.

use super::{Ingest, IngestError, LayerRef};
use crate::cache::Cache;
use crate::contents::Layer;
use crate::contents::segments::IndexedBlob;
use crate::layer::{AppliedLayer, LayerError, read_layer};
use crate::meter::Meter;
use crate::registry::BlobReader;
use crate::sha256::Sha256;
use crate::store::{Claim, StoredLayer};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::sync::Arc;
use tokio::sync::OwnedMutexGuard;
use tokio_util::io::SyncIoBridge;

const BUFFER: usize = 256 * 1024;

impl Ingest {
    /// What a layer holds, from the store or by reading it.
    pub(super) async fn layer(
        self: &Arc<Self>,
        layer: &LayerRef,
        meter: &Meter,
    ) -> Result<AppliedLayer, IngestError> {
        let turn = self.under_way.enter(layer.digest).await;
        if let Some(known) = self.known_layer(layer).await? {
            return Ok(known);
        }
        // Another accelerator with the same database may be at it.
        let claim = self.store.claim(layer.digest).await.map_err(IngestError::Store)?;
        if let Some(known) = self.known_layer(layer).await? {
            return Ok(known);
        }
        let (stored, _) = self.read((turn, Some(claim)), layer, meter, false).await?;
        Ok(stored.applied)
    }

    /// What the store knows of a layer.
    async fn known_layer(&self, layer: &LayerRef) -> Result<Option<AppliedLayer>, IngestError> {
        let known = self.store.layer(layer.digest).await.map_err(IngestError::Store)?;
        if known.as_ref().is_some_and(|known| known.diff_id != layer.diff_id) {
            return Err(IngestError::Damaged { digest: layer.digest, what: "diff ID" });
        }
        Ok(known.map(|known| known.applied))
    }

    /// Where a layer's uncompressed bytes can be had: in the registry's blob, or else in the layer cache.
    pub async fn open(self: &Arc<Self>, layer: &LayerRef) -> Result<Layer, IngestError> {
        let index = self.store.index(layer.digest).await.map_err(IngestError::Store)?;
        Ok(match index {
            Some(index) => Layer::Blob(IndexedBlob {
                repository: layer.repository.clone(),
                digest: layer.digest,
                index: Arc::new(index),
            }),
            None => Layer::Tar(Arc::new(self.tar(layer, &Meter::default()).await?)),
        })
    }

    /// The uncompressed tar of a layer, from the cache or by reading it again.
    async fn tar(self: &Arc<Self>, layer: &LayerRef, meter: &Meter) -> Result<File, IngestError> {
        let turn = self.under_way.enter(layer.digest).await;
        if let Some(file) = self.layers.get(&layer.diff_id.hex().to_string()) {
            return Ok(file);
        }
        let (_, file) = self.read((turn, None), layer, meter, true).await?;
        file.ok_or_else(|| IngestError::Cache(io::Error::other("a layer was read without its tar")))
    }

    /// Reads a layer, and with `keep` its tar into the cache, in a task of its own: it goes on when whoever
    /// asked goes away, so that a device that comes back on a bad link finds the layer read.
    async fn read(
        self: &Arc<Self>,
        turn: (OwnedMutexGuard<()>, Option<Claim>),
        layer: &LayerRef,
        meter: &Meter,
        keep: bool,
    ) -> Result<(StoredLayer, Option<File>), IngestError> {
        let (ingest, layer, meter) = (Arc::clone(self), layer.clone(), meter.clone());
        let work = async move {
            let _turn = turn;
            meter.expect(layer.size);
            let blob = ingest.registry.blob(&layer.repository, layer.digest, None).await;
            let blob = SyncIoBridge::new(blob.map_err(IngestError::Registry)?);
            let (digest, cache) = (layer.digest, Arc::clone(&ingest.layers));
            let unpacking = move || {
                if keep {
                    unpack_into(&cache, blob, &layer, meter)
                } else {
                    unpack(blob, &layer, &mut io::sink(), meter).map(|stored| (stored, None))
                }
            };
            let read = tokio::task::spawn_blocking(unpacking).await.map_err(IngestError::Task)?;
            let (stored, file) = read?;
            ingest.store.put_layer(digest, &stored).await.map_err(IngestError::Store)?;
            Ok((stored, file))
        };
        tokio::spawn(work).await.map_err(IngestError::Task)?
    }
}

/// Unpacks a layer, and takes its tar into the cache. Blocks; the stream is read as fast as it is
/// unpacked.
fn unpack_into(
    cache: &Cache,
    blob: SyncIoBridge<BlobReader>,
    layer: &LayerRef,
    meter: Meter,
) -> Result<(StoredLayer, Option<File>), IngestError> {
    let temporary = cache.temporary();
    let file = File::create(&temporary).map_err(IngestError::Cache)?;
    let mut file = BufWriter::with_capacity(BUFFER, file);
    let unpacked = unpack(blob, layer, &mut file, meter);
    let taken = unpacked.and_then(|stored| {
        let file = file.into_inner().map_err(|error| IngestError::Cache(error.into_error()))?;
        file.sync_data().map_err(IngestError::Cache)?;
        let file = cache.take_in(&temporary, &layer.diff_id.hex().to_string());
        Ok((stored, Some(file.map_err(IngestError::Cache)?)))
    });
    if taken.is_err() {
        // What can't be removed now goes at the next start.
        let _ = fs::remove_file(&temporary);
    }
    taken
}

/// Unpacks a layer, whose tar goes to `sink`, and checks digests and size.
fn unpack(
    blob: SyncIoBridge<BlobReader>,
    layer: &LayerRef,
    sink: &mut dyn Write,
    meter: Meter,
) -> Result<StoredLayer, IngestError> {
    let digest = layer.digest;
    let damaged = |what| Err(IngestError::Damaged { digest, what });
    let mut blob = Hashed { inner: blob, hash: Sha256::new(), len: 0, meter };
    let read = read_layer(&mut blob, sink);
    // What is behind the compressed stream's end belongs to the blob, too.
    let rest = io::copy(&mut blob, &mut io::sink());
    if rest.is_ok() && (blob.len != layer.size || blob.hash.finish() != digest) {
        return damaged("digest or size");
    }
    let read = read.map_err(|source: LayerError| IngestError::Layer { digest, source })?;
    rest.map_err(|source| IngestError::Layer { digest, source: LayerError::Blob(source) })?;
    if read.diff_id != layer.diff_id.0 {
        return damaged("diff ID");
    }
    let (size, applied) = (read.uncompressed_len, read.applied);
    let index = read.index.map(|index| index.encode());
    let sketches = Some(read.sketches.encode());
    Ok(StoredLayer { diff_id: layer.diff_id, size, applied, index, sketches })
}

struct Hashed<R> {
    inner: R,
    hash: Sha256,
    len: u64,
    meter: Meter,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.len += read as u64;
        self.meter.done(read as u64);
        Ok(read)
    }
}
