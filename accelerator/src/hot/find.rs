//! A deployment's hot set: what the database has of its application and images, and what is predicted.

use super::choice::{self, best, interleave, items};
use super::predict::{self, VERSION};
use super::{Item, Listed, Subject};
use crate::ingest::{Image, LayerRef};
use crate::library::Images;
use crate::plan::Wanted;
use crate::reference::Reference;
use crate::serve::library::Library as _;
use crate::serve::refusal::Refusal;
use crate::store::StoreError;
use crate::tree::Tree;
use skiff_protocol::Digest;
use skiff_protocol::record::Role;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long a device waits for a prediction; what is found by then is kept.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same while no device waits.
const PATIENCE_AHEAD: Duration = Duration::from_secs(60);

impl Images {
    /// What programs of these images use while they start.
    pub(crate) async fn hot_set(
        &self,
        application: Option<&str>,
        class: &str,
        platform: &str,
        wanted: &[Wanted],
        layers: &[Arc<[LayerRef]>],
    ) -> Result<Vec<Item>, Refusal> {
        let repository = |want: &Wanted| Reference::parse(&want.reference).map(|r| r.repository);
        let repositories: Vec<String> =
            wanted.iter().map(|want| repository(want).unwrap_or_default()).collect();
        let images: Vec<choice::Image<'_>> = wanted
            .iter()
            .zip(&repositories)
            .map(|(want, repository)| choice::Image { repository, tree: &want.tree })
            .collect();
        let joint = match application {
            Some(name) => {
                let subject = Subject::Application(name.to_owned());
                self.known(&subject, platform, class, &images).await?.unwrap_or_default()
            }
            None => Vec::new(),
        };
        let mut alone = Vec::new();
        for (index, want) in (0..).zip(wanted) {
            if joint.iter().any(|item| item.image == index) {
                continue;
            }
            let at = usize::from(index);
            let image = &images[at..=at];
            let subject = Subject::Image(repositories[at].clone());
            let set = match self.known(&subject, platform, class, image).await? {
                Some(set) => set,
                None => items(&self.predicted(want, &layers[at]).await?, image),
            };
            alone.push(set.into_iter().map(|item| Item { image: index, ..item }).collect());
        }
        let mut all = joint;
        all.extend(interleave(alone));
        all.truncate(super::MOST);
        Ok(all)
    }

    async fn known(
        &self,
        subject: &Subject,
        platform: &str,
        class: &str,
        images: &[choice::Image<'_>],
    ) -> Result<Option<Vec<Item>>, Refusal> {
        let store = self.store();
        let reports = store.traces(subject).await.map_err(failed)?;
        let by_hand = store.hot_sets(subject).await.map_err(failed)?;
        Ok(best(&reports, &by_hand, platform, class, images))
    }

    /// Predicts what programs of an image use while they start, so that the first device need not wait for it. An image
    /// with a layer that would have to be read whole again for that is left to that device.
    pub async fn predict_ahead(&self, reference: &str, image: &Image) -> Result<(), Refusal> {
        for layer in &image.layers {
            if self.store().index(layer.digest).await.map_err(failed)?.is_none() {
                return Ok(());
            }
        }
        let (manifest, config) = (image.manifest.digest, &image.config.bytes);
        let layers = image.layers.clone().into();
        let subject = Looked { reference, manifest, config, tree: &image.tree };
        self.prediction(subject, &layers, PATIENCE_AHEAD).await.map(drop)
    }

    /// What is predicted of an image that a device waits for.
    async fn predicted(&self, want: &Wanted, layers: &Arc<[LayerRef]>) -> Result<Listed, Refusal> {
        let config = want.blobs.iter().find(|blob| blob.role == Role::Config);
        let config = config.map_or(&b"{}"[..], |blob| &blob.bytes);
        let (reference, manifest) = (&*want.reference, want.manifest);
        let subject = Looked { reference, manifest, config, tree: &want.tree };
        self.prediction(subject, layers, PATIENCE).await
    }

    /// What is predicted: kept, or made now and kept. A prediction that fails or takes too long is none, since a
    /// deployment does not depend on it.
    async fn prediction(
        &self,
        image: Looked<'_>,
        layers: &Arc<[LayerRef]>,
        patience: Duration,
    ) -> Result<Listed, Refusal> {
        let until = Instant::now() + patience;
        let late = || {
            tracing::warn!(image = image.reference, "nothing is predicted: it takes too long");
            Ok(Listed::default())
        };
        // Who has more time may be at it.
        let entering = self.predicting().enter(image.manifest);
        let Ok(_turn) = timeout_at(until, entering).await else { return late() };
        let kept = self.store().prediction(image.manifest, VERSION).await.map_err(failed)?;
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let of_image = 0..u32::try_from(layers.len()).unwrap_or(0);
        let opening = self.reader(
            vec![Arc::clone(layers)],
            of_image.map(|layer| (0, layer)).collect(),
            false,
        );
        let reader = match timeout_at(until, opening).await {
            Ok(Ok(reader)) => reader,
            Ok(Err(refusal)) => {
                tracing::warn!(image = image.reference, "nothing is predicted: {refusal}");
                return Ok(Listed::default());
            }
            Err(_) => return late(),
        };
        let paths = predict::predict(image.config, image.tree, &reader, until).await;
        let items = paths.into_iter().map(|path| Item::file(0, path)).collect();
        let listed = Listed { images: Vec::new(), items };
        let keeping = self.store().put_prediction(image.manifest, VERSION, &listed).await;
        keeping.map_err(failed)?;
        Ok(listed)
    }
}

/// An image that is looked at for what it starts with.
struct Looked<'a> {
    reference: &'a str,
    manifest: Digest,
    config: &'a [u8],
    tree: &'a Tree,
}

fn failed(error: StoreError) -> Refusal {
    Refusal::internal(&error)
}
