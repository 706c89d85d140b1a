//! PostgreSQL, Debian's, on a free port of the loopback.

use super::process::{Daemon, output, run, wait_for};
use super::sandbox::Sandbox;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Its user's password; other users can't see it, and nor must a log show it.
pub const PASSWORD: &str = "sesame-0pen";

/// A server of one test, as the user `postgres`: it refuses to run as root.
#[derive(Debug)]
pub struct Postgres {
    // Its drop kills what the immediate shutdown left.
    daemon: Daemon,
    programs: PathBuf,
    data: PathBuf,
    port: u16,
}

/// What makes it the user `postgres`. Being that user undoes `setpriv --pdeathsig` before it.
const AS_POSTGRES: [&str; 8] =
    ["--reuid", "postgres", "--regid", "postgres", "--init-groups", "--pdeathsig", "KILL", "--"];

impl Postgres {
    /// Starts one with its files in the sandbox.
    pub fn start(sandbox: &Sandbox) -> Self {
        let programs = programs();
        let directory = sandbox.directory("postgres");
        let (data, password) = (directory.join("data"), directory.join("password"));
        std::fs::write(&password, PASSWORD).unwrap();
        run("chown", &["-R", "postgres", text(&directory)]);
        let initdb = programs.join("initdb");
        let mut arguments = AS_POSTGRES.to_vec();
        arguments.extend([text(&initdb), "--pgdata", text(&data), "--username", "skiff"]);
        arguments.extend(["--pwfile", text(&password), "--auth", "scram-sha-256", "--no-sync"]);
        arguments.extend(["--encoding", "UTF8", "--locale", "C"]);
        run("setpriv", &arguments);
        // Another process may take the port between these lines; then the server ends, and we try again.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut command = Command::new("setpriv");
            command.args(AS_POSTGRES).arg(programs.join("postgres")).arg("-D").arg(&data);
            command.args(["-p", &port.to_string()]);
            for setting in [
                "listen_addresses=127.0.0.1",
                "unix_socket_directories=",
                "fsync=off",
                // Below the data directory, so that it goes with the sandbox.
                "dynamic_shared_memory_type=mmap",
                "log_connections=on",
                "log_statement=all",
            ] {
                command.args(["-c", setting]);
            }
            let mut daemon = Daemon::start(&mut command, &directory.join("log"), false);
            let up = wait_for(Duration::from_secs(30), || {
                daemon.said().contains("ready to accept connections")
                    && TcpStream::connect(("127.0.0.1", port)).is_ok()
                    || daemon.child().try_wait().is_ok_and(|status| status.is_some())
            });
            if up && daemon.child().try_wait().unwrap().is_none() {
                return Self { daemon, programs, data, port };
            }
        }
        panic!("postgres does not start; see {}", directory.join("log").display());
    }

    /// The URL of its database of this name, with the password. `postgres` is there from the start.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://skiff:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes an empty database; gives its URL.
    pub fn create(&self, database: &str) -> String {
        let url = self.url("postgres");
        let sql = format!("CREATE DATABASE {database}");
        run(self.programs.join("psql"), &["--quiet", "--no-psqlrc", "--command", &sql, &url]);
        self.url(database)
    }

    /// Its log, with every statement.
    pub fn log(&self) -> String {
        self.daemon.said()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Killed alone, it would leave its children to find out, and them the directory.
        let control = self.programs.join("pg_ctl");
        let mut arguments = AS_POSTGRES.to_vec();
        arguments.extend([text(&control), "stop", "-D", text(&self.data), "-m", "immediate"]);
        let _ = output("setpriv", &arguments);
    }
}

/// The folder of the newest installed version's programs; not all of them are in the path.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = versions.map(|version| version.path().join("bin"));
    let mut folders: Vec<_> = folders.filter(|folder| folder.join("initdb").exists()).collect();
    folders.sort();
    let newest = folders.pop();
    newest.unwrap_or_else(|| panic!("PostgreSQL's initdb is missing; tests/install.sh installs it"))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
