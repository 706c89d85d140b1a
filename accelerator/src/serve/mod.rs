//! The HTTP service.
//!
//! | resource | | who, with a policy ([`crate::access`]) |
//! |---|---|---|
//! | `POST /v1/deploy` | a deployment: a request message in, a stream of frames out | devices, for images that they may read |
//! | `GET /healthz` | `ok` as long as the service runs | everybody |
//! | `GET /v1/graph` | the graph of states and deltas as JSON; with `?format=dot` for Graphviz | who may read all |
//! | `POST /v1/notify` | what a registry says of pushes, see [`crate::watch`], which brings it | who has its token |
//! | `POST /v1/trace` | what devices report of what was opened, see [`crate::hot::take`] | devices, for images that they may read |
//! | `GET /metrics` | counters in Prometheus' text format, see [`metrics`] | who may read all |
//!
//! Whatever the protocol can say, it says in frames, with status 200, so that an agent has one way
//! to read an answer. Other statuses are for clients that speak no Skiff: a body that is too long
//! (413) or is of another media type (415). And for those whom a policy does not know (401), before anything of
//! their request is read.
//!
//! ```text
//! request ──▶ answer ──▶ library (images, trees) ──▶ prepared ──▶ shipment ──▶ sink ══▶ body
//!               │                                     shared                     one place
//!               └── runs in a task of its own, which ends when the body is dropped
//! ```

mod answer;
pub mod body;
pub mod frames;
pub mod idle;
mod images;
pub mod library;
mod listen;
mod lull;
pub mod metrics;
pub(crate) mod patches;
mod patience;
pub(crate) mod prepared;
pub mod progress;
pub mod refusal;
mod request;
mod shipment;
pub mod urgent;

pub use listen::bind;

use crate::access::{Access, Gate, Signers, Tls};
use crate::packs::ahead::Supply;
use crate::packs::encoding::Levels;
use answer::{Ended, answer};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Extension, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use body::Sink;
use idle::Idleness;
use library::Library;
use metrics::{Ending, Metrics};
use patches::Workshop;
use prepared::Preparations;
use skiff_protocol::limits::MAX_REQUEST;
use skiff_protocol::request::DeployRequest;
use skiff_protocol::{DEPLOY_PATH, MEDIA_TYPE};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use urgent::Deployments;

/// Packs that are read or wait for an encoder at once, for each processor: each has a MiB in memory.
const FILLING: usize = 8;

/// Packs that answers may be ahead, beside one each, for each processor.
const AHEAD: usize = 8;

/// The service and what it shares between answers.
#[derive(Debug)]
pub struct Service<L: Library> {
    library: Arc<L>,
    metrics: Arc<Metrics>,
    makers: Makers,
    /// Those of urgent answers, which don't queue behind others.
    urgent_makers: Makers,
    deployments: Arc<Deployments>,
    ahead: Supply,
    workshop: Workshop,
    preparations: Preparations<L>,
    levels: Levels,
    gate: Arc<Gate>,
    signers: Signers,
    tls: Option<Arc<Tls>>,
    more: Router,
}

/// What bounds the making of packs.
#[derive(Debug, Clone)]
pub(crate) struct Makers {
    processors: usize,
    /// Packs that are encoded at once.
    encoding: Arc<Semaphore>,
    /// Packs that are read or wait for an encoder.
    filling: Arc<Semaphore>,
}

impl Makers {
    fn new(processors: usize) -> Self {
        Self {
            processors,
            encoding: Arc::new(Semaphore::new(processors)),
            filling: Arc::new(Semaphore::new(FILLING * processors)),
        }
    }

    fn are_idle(&self) -> bool {
        let filling = FILLING * self.processors - self.filling.available_permits();
        filling == 0 && self.encoding.available_permits() == self.processors
    }
}

impl<L: Library> Service<L> {
    /// A service on this library, whose packs are compressed with these levels.
    pub fn new(library: Arc<L>, levels: Levels) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            library,
            metrics: Arc::default(),
            makers: Makers::new(processors),
            urgent_makers: Makers::new(processors),
            deployments: Arc::default(),
            ahead: Supply::new(processors + 1, AHEAD * processors),
            workshop: Workshop::new(processors),
            preparations: Preparations::default(),
            levels,
            gate: Arc::default(),
            signers: Signers::default(),
            tls: None,
            more: Router::new(),
        }
    }

    /// Where patches are made.
    pub fn workshop(&self) -> &Workshop {
        &self.workshop
    }

    /// Tells when there is nothing to be made for devices.
    pub fn idleness(&self) -> Idleness {
        let makers = [self.makers.clone(), self.urgent_makers.clone()];
        Idleness { makers, workshop: self.workshop.clone() }
    }

    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Lets in by this gate.
    #[must_use]
    pub fn behind(mut self, gate: Gate) -> Self {
        self.gate = Arc::new(gate);
        self
    }

    /// Signs tables of contents.
    #[must_use]
    pub fn signing(mut self, signers: Signers) -> Self {
        self.signers = signers;
        self
    }

    /// Speaks TLS.
    #[must_use]
    pub fn over(mut self, tls: Tls) -> Self {
        self.tls = Some(Arc::new(tls));
        self
    }

    /// Serves these resources, too, which find an [`Access`] as their requests' extension.
    #[must_use]
    pub fn with_guarded(self, more: Router) -> Self {
        let more = self.gate.guard(more);
        self.with(more)
    }

    /// Serves these resources, too, which see themselves whom they let in.
    #[must_use]
    pub fn with(mut self, more: Router) -> Self {
        self.more = self.more.merge(more);
        self
    }

    /// Serves until `stop` resolves; answers that have begun are finished.
    pub async fn run(
        mut self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) {
        let more = std::mem::take(&mut self.more);
        let gate = Arc::clone(&self.gate);
        let tls = self.tls.take().map(|tls| (tls, Arc::clone(&self.metrics)));
        let router = Router::new()
            .route(DEPLOY_PATH, post(deploy::<L>))
            .route("/metrics", get(render::<L>))
            .route("/v1/graph", get(graph::<L>))
            .layer(DefaultBodyLimit::max(MAX_REQUEST))
            .with_state(Arc::new(self));
        let router = gate.guard(router).route("/healthz", get(async || "ok\n")).merge(more);
        listen::serve(listener, router, tls, stop).await;
    }
}

async fn render<L: Library>(
    State(service): State<Arc<Service<L>>>,
    Extension(access): Extension<Access>,
) -> Response {
    if !access.is_all() {
        return (StatusCode::FORBIDDEN, ONLY_ALL).into_response();
    }
    service.metrics.render().into_response()
}

/// Has nginx pass on what comes when it comes: progress says that there is life, and an answer waits for nothing.
const UNBUFFERED: (&str, &str) = ("x-accel-buffering", "no");

/// What somebody is told who may read some repositories, and asks for what is of all.
const ONLY_ALL: &str = "the policy has to let you read all repositories (**) for this\n";

async fn graph<L: Library>(
    State(service): State<Arc<Service<L>>>,
    Extension(access): Extension<Access>,
    RawQuery(query): RawQuery,
) -> Response {
    if !access.is_all() {
        return (StatusCode::FORBIDDEN, ONLY_ALL).into_response();
    }
    let graph = match service.library.graph().await {
        Ok(graph) => graph,
        Err(refusal) => return (StatusCode::SERVICE_UNAVAILABLE, refusal.message).into_response(),
    };
    let (kind, text) = match query.as_deref() {
        Some("format=dot") => ("text/vnd.graphviz", graph.dot()),
        _ => ("application/json", graph.json()),
    };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

async fn deploy<L: Library>(
    State(service): State<Arc<Service<L>>>,
    Extension(access): Extension<Access>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind != MEDIA_TYPE) {
        let text = format!("the body has to be of type {MEDIA_TYPE}\n");
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response();
    }
    let hydration = DeployRequest::decode(&body).map(|request| request.hydration);
    let hydration = hydration.unwrap_or_default();
    let place = service.deployments.enter(hydration.deployment, hydration.urgent);
    if hydration.urgent {
        service.metrics.urgent();
    }
    let (sink, stream) = body::channel(service.metrics.clone(), place);
    tokio::spawn(respond(service, access, body, sink));
    ([(header::CONTENT_TYPE.as_str(), MEDIA_TYPE), UNBUFFERED], Body::new(stream)).into_response()
}

/// Answers into the sink, and ends an answer that fails with the reason.
async fn respond<L: Library>(
    service: Arc<Service<L>>,
    access: Access,
    body: Bytes,
    mut sink: Sink,
) {
    let closed = sink.closed();
    let ended = tokio::select! {
        ended = answer(&service, &access, &body, &mut sink) => ended,
        () = closed => Err(Ended::Gone),
    };
    let ending = match ended {
        Ok(()) => Ending::Complete,
        Err(Ended::Gone) => Ending::Gone,
        Err(Ended::Refused(refusal)) => {
            tracing::warn!(code = ?refusal.code, "{refusal}");
            if let Ok(frame) = refusal.frame() {
                // Whoever does not listen any more needs no reason either.
                let _ = sink.send(frame).await;
            }
            Ending::Failed
        }
    };
    tracing::info!(bytes = sink.sent(), ?ending, "answered");
    service.metrics.ended(ending);
}
