//! Whether a container's service is ready: something listens on its TCP port.

use std::fs::File;
use std::io::{BufRead, BufReader};

/// The state of a listening socket in `/proc/net/tcp` (`TCP_LISTEN`).
const LISTEN: &str = "0A";

/// Whether somebody listens on the port, in the network that this process is in.
pub fn listens(process: u32, port: u16) -> bool {
    ["tcp", "tcp6"].iter().any(|table| {
        // A process that has ended listens nowhere.
        let Ok(table) = File::open(format!("/proc/{process}/net/{table}")) else { return false };
        BufReader::new(table).lines().map_while(Result::ok).any(|line| is_listening(&line, port))
    })
}

/// `  sl  local_address rem_address   st …`, addresses and ports in hexadecimal.
fn is_listening(line: &str, port: u16) -> bool {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = fields.next().and_then(|local| local.rsplit_once(':'));
    let is_port = local.is_some_and(|(_, text)| u16::from_str_radix(text, 16) == Ok(port));
    is_port && fields.nth(1) == Some(LISTEN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_listener_is_seen_while_it_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(listens(std::process::id(), port));
        drop(listener);
        assert!(!listens(std::process::id(), port));
    }

    #[test]
    fn lines_of_the_table() {
        let line = "   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000";
        assert!(is_listening(line, 80));
        assert!(!is_listening(line, 81));
        assert!(!is_listening(&line.replace(" 0A ", " 01 "), 80), "a connection");
        assert!(!is_listening("  sl  local_address rem_address   st", 80));
        let six = "  1: 00000000000000000000000000000000:0CEA 0:0000 0A 0";
        assert!(is_listening(six, 3306));
    }
}
