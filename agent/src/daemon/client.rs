//! The other end of the daemon's socket: `skiff pull` and `skiff status`.

use super::DaemonError;
use super::message::Request;
use crate::json;
use crate::report::Said;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Connects to the daemon; nothing if none is there.
pub fn connect(socket: &Path) -> Option<UnixStream> {
    UnixStream::connect(socket).ok()
}

/// Asks, and relays what the daemon says; gives the exit code.
pub fn ask(mut daemon: UnixStream, request: &Request) -> Result<u8, DaemonError> {
    let lost = DaemonError::Lost;
    let line = json::text(request).map_err(|e| lost(e.into()))? + "\n";
    daemon.write_all(line.as_bytes()).map_err(lost)?;
    for line in BufReader::new(daemon).lines() {
        let said = json::read(&mut line.map_err(lost)?.as_bytes()).map_err(|e| lost(e.into()))?;
        // A closed pipe ends quietly.
        match said {
            Said::Out(text) => drop(std::io::stdout().lock().write_all(text.as_bytes())),
            Said::Err(text) => drop(std::io::stderr().lock().write_all(text.as_bytes())),
            Said::Exit(code) => return Ok(code),
        }
    }
    Err(lost(std::io::ErrorKind::UnexpectedEof.into()))
}
