//! Takes reports: `POST /v1/trace`.
//!
//! Whoever reaches the port can report; with a policy, devices can, of what they may read. A report names images, an application and paths, and what is unknown of
//! these is refused or left out; it changes the order in which devices get files, and nothing else. The store
//! keeps so many reports of a subject. Two reports are looked at at once, others are told to come back.

use super::report::{Report, read};
use super::{Item, Listed, Subject};
use crate::access::Access;
use crate::causes::chain;
use crate::library::Images;
use crate::reference::Reference;
use crate::serve::library::Library as _;
use crate::serve::metrics::Metrics;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use skiff_protocol::limits::MAX_TRACE;
use skiff_protocol::{Digest, TRACE_MEDIA_TYPE, TRACE_PATH};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::Semaphore;

/// Reports that are looked at at once.
const AT_ONCE: usize = 2;

type Answer = (StatusCode, String);

struct Desk {
    images: Arc<Images>,
    metrics: Arc<Metrics>,
    turns: Semaphore,
    is_open: bool,
}

/// Where reports go, for the service; if it is not `open`, they are refused.
pub fn routes(images: &Arc<Images>, metrics: &Arc<Metrics>, open: bool) -> Router {
    let desk = Desk {
        images: Arc::clone(images),
        metrics: Arc::clone(metrics),
        turns: Semaphore::new(AT_ONCE),
        is_open: open,
    };
    Router::new()
        .route(TRACE_PATH, post(answer))
        .layer(DefaultBodyLimit::max(MAX_TRACE))
        .with_state(Arc::new(desk))
}

async fn answer(
    State(desk): State<Arc<Desk>>,
    Extension(access): Extension<Access>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let taken = desk.take(&access, &headers, &body).await;
    desk.metrics.traced(taken.is_ok());
    match taken {
        Ok(()) => (StatusCode::NO_CONTENT, String::new()),
        Err((status, text)) => {
            tracing::warn!(%status, "a report is not taken: {text}");
            (status, text + "\n")
        }
    }
}

impl Desk {
    async fn take(&self, access: &Access, headers: &HeaderMap, body: &[u8]) -> Result<(), Answer> {
        if !self.is_open {
            let text = "this accelerator takes no reports; start it without --no-traces";
            return Err((StatusCode::FORBIDDEN, text.to_owned()));
        }
        if headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind != TRACE_MEDIA_TYPE) {
            let text = format!("the body has to be of type {TRACE_MEDIA_TYPE}");
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
        let Ok(_turn) = self.turns.try_acquire() else {
            let text = "other reports are being looked at; try again later";
            return Err((StatusCode::SERVICE_UNAVAILABLE, text.to_owned()));
        };
        let report = read(body).map_err(|error| (StatusCode::BAD_REQUEST, chain(&error)))?;
        self.keep(access, report).await
    }

    async fn keep(&self, access: &Access, report: Report) -> Result<(), Answer> {
        let store = self.images.store();
        let failed =
            |error: &dyn std::error::Error| (StatusCode::SERVICE_UNAVAILABLE, chain(error));
        let unknown = |what: String| (StatusCode::NOT_FOUND, format!("{what} is not known here"));
        let Report { platform, application, class, images, items } = report;
        if !application.is_empty() {
            let known = store.application(&application).await.map_err(|error| failed(&error))?;
            // One that the device may not read is as one that is not known.
            known
                .filter(|images| images.iter().all(|image| access.has_image(image)))
                .ok_or_else(|| unknown(format!("the application {application:?}")))?;
        }
        let mut kept: Vec<Option<Item>> = items.into_iter().map(Some).collect();
        for (index, (repository, manifest)) in (0..).zip(&images) {
            let unknown = || unknown(format!("the image {repository}@{manifest}"));
            if !access.has(repository) {
                return Err(unknown());
            }
            let tree = self.images.tree(*manifest).await.map_err(|error| failed(&error))?;
            let tree = tree.ok_or_else(unknown)?;
            if !access.is_all() {
                let digest = Digest(tree.digest());
                let reference = Reference::digest(repository, *manifest).to_string();
                let is_theirs = self.images.is_in(access, &reference, *manifest, digest).await;
                if !is_theirs.map_err(|error| failed(&error))? {
                    return Err(unknown());
                }
            }
            let is_file = |item: &Item| tree.content(&item.path).is_some_and(|c| c.size > 0);
            for item in &mut kept {
                item.take_if(|item| item.image == index && !is_file(item));
            }
        }
        let images = images.into_iter().map(|(repository, _)| repository).collect();
        let listed = Listed { images, items: kept.into_iter().flatten().collect() };
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
        let number = i64::try_from(now).unwrap_or(i64::MAX);
        let platform = platform.to_string();
        let mut lists = Vec::new();
        if !application.is_empty() {
            lists.push((Subject::Application(application), listed.clone()));
        }
        for (index, repository) in (0..).zip(&listed.images) {
            lists.push((Subject::Image(repository.clone()), listed.of_image(index)));
        }
        for (subject, listed) in lists.iter().filter(|(_, listed)| !listed.items.is_empty()) {
            let put = store.put_trace(subject, &platform, &class, number, listed).await;
            put.map_err(|error| failed(&error))?;
        }
        Ok(())
    }
}
