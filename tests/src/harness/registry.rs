//! docker-registry, on a free port of the loopback.

use super::netns::NetNs;
use super::process::Daemon;
use super::sandbox::Sandbox;
use crate::layout::Layout;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A registry without TLS and without accounts.
#[derive(Debug)]
pub struct Registry {
    daemon: Daemon,
    directory: PathBuf,
    /// `127.0.0.1:PORT`, or where else it was started.
    pub host: String,
    /// How much of the log was read.
    read: AtomicUsize,
}

/// A request in the registry's access log.
#[derive(Debug)]
pub struct Request {
    /// `GET`, `HEAD`, …
    pub method: String,
    /// The path, from `/v2/` on.
    pub path: String,
    /// The status of the answer.
    pub status: u32,
    /// Bytes of its body.
    pub bytes: u64,
}

impl Request {
    fn parse(line: &str) -> Option<Self> {
        // HOST - - [TIME] "METHOD PATH HTTP/1.1" STATUS BYTES "REFERER" "AGENT"
        let mut quoted = line.split('"');
        let (mut request, mut answer) =
            (quoted.nth(1)?.split(' '), quoted.next()?.split_whitespace());
        let (method, path) = (request.next()?.to_owned(), request.next()?.to_owned());
        let (status, bytes) = (answer.next()?.parse().ok()?, answer.next()?.parse().ok()?);
        path.starts_with("/v2/").then_some(Self { method, path, status, bytes })
    }
}

impl Registry {
    /// Starts one with its files in the sandbox.
    pub fn start(sandbox: &Sandbox) -> Self {
        Self::with(sandbox, "", None)
    }

    /// Starts one in this network namespace, with an address of it.
    pub fn start_in(sandbox: &Sandbox, netns: &NetNs, address: &str) -> Self {
        netns.inside(|| Self::with(sandbox, "", Some((netns, address))))
    }

    /// Starts one that sends notifications of pushes and pulls to this URL, with this token. What is not
    /// taken is sent again after a moment.
    pub fn notifying(sandbox: &Sandbox, url: &str, token: &str) -> Self {
        let endpoint = format!(
            "name: skiff, url: \"{url}\", timeout: 5s, threshold: 1, backoff: 200ms, \
             headers: {{Authorization: [\"Bearer {token}\"]}}"
        );
        Self::with(sandbox, &format!("notifications: {{endpoints: [{{{endpoint}}}]}}\n"), None)
    }

    /// Starts one with more lines in its configuration, and elsewhere.
    fn with(sandbox: &Sandbox, more: &str, place: Option<(&NetNs, &str)>) -> Self {
        let address = place.map_or("127.0.0.1", |(_, address)| address);
        let directory = sandbox.directory("registry");
        let mut said = String::new();
        // Another process may take the port between these lines; then the registry ends, and we try again.
        for _ in 0..5 {
            let port = TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port();
            let host = format!("{address}:{port}");
            let config = directory.join("config.yml");
            let text = format!(
                "version: 0.1\nlog: {{accesslog: {{disabled: false}}, level: warn}}\n\
                 storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
                 http: {{addr: \"{host}\"}}\n{more}",
                directory.join("data").display()
            );
            std::fs::write(&config, text).unwrap();
            let mut command = match place {
                Some((netns, _)) => netns.command("docker-registry"),
                None => Command::new("docker-registry"),
            };
            command.arg("serve").arg(&config);
            let mut daemon = Daemon::start(&mut command, &directory.join("log"), false);
            let up = super::wait_for(std::time::Duration::from_secs(20), || {
                TcpStream::connect(&host).is_ok()
                    || daemon.child().try_wait().is_ok_and(|status| status.is_some())
            });
            if up && daemon.child().try_wait().unwrap().is_none() {
                return Self { daemon, directory, host, read: AtomicUsize::new(0) };
            }
            said = daemon.said();
        }
        panic!("docker-registry does not start: {said}");
    }

    /// Takes a tag of a layout in; gives the reference.
    pub fn push(&self, layout: &Layout, tag: &str) -> String {
        layout.push(tag, &self.host)
    }

    /// Its files.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The requests that were logged since this was asked last.
    pub fn requests(&self) -> Vec<Request> {
        let log = self.log();
        let from = self.read.swap(log.len(), Ordering::Relaxed);
        log[from..].lines().filter_map(Request::parse).collect()
    }

    /// Its access log.
    pub fn log(&self) -> String {
        self.daemon.said()
    }
}
