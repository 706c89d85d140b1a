//! A TCP relay that counts, cuts, flips and stalls.
//!
//! Faults hit what flows from the server to the client, at a place counted in bytes since the
//! relay started, so that a run can be repeated exactly. The sockets' own buffers aren't in the count: a byte
//! counts when it is handed on.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What goes wrong, between server and client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Every connection is cut once so many bytes went through.
    CutAfter(u64),
    /// Each connection is cut once so many bytes went through it.
    CutEach(u64),
    /// One bit of the byte at this place is turned over.
    FlipAt(u64),
    /// Nothing more goes through after so many bytes; connections stay open.
    StallAfter(u64),
    /// The first connection stands still after so many bytes of its own, until [`Relay::release`]; others are
    /// not touched.
    HoldFirst(u64),
    /// The same, and the others stand still after so many bytes of one answer: whoever gives up the first and asks
    /// again gets no further.
    HoldLong {
        /// Bytes of the first connection.
        first: u64,
        /// Bytes since the last request, of others.
        answer: u64,
    },
}

/// What went through.
#[derive(Debug, Default)]
struct Counters {
    up: AtomicU64,
    down: AtomicU64,
    connections: AtomicU64,
    closed: AtomicBool,
    released: AtomicBool,
    paused: AtomicBool,
    cut: AtomicBool,
}

/// What went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes from clients to the server.
    pub up: u64,
    /// Bytes from the server to clients.
    pub down: u64,
    /// Connections.
    pub connections: u64,
}

/// A relay on a free port of the loopback.
#[derive(Debug)]
pub struct Relay {
    /// `127.0.0.1:PORT`.
    pub address: String,
    counters: Arc<Counters>,
    to: Arc<Mutex<String>>,
}

impl Relay {
    /// Relays to `to` (`ADDR:PORT`).
    pub fn start(to: &str, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let counters = Arc::new(Counters::default());
        let to = Arc::new(Mutex::new(to.to_owned()));
        let (target, shared) = (Arc::clone(&to), Arc::clone(&counters));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.closed.load(Ordering::SeqCst) {
                    return;
                }
                if shared.cut.load(Ordering::SeqCst) {
                    continue;
                }
                let to = target.lock().unwrap().clone();
                let Ok(server) = TcpStream::connect(to) else { continue };
                let first = shared.connections.fetch_add(1, Ordering::SeqCst) == 0;
                let fault = match fault {
                    Fault::HoldFirst(_) if !first => Fault::None,
                    Fault::HoldLong { first: limit, .. } if first => Fault::HoldFirst(limit),
                    fault => fault,
                };
                connect(client, server, fault, &shared);
            }
        });
        Self { address, counters, to }
    }

    /// New connections go there.
    pub fn redirect(&self, to: &str) {
        to.clone_into(&mut self.to.lock().unwrap());
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its URL, if what it relays to speaks TLS.
    pub fn https(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Nothing goes through until [`Relay::resume`]; connections stay open, and new ones are taken.
    pub fn pause(&self) {
        self.counters.paused.store(true, Ordering::SeqCst);
    }

    /// Everything goes on.
    pub fn resume(&self) {
        self.counters.paused.store(false, Ordering::SeqCst);
    }

    /// The link is down: connections end, and no new one is made, until [`Relay::mend`].
    pub fn cut(&self) {
        self.counters.cut.store(true, Ordering::SeqCst);
    }

    /// The link is up again.
    pub fn mend(&self) {
        self.counters.cut.store(false, Ordering::SeqCst);
    }

    /// A connection that is held goes on.
    pub fn release(&self) {
        self.counters.released.store(true, Ordering::SeqCst);
    }

    /// What went through so far.
    pub fn counts(&self) -> Counts {
        Counts {
            up: self.counters.up.load(Ordering::SeqCst),
            down: self.counters.down.load(Ordering::SeqCst),
            connections: self.counters.connections.load(Ordering::SeqCst),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.counters.closed.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(&self.address);
    }
}

fn connect(client: TcpStream, server: TcpStream, fault: Fault, counters: &Arc<Counters>) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let up = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let asked = Arc::new(AtomicBool::new(false));
    let (shared, asks) = (Arc::clone(counters), Arc::clone(&asked));
    std::thread::spawn(move || pump(up.0, up.1, Fault::None, &shared, &asks, |shared| &shared.up));
    let shared = Arc::clone(counters);
    std::thread::spawn(move || pump(server, client, fault, &shared, &asked, |shared| &shared.down));
}

fn pump(
    mut from: TcpStream,
    mut to: TcpStream,
    fault: Fault,
    shared: &Counters,
    asked: &AtomicBool,
    counter: fn(&Counters) -> &AtomicU64,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut own = 0;
    // Looks up now and then, whether the link was cut.
    let _ = from.set_read_timeout(Some(Duration::from_millis(50)));
    loop {
        let length = match from.read(&mut buffer) {
            _ if shared.cut.load(Ordering::SeqCst) => break,
            Ok(0) => break,
            Ok(length) => length,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => break,
        };
        while shared.paused.load(Ordering::SeqCst) && !shared.closed.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let before = counter(shared).load(Ordering::SeqCst);
        let mut length = length;
        let mut over = false;
        match fault {
            Fault::None => drop(asked.swap(true, Ordering::SeqCst)),
            Fault::HoldFirst(_) => {}
            Fault::HoldLong { .. } => {
                if asked.swap(false, Ordering::SeqCst) {
                    own = 0;
                }
            }
            Fault::FlipAt(place) => {
                let at = place.checked_sub(before).and_then(|at| usize::try_from(at).ok());
                if let Some(byte) = at.and_then(|at| buffer[..length].get_mut(at)) {
                    *byte ^= 0x10;
                }
            }
            Fault::CutAfter(limit) | Fault::StallAfter(limit) | Fault::CutEach(limit) => {
                let so_far = if matches!(fault, Fault::CutEach(_)) { own } else { before };
                let left = usize::try_from(limit.saturating_sub(so_far)).unwrap_or(usize::MAX);
                over = left <= length;
                length = length.min(left);
            }
        }
        if let Fault::HoldFirst(limit) | Fault::HoldLong { answer: limit, .. } = fault {
            let now = usize::try_from(limit.saturating_sub(own)).unwrap_or(usize::MAX).min(length);
            counter(shared).fetch_add(now as u64, Ordering::SeqCst);
            if to.write_all(&buffer[..now]).is_err() || !held(shared, now < length) {
                break;
            }
            buffer.copy_within(now..length, 0);
            length -= now;
            own += now as u64;
        }
        own += length as u64;
        // Counted first: who has received the bytes may look at the counts at once.
        counter(shared).fetch_add(length as u64, Ordering::SeqCst);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
        if over && matches!(fault, Fault::StallAfter(_)) {
            while !shared.closed.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        if over {
            let _ = from.shutdown(Shutdown::Both);
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let cut = shared.cut.load(Ordering::SeqCst);
    if cut || !matches!(fault, Fault::None | Fault::HoldFirst(_) | Fault::HoldLong { .. }) {
        let _ = to.shutdown(Shutdown::Both);
    }
}

/// Waits until a connection may go on, if it has reached its place; says whether it may.
fn held(shared: &Counters, reached: bool) -> bool {
    while reached && !shared.released.load(Ordering::SeqCst) {
        if shared.closed.load(Ordering::SeqCst) || shared.cut.load(Ordering::SeqCst) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends 100 zeros through the relay; gives what arrives.
    fn through(fault: Fault) -> (Vec<u8>, Counts) {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut asked = [0; 5];
            stream.read_exact(&mut asked).unwrap();
            let _ = stream.write_all(&[0; 100]);
        });
        let relay = Relay::start(&to, fault);
        let mut client = TcpStream::connect(&relay.address).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        client.write_all(b"hello").unwrap();
        let mut got = Vec::new();
        let _ = client.read_to_end(&mut got);
        (got, relay.counts())
    }

    #[test]
    fn counts_cuts_flips_and_stalls() {
        let counts = |down| Counts { up: 5, down, connections: 1 };
        assert_eq!(through(Fault::None), (vec![0; 100], counts(100)));
        assert_eq!(through(Fault::CutAfter(30)), (vec![0; 30], counts(30)));
        assert_eq!(through(Fault::StallAfter(31)), (vec![0; 31], counts(31)));
        assert_eq!(through(Fault::HoldFirst(32)).0, vec![0; 32]);
        let mut flipped = vec![0; 100];
        flipped[42] = 0x10;
        assert_eq!(through(Fault::FlipAt(42)), (flipped, counts(100)));
    }
}
