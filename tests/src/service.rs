//! What the real images run, and how to know that it works.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A pair of images (`old` and `new`), and how to know that its program works.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// The repository.
    pub name: &'static str,
    /// Its main program.
    pub program: &'static str,
    /// Where it listens.
    pub port: u16,
    /// What to say first, if anything.
    greeting: &'static str,
    /// What the answer holds.
    answer: &'static str,
}

const GET: &str = "GET / HTTP/1.0\r\n\r\n";

/// A web server.
pub const NGINX: Service =
    Service { name: "nginx", program: "usr/sbin/nginx", port: 80, greeting: GET, answer: " 200 " };

/// A database.
pub const MARIADB: Service = Service {
    name: "mariadb",
    program: "usr/sbin/mariadbd",
    port: 3306,
    greeting: "",
    answer: "MariaDB",
};

/// An application for Node.js: very many small files.
pub const NODE_RED: Service = Service {
    name: "node-red",
    program: "usr/src/node-red/node_modules/node-red/red.js",
    port: 1880,
    greeting: GET,
    answer: " 200 ",
};

impl Service {
    /// Whether it answers, in the network namespace of this thread.
    pub fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let limit = Some(Duration::from_secs(2));
        if stream.set_read_timeout(limit).is_err()
            || stream.write_all(self.greeting.as_bytes()).is_err()
        {
            return false;
        }
        let mut got = [0; 512];
        let length = stream.read(&mut got).unwrap_or(0);
        String::from_utf8_lossy(&got[..length]).contains(self.answer)
    }
}
