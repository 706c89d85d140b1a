//! What `skiff` asks the daemon: a line of JSON on its Unix socket. The answer is lines of
//! [`Said`](crate::report::Said), the last of them an exit code.

use crate::pull::{Budget, Wanted};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A question.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Pull images, or an application's.
    Pull(Box<PullRequest>),
    /// Say what is hydrated.
    Status {
        /// In lines of JSON.
        json: bool,
    },
    /// Images were removed: look which.
    Removed,
}

/// What to pull, where to and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PullRequest {
    /// What to bring.
    pub wanted: Wanted,
    /// Base address of the accelerator.
    pub accelerator: String,
    /// The connection's options that whoever asks has, as text: the daemon uses its own, and refuses if these are
    /// others.
    pub security: String,
    /// Only measure.
    pub dry_run: bool,
    /// What it may cost.
    pub budget: Budget,
    /// Refuse images that have devices.
    #[serde(default)]
    pub no_devices: bool,
    /// Fail if it can't be started before it is all there.
    pub require_lazy: bool,
    /// Answer only when everything is there.
    pub wait: bool,
    /// containerd's socket.
    pub containerd: PathBuf,
    /// containerd's namespace.
    pub namespace: String,
    /// containerd's snapshotter.
    pub snapshotter: String,
    /// A plain directory instead of containerd.
    pub root: Option<PathBuf>,
    /// Whether to report in JSON.
    pub json: bool,
    /// Whether whoever asks has a terminal.
    pub terminal: bool,
}
