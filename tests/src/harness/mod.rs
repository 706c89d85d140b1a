//! The real programs, each in a place of its own, gone when the test ends.
//!
//! Whatever a test starts stands below its [`Sandbox`]: files, mounts, sockets. Dropping goes inside out:
//! containers, daemons (each in a process group that is killed), network namespaces, mounts, files.
//! Daemons also die with the test process (`setpriv --pdeathsig`), and what a killed test run
//! left is removed by the next one. Nothing is skipped: a missing program or missing
//! root fails the test with a sentence that says so.

mod accelerator;
mod containerd;
mod lazy;
mod netns;
mod postgres;
mod process;
mod proxy;
mod registry;
mod relay;
mod rounds;
mod sandbox;
mod skiff;
mod usage;
mod wan;

pub use accelerator::Accelerator;
pub use containerd::{Container, Containerd, Mounted, Stock};
pub use lazy::{SkiffDaemon, alone, end_holder};
pub use netns::NetNs;
pub use postgres::{PASSWORD, Postgres};
pub use process::{Daemon, run, wait_for};
pub use proxy::{Nginx, Tinyproxy};
pub use registry::{Registry, Request};
pub use relay::{Counts, Fault, Relay};
pub use rounds::{Open, Rounds};
pub use sandbox::Sandbox;
pub use skiff::{Outcome, Running, Skiff};
pub use usage::Usage;
pub use wan::Wan;

use std::path::PathBuf;

/// A program of this workspace: `$variable`, or `name` beside the directory of the running test.
fn program(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    let own = std::env::current_exe().unwrap();
    let path = own.parent().and_then(|deps| deps.parent()).unwrap().join(name);
    assert!(path.exists(), "{} is missing; run `make build` or set {variable}", path.display());
    path
}

/// The image pairs: `$SKIFF_IMAGES`, or `target/images` of the workspace.
pub fn images() -> PathBuf {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/images");
    let path = std::env::var_os("SKIFF_IMAGES").map_or_else(default, PathBuf::from);
    assert!(path.exists(), "{} is missing; run `make images`", path.display());
    path
}
