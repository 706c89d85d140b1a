//! The accelerator.

use super::netns::NetNs;
use super::process::{Daemon, wait_for};
use super::sandbox::Sandbox;
use crate::compare::{FileType, Tree};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A running accelerator.
#[derive(Debug)]
pub struct Accelerator {
    daemon: Daemon,
    directory: PathBuf,
    /// `127.0.0.1:PORT`, or where else it was started.
    pub address: String,
}

/// Packs stay as they were made, unless a test wants otherwise: how many bytes they have would depend on the time.
const NOT_AGAIN: [&str; 2] = ["--idle-zstd-level", "0"];

impl Accelerator {
    /// Starts one with its data in the sandbox. `registry` is `http://HOST:PORT` or `oci:DIR`.
    pub fn start(sandbox: &Sandbox, registry: &str) -> Self {
        Self::start_with(&sandbox.directory("accelerator"), registry, &[])
    }

    /// Starts one with its data and log in this directory, which it may have had before, and with more
    /// arguments.
    pub fn start_with(directory: &Path, registry: &str, arguments: &[&str]) -> Self {
        Self::start_in(directory, registry, arguments, &[])
    }

    /// Starts one with more environment, too.
    pub fn start_in(
        directory: &Path,
        registry: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new(Self::program());
        command
            .envs(environment.iter().copied())
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(NOT_AGAIN);
        Self::run(command.args(arguments), directory, registry)
    }

    /// Starts one in this network namespace, with an address of it.
    pub fn start_at(directory: &Path, registry: &str, netns: &NetNs, address: &str) -> Self {
        let mut command = netns.command(Self::program());
        command.args(["serve", "--listen", &format!("{address}:0")]).args(NOT_AGAIN);
        Self::run(&mut command, directory, registry)
    }

    fn run(command: &mut Command, directory: &Path, registry: &str) -> Self {
        command.args(["--registry", registry, "--data"]).arg(directory.join("data"));
        let mut daemon = Daemon::start(command, &directory.join("log"), true);
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
        let output = Self::ingesting(registry, data, image).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ingest {image}: {said}");
    }

    /// The command that does so.
    pub fn ingesting(registry: &str, data: &Path, image: &str) -> Command {
        let mut command = Command::new(Self::program());
        command.args(["ingest", image, "--registry", registry, "--data"]).arg(data);
        command
    }

    /// `skiff-accelerator hot set`: these paths of an image come first.
    pub fn set_hot(&self, sandbox: &Sandbox, image: &str, paths: &[&str]) {
        let list = sandbox.directory("hot").join("paths");
        std::fs::write(&list, paths.join("\n") + "\n").unwrap();
        self.hot(&["set", image, list.to_str().unwrap()]);
    }

    /// `skiff-accelerator hot`; gives what it printed.
    pub fn hot(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(Self::program());
        command.arg("hot").args(arguments).arg("--data").arg(self.data());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "hot {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Paths of the files that it keeps, below its data directory.
    pub fn files(&self) -> Vec<String> {
        let tree = Tree::read(&self.data()).unwrap();
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

    /// Its URL, if it speaks TLS.
    pub fn https(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Asks it for something, with a body and with more header lines (each ends with `\r\n`). Gives the
    /// status and the answer.
    pub fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let (host, length) = (&self.address, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Content-Length: {length}\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // It may have answered and closed before it has read all.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        (status, answer)
    }

    /// One of its counters, by name and labels.
    pub fn counter(&self, name: &str) -> u64 {
        let (_, metrics) = self.ask("GET", "/metrics", "", b"");
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {metrics}")).trim().parse().unwrap()
    }

    /// Waits until all packs are compressed again; gives how many bytes it saved so far.
    pub fn wait_for_idle_work(&self) -> u64 {
        // It looks each second what there is to do.
        std::thread::sleep(Duration::from_secs(3));
        let limit = Duration::from_secs(1800);
        assert!(wait_for(limit, || self.counter("skiff_quick_packs") == 0), "packs still wait");
        self.counter("skiff_saved_bytes_total")
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
