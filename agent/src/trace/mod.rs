//! `skiff trace`: what the processes of a container open, execute and map of their image while they start, in
//! order of first use, for the accelerator's hot sets.
//!
//! ```text
//! mounts    containerd mounts a root file system: a container is about to start
//!   ▼
//! recorder  a fanotify mark on it, and events until it is ready      (sys::fanotify)
//!   ▼
//! image     only regular files of the image's layers count
//!   ▼
//! notes     each once                                        sink    printed, or kept for the report
//!   ▼
//! report    one POST to the accelerator
//! ```
//!
//! Everything is an open: `exec` opens the program and its interpreter, `mmap` what is mapped. Traces are told of what has
//! happened (`FAN_OPEN`), so they hold nobody up. Recording needs neither the lock nor the daemon.

mod error;
mod flags;
mod image;
mod mounts;
mod notes;
mod ports;
mod recorder;
mod report;
mod sink;

pub use error::TraceError;
pub use flags::Flags;

use crate::applications::{self, Name};
use crate::cli::Options;
use crate::containerd::Client;
use crate::http;
use crate::state::StateDir;
use crate::target::Target;
use notes::Notes;
use recorder::Recorder;
use serde::Serialize;
use sink::{Sink, Spool};
use std::rc::Rc;
use std::time::Duration;

/// What is traced, as the command line says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Traced {
    /// This container.
    Container(String),
    /// The next containers of these images.
    Images(Vec<String>),
    /// The next containers of the images that are deployed of this application.
    Application(Name),
}

/// What to trace, until when, and what to do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceOptions {
    /// What is traced.
    pub traced: Traced,
    /// The application that it is reported for.
    pub application: Option<Name>,
    /// The device's class; may be empty.
    pub class: String,
    /// When to end.
    pub until: Until,
    /// Print the files and report nothing.
    pub print: bool,
}

/// When to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Until {
    /// So long after the first container was about to start.
    pub limit: Duration,
    /// A second after one of the containers listens on this port, if that is sooner.
    pub port: Option<u16>,
}

/// What is traced, found out.
#[derive(Debug)]
enum Subject {
    Container { id: String, image: String },
    Images(Vec<String>),
}

impl Subject {
    fn images(&self) -> &[String] {
        match self {
            Self::Container { image, .. } => std::slice::from_ref(image),
            Self::Images(images) => images,
        }
    }
}

/// A trace in numbers.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "traced")]
pub struct Summary {
    /// The images that were traced.
    pub images: Vec<String>,
    /// How many of their files were used.
    pub files: usize,
    /// Whether some may be missing: more happened at once than the kernel keeps, or than a report holds.
    pub gaps: bool,
    /// Whether it ended because the port was listened to, or there was no port to wait for.
    pub ready: bool,
}

/// Traces, and tells this accelerator or prints.
pub async fn trace(
    asked: &TraceOptions,
    accelerator: Option<&str>,
    options: &Options,
    state: &StateDir,
    target: &Target,
) -> Result<Summary, TraceError> {
    if options.root.is_some() {
        return Err(TraceError::NoContainerd);
    }
    let mut accelerator = accelerator
        .map(|url| {
            let security = Rc::new(http::Security::new(options.security.clone()));
            http::Client::new(url, &security)
        })
        .transpose()?;
    let containerd = Client::connect(&options.containerd, &options.namespace).await?;
    let subject = subject(asked, state, target, &containerd).await?;
    let sink = match accelerator {
        Some(_) => Sink::Spool(Box::new(Spool::create(state.path())?)),
        None => Sink::Print { json: options.json },
    };
    let mut notes = Notes::new(sink, subject.images().len() > 1);
    let (namespace, until) = (&options.namespace, asked.until);
    let recorder =
        Recorder { containerd: &containerd, target, namespace, subject: &subject, until };
    let armed = || eprintln!("skiff: watching for {}", subject.images().join(", "));
    let ready = recorder.record(&mut notes, armed).await?;
    if notes.files() == 0 {
        return Err(TraceError::Nothing);
    }
    let summary = Summary {
        images: notes.images.iter().map(|image| image.reference.clone()).collect(),
        files: notes.files(),
        gaps: notes.gaps,
        ready,
    };
    let Notes { images, sink, .. } = notes;
    if let (Sink::Spool(mut spool), Some(client)) = (sink, &mut accelerator) {
        let application = asked.application.as_ref().map_or("", Name::as_str);
        report::send(client, application, &asked.class, &images, &mut spool).await?;
    }
    Ok(summary)
}

async fn subject(
    asked: &TraceOptions,
    state: &StateDir,
    target: &Target,
    containerd: &Client,
) -> Result<Subject, TraceError> {
    match &asked.traced {
        Traced::Container(id) => match containerd.container_image(id).await? {
            Some(image) => Ok(Subject::Container { id: id.clone(), image }),
            None => Err(TraceError::NoContainer(id.clone())),
        },
        Traced::Images(images) => Ok(Subject::Images(images.clone())),
        Traced::Application(name) => {
            let deployed = applications::current(name, state, &target.name())?;
            Ok(Subject::Images(deployed.into_iter().map(|record| record.name).collect()))
        }
    }
}
