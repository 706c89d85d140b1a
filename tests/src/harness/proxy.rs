//! What may stand between device and accelerator: Debian's tinyproxy, and its nginx before the accelerator.

use super::process::Daemon;
use super::sandbox::Sandbox;
use super::wait_for;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A proxy that wants a user and a password.
#[derive(Debug)]
pub struct Tinyproxy {
    daemon: Daemon,
    /// `127.0.0.1:PORT`.
    pub address: String,
}

impl Tinyproxy {
    /// Starts one.
    pub fn start(sandbox: &Sandbox, user: &str, password: &str) -> Self {
        let directory = sandbox.directory("tinyproxy");
        let (daemon, address) = start("tinyproxy", &directory, |address, config| {
            let (host, port) = address.split_once(':').unwrap();
            let text = format!(
                "Listen {host}\nPort {port}\nTimeout 60\nMaxClients 50\nAllow 127.0.0.1\n\
                 BasicAuth {user} {password}\nLogLevel Connect\n"
            );
            fs::write(config, text).unwrap();
            let mut command = Command::new("tinyproxy");
            command.arg("-d").arg("-c").arg(config);
            command
        });
        Self { daemon, address }
    }

    /// The first lines of the requests that it got.
    pub fn requests(&self) -> Vec<String> {
        let line = |line: &str| line.split_once("): ").map(|(_, request)| request.to_owned());
        let log = self.daemon.said();
        log.lines()
            .filter(|line| line.contains("Request (file descriptor"))
            .filter_map(line)
            .collect()
    }
}

/// A reverse proxy that buffers what it passes on, and gives connections up that are idle for a second.
#[derive(Debug)]
pub struct Nginx {
    _daemon: Daemon,
    directory: PathBuf,
    /// `127.0.0.1:PORT`.
    pub address: String,
}

impl Nginx {
    /// Starts one before this address (`HOST:PORT`); with TLS, if there are a certificate and its key.
    pub fn start(sandbox: &Sandbox, to: &str, tls: Option<(&Path, &Path)>) -> Self {
        let directory = sandbox.directory("nginx");
        let (listen, certificate) = match tls {
            Some((certificate, key)) => {
                let (certificate, key) = (certificate.display(), key.display());
                let lines = format!("ssl_certificate {certificate}; ssl_certificate_key {key};");
                (" ssl", format!("{lines} ssl_protocols TLSv1.3;"))
            }
            None => ("", String::new()),
        };
        let (daemon, address) = start("nginx", &directory, |address, config| {
            let own = directory.display();
            let mut places = String::new();
            for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
                places += &format!("{name}_temp_path {own}/{name};\n");
            }
            let text = format!(
                "daemon off; user root; worker_processes 1; pid {own}/pid; error_log stderr;\n\
                 events {{}}\n\
                 http {{\n{places}\
                 log_format connections '$connection $status';\n\
                 access_log {own}/access connections;\n\
                 keepalive_timeout 1s; proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;\n\
                 server {{ listen {address}{listen}; {certificate}\n\
                 location / {{ proxy_pass http://{to}; }} }}\n}}\n"
            );
            fs::write(config, text).unwrap();
            let mut command = Command::new("/usr/sbin/nginx");
            command.arg("-e").arg("stderr").arg("-c").arg(config);
            command
        });
        Self { _daemon: daemon, directory, address }
    }

    /// For each answer that is whole, the number of its connection, and its status.
    pub fn answers(&self) -> Vec<(u64, u16)> {
        let log = fs::read_to_string(self.directory.join("access")).unwrap();
        let answer = |line: &str| {
            let (connection, status) = line.split_once(' ').unwrap();
            (connection.parse().unwrap(), status.parse().unwrap())
        };
        log.lines().map(answer).collect()
    }
}

/// Starts a program on a free port; `configure` gets the address and a file for its configuration.
fn start(
    name: &str,
    directory: &Path,
    configure: impl Fn(&str, &Path) -> Command,
) -> (Daemon, String) {
    // Another process may take the port meanwhile; then it ends, and we try again.
    for _ in 0..5 {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut command = configure(&address, &directory.join("config"));
        let mut daemon = Daemon::start(&mut command, &directory.join("log"), false);
        let up = wait_for(Duration::from_secs(20), || {
            TcpStream::connect(&address).is_ok()
                || daemon.child().try_wait().is_ok_and(|status| status.is_some())
        });
        if up && daemon.child().try_wait().unwrap().is_none() {
            return (daemon, address);
        }
    }
    panic!("{name} does not start; see {}", directory.join("log").display());
}
