//! What can stop a trace.

use crate::applications::ApplicationError;
use crate::containerd::GrpcError;
use crate::http::HttpError;
use crate::target::TargetError;
use rustix::io::Errno;
use skiff_protocol::Error as WireError;
use std::path::PathBuf;
use thiserror::Error;

/// A trace that came to nothing.
#[derive(Debug, Error)]
pub enum TraceError {
    /// `--root` runs no containers.
    #[error("only containers of containerd can be traced; leave --root out")]
    NoContainerd,
    /// No such container.
    #[error("there is no container {0} here; `ctr containers ls` lists what there is")]
    NoContainer(String),
    /// The kernel tells nothing of opened files.
    #[error("this kernel can't tell what is opened (it needs fanotify, Linux 4.20 and root)")]
    Fanotify(#[source] Errno),
    /// The list of mounts can't be read.
    #[error("cannot read the list of mounts")]
    Mounts(#[source] std::io::Error),
    /// A layer of the image can't be looked into.
    #[error("cannot look into the layers of {image}")]
    Layers {
        /// The image.
        image: String,
        /// Why.
        source: Errno,
    },
    /// The scratch file.
    #[error("cannot use the scratch file {}", path.display())]
    Spool {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What was traced does not fit into a report.
    #[error("the report does not fit the protocol; trace fewer images at once")]
    Report(#[source] WireError),
    /// There is nothing to report.
    #[error("nothing of the image was opened; was the container running before? trace its start")]
    Nothing,
    /// The accelerator does not know an image.
    #[error("the accelerator at {url} does not know the traced images; pull them through it first")]
    Unknown {
        /// Its address.
        url: String,
    },
    /// The accelerator does not take the report.
    #[error("the accelerator at {url} does not take the report (HTTP status {status})")]
    Refused {
        /// Its address.
        url: String,
        /// The status.
        status: u16,
    },
    /// The accelerator does not answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// containerd.
    #[error(transparent)]
    Containerd(#[from] GrpcError),
    /// The target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// An application.
    #[error(transparent)]
    Application(#[from] ApplicationError),
}
