//! The accelerator.

use super::process::Daemon;
use super::sandbox::Sandbox;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A running accelerator.
#[derive(Debug)]
pub struct Accelerator {
    daemon: Daemon,
    /// `127.0.0.1:PORT`.
    pub address: String,
}

impl Accelerator {
    /// Starts one with its data in the sandbox. `registry` is `http://HOST:PORT` or `oci:DIR`.
    pub fn start(sandbox: &Sandbox, registry: &str) -> Self {
        Self::start_with(&sandbox.directory("accelerator"), registry, &[])
    }

    /// Starts one with its data and log in this directory, which it may have had before, and with more
    /// arguments.
    pub fn start_with(directory: &Path, registry: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(Self::program());
        command.args(["serve", "--registry", registry, "--listen", "127.0.0.1:0", "--data"]);
        command.arg(directory.join("data")).args(arguments);
        let mut daemon = Daemon::start(&mut command, &directory.join("log"), true);
        let mut line = String::new();
        let mut said = BufReader::new(daemon.child().stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let Some(address) = line.trim().strip_prefix("listening on ") else {
            panic!("the accelerator says {line:?}, not where it listens:\n{}", daemon.said());
        };
        let address = address.to_owned();
        // Whatever else it prints must not block it.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self { daemon, address }
    }

    /// The program.
    pub fn program() -> PathBuf {
        super::program("SKIFF_ACCELERATOR_BIN", "skiff-accelerator")
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.daemon.said()
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.daemon.id()
    }
}
