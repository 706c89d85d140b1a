//! A deployment's hot set: what the database has of its application and images, and what is predicted.

use super::choice::{Image, best, interleave, items};
use super::predict::{self, VERSION};
use super::{Item, Listed, Subject};
use crate::ingest::LayerRef;
use crate::library::Images;
use crate::plan::Wanted;
use crate::reference::Reference;
use crate::serve::library::Library as _;
use crate::serve::refusal::Refusal;
use crate::store::StoreError;
use skiff_protocol::record::Role;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long a device waits for a prediction; what is found by then is kept.
const PATIENCE: Duration = Duration::from_secs(10);

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
        let images: Vec<Image<'_>> = wanted
            .iter()
            .zip(&repositories)
            .map(|(want, repository)| Image { repository, tree: &want.tree })
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
        images: &[Image<'_>],
    ) -> Result<Option<Vec<Item>>, Refusal> {
        let store = self.store();
        let reports = store.traces(subject).await.map_err(failed)?;
        let by_hand = store.hot_sets(subject).await.map_err(failed)?;
        Ok(best(&reports, &by_hand, platform, class, images))
    }

    /// What is predicted of an image: kept, or made now and kept. A prediction that fails or takes too long is
    /// none, since a deployment does not depend on it.
    async fn predicted(&self, want: &Wanted, layers: &Arc<[LayerRef]>) -> Result<Listed, Refusal> {
        let _turn = self.predicting().enter(want.manifest).await;
        if let Some(kept) = self.store().prediction(want.manifest, VERSION).await.map_err(failed)? {
            return Ok(kept);
        }
        let config = want.blobs.iter().find(|blob| blob.role == Role::Config);
        let config = config.map_or(&b"{}"[..], |blob| &blob.bytes);
        let of_image = 0..u32::try_from(layers.len()).unwrap_or(0);
        let opening =
            self.reader(vec![Arc::clone(layers)], of_image.map(|layer| (0, layer)).collect());
        let until = Instant::now() + PATIENCE;
        let reader = match timeout_at(until, opening).await {
            Ok(Ok(reader)) => reader,
            Ok(Err(refusal)) => {
                tracing::warn!(image = want.reference, "nothing is predicted: {refusal}");
                return Ok(Listed::default());
            }
            Err(_) => {
                tracing::warn!(image = want.reference, "nothing is predicted: it takes too long");
                return Ok(Listed::default());
            }
        };
        let paths = predict::predict(config, &want.tree, &reader, until).await;
        let items = paths.into_iter().map(|path| Item::file(0, path)).collect();
        let listed = Listed { images: Vec::new(), items };
        self.store().put_prediction(want.manifest, VERSION, &listed).await.map_err(failed)?;
        Ok(listed)
    }
}

fn failed(error: StoreError) -> Refusal {
    Refusal::internal(&error)
}
