//! The accelerator.

use super::process::Daemon;
use super::sandbox::Sandbox;
use crate::compare::{FileType, Tree};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A running accelerator.
#[derive(Debug)]
pub struct Accelerator {
    daemon: Daemon,
    directory: PathBuf,
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
        Self { daemon, directory: directory.to_owned(), address }
    }

    /// `skiff-accelerator ingest`, for this machine's platform.
    pub fn ingest(registry: &str, data: &Path, image: &str) {
        let mut command = Command::new(Self::program());
        command.args(["ingest", image, "--registry", registry, "--data"]).arg(data);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ingest {image}: {said}");
    }

    /// Paths of the files that it keeps, below its data directory.
    pub fn files(&self) -> Vec<String> {
        let tree = Tree::read(&self.directory.join("data")).unwrap();
        let files = tree.nodes.iter().filter(|(_, node)| node.kind == FileType::File);
        files.map(|(path, _)| String::from_utf8_lossy(path).into_owned()).collect()
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
