//! Keeping up: new images are ingested ahead of time, so that the first device need not wait.
//!
//! ```text
//! registry ──POST /v1/notify──▶ notify ──▶ envelope ──┐
//!     ▲                                               ├──▶ queue ──▶ worker ──▶ Images::ingest
//!     └──HEAD, each interval─── poll (of store) ──────┘      for each of platforms, one at a time
//!                                                                 └──▶ ahead ──▶ patches
//! ```
//!
//! Nothing depends on it: a deployment resolves its tags anew in any case, and ingests what is unknown.
//! So whatever is lost here (the queue is in memory and bounded) costs time, never a wrong image.
//!
//! Whoever reaches the port can send notifications. One names a repository, a tag and a digest, and
//! nothing else of it is used: the image is read from our own registry, with our own credentials, and
//! checked as always. So nobody can bring an image in. What a stranger can cause is work: reading images
//! that the registry has, each once, one at a time, as many as the queue takes. A shared secret
//! ([`token`]) keeps strangers out.

mod ahead;
mod envelope;
mod notify;
mod outage;
pub mod platforms;
mod poll;
mod queue;
pub mod token;
mod worker;

use crate::library::Images;
use crate::serve::metrics::Metrics;
use crate::serve::patches::Workshop;
use ahead::New;
use axum::Router;
use outage::Outage;
use platforms::Platforms;
use poll::Poller;
use queue::{Full, Job, Pushed, Waiting};
use std::sync::Arc;
use std::time::Duration;
use token::Token;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;

/// What to keep up with.
#[derive(Debug)]
pub struct Options {
    /// The platforms to ingest for.
    pub platforms: Platforms,
    /// How often to look at tags, if at all.
    pub poll: Option<Duration>,
    /// What a notification has to show, if anything.
    pub token: Option<Token>,
}

/// Ingests ahead until it is dropped.
#[derive(Debug)]
pub struct Watch {
    inbox: Arc<Inbox>,
    /// Worker, poller and maker of patches; dropping ends them.
    _tasks: JoinSet<()>,
}

impl Watch {
    /// Begins, within a Tokio runtime.
    pub fn start(
        images: &Arc<Images>,
        metrics: &Arc<Metrics>,
        workshop: &Workshop,
        options: Options,
    ) -> Self {
        let Options { platforms, poll, token } = options;
        let (images, metrics) = (Arc::clone(images), Arc::clone(metrics));
        let (new, patching) =
            ahead::patching(Arc::clone(&images), Arc::clone(&metrics), workshop.clone());
        let inbox = Arc::new(Inbox {
            images,
            metrics,
            new,
            waiting: Waiting::default(),
            full: Outage::default(),
            platforms,
            token,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(worker::work(Arc::clone(&inbox)));
        tasks.spawn(patching);
        if let Some(every) = poll {
            tasks.spawn(Poller::new(Arc::clone(&inbox)).run(every));
        }
        Self { inbox, _tasks: tasks }
    }

    /// Where notifications go, for the service.
    pub fn routes(&self) -> Router {
        notify::routes(Arc::clone(&self.inbox))
    }
}

/// What notifications, poller and worker share.
#[derive(Debug)]
struct Inbox {
    images: Arc<Images>,
    metrics: Arc<Metrics>,
    waiting: Waiting,
    /// Where images go whose patches are to be made.
    new: Sender<New>,
    full: Outage,
    platforms: Platforms,
    token: Option<Token>,
}

impl Inbox {
    /// Queues an image for each platform of interest.
    fn add(&self, image: &Pushed) -> Result<(), Full> {
        let jobs = self.platforms.now(self.images.asked());
        let jobs = jobs.into_iter().map(|platform| Job { image: image.clone(), platform });
        let pushed = self.waiting.push(jobs.collect());
        match pushed {
            Ok(()) if self.full.ends() => tracing::info!("there is room again to ingest ahead"),
            Err(Full) if self.full.begins() => tracing::warn!(
                "{} images wait to be ingested ahead, and no more are taken; they are ingested when a \
                 device asks for them",
                queue::MOST
            ),
            _ => {}
        }
        pushed
    }
}
