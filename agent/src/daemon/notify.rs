//! Tells systemd how the daemon does (`sd_notify(3)`), if it is systemd that runs it.

use std::env;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Whether systemd waits for messages.
pub fn is_expected() -> bool {
    env::var_os("NOTIFY_SOCKET").is_some()
}

/// Sends a message. Nothing depends on its arrival.
pub fn notify(message: &str) {
    let Ok(path) = env::var("NOTIFY_SOCKET") else { return };
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    if let (Ok(socket), Ok(address)) = (UnixDatagram::unbound(), address) {
        let _ = socket.send_to_addr(message.as_bytes(), &address);
    }
}

/// How often systemd wants to hear that the daemon lives: half of its limit (`WatchdogSec=`).
pub fn watchdog() -> Option<Duration> {
    let micros: u64 = env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    Some(Duration::from_micros(micros / 2))
}
