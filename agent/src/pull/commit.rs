//! Makes what was received last: finish, sync, commit (bases before what lies on them), blobs. The image
//! records are the last step, which makes it visible.
//!
//! Data reach the disk before containerd learns of them (`syncfs`), snapshots are committed before
//! blobs name them, blobs are there before an image record points to them. A power cut in between
//! leaves at worst a snapshot or blob that nothing refers to, under a lease that the next pull deletes.

use super::deployment::Deployment;
use super::images::{StoredBlob, StoredImage};
use super::{PullError, PullTrouble};
use crate::apply::{ApplyError, finish};
use crate::report::Report;
use crate::sync;
use crate::target::{BlobLabels, ImageRecord, SnapshotName, Target};
use std::path::Path;

/// Is told which layer is about to be moved, and where to.
pub type Moving<'a> = &'a mut dyn FnMut(usize, &Path) -> Result<(), PullError>;

/// Commits a deployment whose files all stand; gives the image records for it.
pub async fn commit(
    deployment: &mut Deployment,
    target: &mut Target,
    report: &mut Report,
    moving: Moving<'_>,
) -> Result<Vec<ImageRecord>, PullError> {
    report.committing();
    let (entries, layers) = deployment.parts();
    finish(entries, layers)?;
    for layer in layers.iter() {
        sync::file_system(layer.root()).map_err(ApplyError::writeback)?;
    }
    for (number, name) in deployment.names()?.into_iter().enumerate() {
        deployment.snapshots.commit(number, name, deployment.scratch(), target, moving).await?;
    }
    for image in &deployment.images.list {
        let Some(chain_id) = image.chain_id else {
            return Err(PullError::unexpected("an image that was not checked"));
        };
        if image.layer.is_none() && !target.snapshot_exists(SnapshotName::Chain(chain_id)).await? {
            let image = image.reference.clone();
            let reason = "its snapshot has vanished meanwhile; run the pull again";
            return Err(PullTrouble::Mismatch { image, reason }.into());
        }
    }
    let mut records = Vec::new();
    for image in &deployment.images.list {
        records.push(put_blobs(image, target).await?);
    }
    Ok(records)
}

/// Blobs from below, so that each refers only to what is there; gives the record for them.
async fn put_blobs(image: &StoredImage, target: &mut Target) -> Result<ImageRecord, PullError> {
    let (Some(manifest), Some(config), Some(chain_id)) =
        (&image.manifest, &image.config, image.chain_id)
    else {
        return Err(PullError::unexpected("an image that was not checked"));
    };
    put(target, config, BlobLabels::Config { chain_id: chain_id.0 }).await?;
    put(target, manifest, BlobLabels::Manifest { config: config.digest.0 }).await?;
    if let Some(index) = &image.index {
        put(target, index, BlobLabels::Index { manifest: manifest.digest.0 }).await?;
    }
    let top = image.index.as_ref().unwrap_or(manifest);
    Ok(ImageRecord {
        name: image.reference.clone(),
        target: top.digest,
        size: top.size,
        media_type: top.media_type.clone(),
        manifest: manifest.digest,
        chain_id,
    })
}

async fn put(target: &mut Target, blob: &StoredBlob, labels: BlobLabels) -> Result<(), PullError> {
    Ok(target.put_blob(blob.digest.0, blob.size, &blob.path, labels).await?)
}
