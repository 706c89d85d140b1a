//! Patches ahead of time: when a new image is there, for devices that hold what its repository had before.
//!
//! What they hold is not known, but what they got: the image that was deployed last under the same name or else under
//! another of the repository. Patches are kept by the digests of their two contents, so that they serve devices that start
//! early, or hold more images, as well. One is made at a time, behind the ingests; what has to wait too long is made when a
//! device asks for it.

use crate::ingest::Image;
use crate::library::Images;
use crate::meter::Meter;
use crate::plan::contents::Needed;
use crate::plan::inputs::{HeldInput, Inputs, Terms};
use crate::plan::{Held, Wanted};
use crate::reference::Reference;
use crate::registry::platform::Platform;
use crate::serve::library::Library as _;
use crate::serve::metrics::Metrics;
use crate::serve::patches::{Patches, Workshop};
use crate::serve::prepared::plan;
use crate::serve::refusal::Refusal;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Images that may wait for their patches.
const WAITING: usize = 16;

/// Images that devices got before that are looked at for one of the same platform.
const LOOKED_AT: usize = 4;

/// An image that is new.
#[derive(Debug)]
pub(super) struct New {
    pub(super) name: Reference,
    pub(super) platform: Platform,
    pub(super) image: Image,
}

/// Where new images go, and who makes their patches.
pub(super) fn patching(
    images: Arc<Images>,
    metrics: Arc<Metrics>,
    workshop: Workshop,
) -> (Sender<New>, impl Future<Output = ()> + Send) {
    let (sender, receiver) = channel(WAITING);
    (sender, work(images, metrics, workshop, receiver))
}

async fn work(
    images: Arc<Images>,
    metrics: Arc<Metrics>,
    workshop: Workshop,
    mut waiting: Receiver<New>,
) {
    while let Some(new) = waiting.recv().await {
        let name = new.name.to_string();
        match patch(&images, &workshop, new).await {
            Ok(Some((old, made))) => {
                metrics.patched_ahead();
                tracing::info!("{made} patches are there from {old} to {name}");
            }
            Ok(None) => {}
            Err(refusal) => tracing::warn!("no patches are made ahead for {name}: {refusal}"),
        }
    }
}

/// Makes all patches for who got an image of the repository before: the name of that, and how many there are.
async fn patch(
    images: &Arc<Images>,
    workshop: &Workshop,
    new: New,
) -> Result<Option<(String, usize)>, Refusal> {
    let New { name, platform, image } = new;
    if !images.keeps_patches() {
        return Ok(None);
    }
    let Some((old_name, old)) = before(images, &name, &platform, &image).await? else {
        return Ok(None);
    };
    let inputs = Inputs {
        application: None,
        platform: platform.parts().map(str::to_owned),
        wanted: Vec::new(),
        held: vec![HeldInput {
            // A host, as a repository's first component may look like one.
            reference: format!("localhost/{old_name}"),
            manifest: old.manifest.digest,
            depth: 1,
            tree: Some(old.tree_digest),
        }],
        terms: Terms::default(),
    };
    let held = Held {
        manifest: old.manifest.digest,
        depth: 1,
        is_base: false,
        tree: Some((old.tree, old.tree_digest)),
    };
    let wanted = Wanted {
        reference: name.to_string(),
        target: image.manifest.digest,
        manifest: image.manifest.digest,
        tree: image.tree,
        tree_digest: image.tree_digest,
        blobs: Vec::new(),
    };
    let plan = plan(&**images, vec![wanted], vec![held], Terms::default()).await?;
    let layer = |needed: &Needed| (0, needed.content.layer);
    let packed = plan.contents.iter().filter(|(_, needed)| needed.held.is_none());
    let layers: BTreeSet<_> = packed.map(|(_, needed)| layer(needed)).collect();
    let reader = images.reader(vec![image.layers.into()], layers, true).await?;
    let patches = Patches::new(images, workshop, &inputs, plan.contents, Arc::new(reader));
    let patches = Arc::new(patches);
    Ok(Some((old_name.to_string(), patches.make_all().await)))
}

/// The image that devices got last from the repository, under the same name if there is one, and its name there.
async fn before(
    images: &Images,
    name: &Reference,
    platform: &Platform,
    image: &Image,
) -> Result<Option<(Reference, Image)>, Refusal> {
    let names = images.store().deployed(name, image.tree_digest, LOOKED_AT).await;
    for manifest in names.map_err(|error| Refusal::internal(&error))? {
        let by_digest = Reference::digest(&name.repository, manifest);
        // One of another platform is refused, and what the registry has no more is not there.
        match images.ingest_named(&by_digest, platform, &Meter::default()).await {
            Ok(old) => return Ok(Some((by_digest, old))),
            Err(refusal) => tracing::debug!("no patches from {by_digest}: {refusal}"),
        }
    }
    Ok(None)
}
