//! Reads one layer: a stream from the registry through a hash into a blocking thread that unpacks.

use super::{Ingest, IngestError, LayerRef};
use crate::layer::{AppliedLayer, LayerError, LayerRead, read_layer};
use crate::registry::BlobReader;
use crate::serve::progress::Meter;
use crate::store::StoredLayer;
use sha2::{Digest as _, Sha256};
use skiff_protocol::Digest;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use tokio::sync::Mutex as AsyncMutex;
use tokio_util::io::SyncIoBridge;

const BUFFER: usize = 256 * 1024;

impl Ingest {
    /// What a layer holds, from the store or by reading it.
    pub(super) async fn layer(
        &self,
        layer: &LayerRef,
        meter: &Meter,
    ) -> Result<AppliedLayer, IngestError> {
        let lock = self.lock_of(layer.digest);
        let _guard = lock.lock().await;
        if let Some(known) = self.store.layer(layer.digest).await.map_err(IngestError::Store)? {
            if known.diff_id != layer.diff_id {
                return Err(IngestError::Damaged { digest: layer.digest, what: "diff ID" });
            }
            return Ok(known.applied);
        }
        Ok(self.read(layer, meter).await?.applied)
    }

    /// The uncompressed tar of a layer, from the cache or by reading it again.
    pub async fn tar(&self, layer: &LayerRef, meter: &Meter) -> Result<File, IngestError> {
        let lock = self.lock_of(layer.digest);
        let _guard = lock.lock().await;
        let name = layer.diff_id.hex().to_string();
        if let Some(file) = self.layers.get(&name) {
            return Ok(file);
        }
        self.read_into_cache(layer, meter).await.map(|(_, file)| file)
    }

    fn lock_of(&self, digest: Digest) -> Arc<AsyncMutex<()>> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(under_way.entry(digest).or_default())
    }

    async fn read(&self, layer: &LayerRef, meter: &Meter) -> Result<StoredLayer, IngestError> {
        let (stored, _) = self.read_into_cache(layer, meter).await?;
        self.store.put_layer(layer.digest, &stored).await.map_err(IngestError::Store)?;
        Ok(stored)
    }

    async fn read_into_cache(
        &self,
        layer: &LayerRef,
        meter: &Meter,
    ) -> Result<(StoredLayer, File), IngestError> {
        meter.expect(layer.size);
        let blob = self.registry.blob(&layer.repository, layer.digest, None).await;
        let blob = blob.map_err(IngestError::Registry)?;
        let temporary = self.layers.temporary();
        let read = unpack(blob, layer.clone(), temporary.clone(), meter.clone()).await;
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                let _ = std::fs::remove_file(&temporary);
                return Err(error);
            }
        };
        let name = layer.diff_id.hex().to_string();
        let file = self.layers.take_in(&temporary, &name).map_err(IngestError::Cache)?;
        let stored = StoredLayer {
            diff_id: layer.diff_id,
            size: read.uncompressed_len,
            applied: read.applied,
        };
        Ok((stored, file))
    }
}

/// Runs on a blocking thread; the stream is read as fast as it is unpacked.
async fn unpack(
    blob: BlobReader,
    layer: LayerRef,
    to: PathBuf,
    meter: Meter,
) -> Result<LayerRead, IngestError> {
    let bridge = SyncIoBridge::new(blob);
    let work = move || {
        let mut blob = Hashed { inner: bridge, hash: Sha256::new(), len: 0, meter };
        let file = File::create(to).map_err(IngestError::Cache)?;
        let mut sink = BufWriter::with_capacity(BUFFER, file);
        let digest = layer.digest;
        let read = read_layer(&mut blob, &mut sink);
        let damaged = |what| Err(IngestError::Damaged { digest, what });
        // What is behind the compressed stream's end belongs to the blob, too.
        let rest = io::copy(&mut blob, &mut io::sink());
        if rest.is_ok() && (blob.len != layer.size || blob.hash.finalize()[..] != digest.0) {
            return damaged("digest or size");
        }
        let read = read.map_err(|source: LayerError| IngestError::Layer { digest, source })?;
        rest.map_err(|source| IngestError::Layer { digest, source: LayerError::Blob(source) })?;
        if read.diff_id != layer.diff_id.0 {
            return damaged("diff ID");
        }
        sink.flush().map_err(IngestError::Cache)?;
        Ok(read)
    };
    tokio::task::spawn_blocking(work).await.map_err(IngestError::Task)?
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
