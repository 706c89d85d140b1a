//! Ingests what is in the queue, one image at a time: however much was pushed, deployments have the rest
//! of the processors and of the registry for themselves.

use super::Inbox;
use super::ahead::New;
use super::queue::{Job, Pushed};
use crate::meter::Meter;
use crate::serve::refusal::Refusal;
use skiff_protocol::response::FailureCode;
use std::sync::Arc;

/// Works for ever.
pub(super) async fn work(inbox: Arc<Inbox>) {
    loop {
        let (job, failures) = inbox.waiting.take().await;
        let Job { image: Pushed { name, .. }, platform } = &job;
        let wanted = job.image.wanted();
        match inbox.images.ingest_named(&wanted, platform, &Meter::default()).await {
            Ok(image) => {
                inbox.metrics.ingested_ahead(true);
                tracing::info!(manifest = %image.manifest.digest, "{name} is ingested for {platform}");
                let text = name.to_string();
                if let Err(refusal) = inbox.images.predict_ahead(&text, &image).await {
                    tracing::warn!("what {name} starts with can't be predicted: {refusal}");
                }
                let (name, platform) = (name.clone(), platform.clone());
                if inbox.new.try_send(New { name, platform, image }).is_err() {
                    tracing::warn!("patches for {text} are made when a device asks for it");
                }
            }
            Err(refusal) => failed(&inbox, job, failures + 1, &refusal),
        }
    }
}

/// Says what failed, and lets it be tried again where that can help.
fn failed(inbox: &Inbox, job: Job, failures: usize, refusal: &Refusal) {
    let text = format!("{} can't be ingested ahead for {}", job.image.name, job.platform);
    if refusal.code == FailureCode::NoPlatform {
        // An image need not be for all platforms.
        tracing::debug!("{text}: {refusal}");
        return;
    }
    inbox.metrics.ingested_ahead(false);
    // A manifest is there when it is told of, but its tag may come a moment later.
    let lasting = refusal.code == FailureCode::NotFound && job.image.digest.is_some();
    let pause = if lasting { None } else { inbox.waiting.retry(job, failures) };
    match pause {
        Some(pause) => tracing::warn!("{text}, next try in {} s: {refusal}", pause.as_secs()),
        None => {
            tracing::warn!(
                "{text}, left until it is pushed again or a device asks for it: {refusal}"
            );
        }
    }
}
