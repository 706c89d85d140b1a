//! A proxy before a registry that answers in rounds: requests are held until no more of them come, and
//! then all are let through at once. So who needs the answer to one request before it sends the
//! next needs two rounds, however fast the machine is; and who sends all at once needs one.
//!
//! "No more of them come" means: none came for [`QUIET`]. Somebody who has been idle for so long waits for an
//! answer, since sending takes it no time.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long nobody asks for anything before the round is over.
const QUIET: Duration = Duration::from_millis(1500);

/// A proxy on a free port of the loopback.
#[derive(Debug)]
pub struct Rounds {
    /// `127.0.0.1:PORT`.
    pub address: String,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Nothing is held.
    open: bool,
    closed: bool,
    /// Heads of the requests that are held.
    held: Vec<String>,
    /// When the last one came.
    last: Option<Instant>,
    /// Those that were let through.
    rounds: Vec<Vec<String>>,
}

impl Rounds {
    /// Stands before the server at `to` (`ADDR:PORT`).
    pub fn start(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared::default());
        let (to, all) = (to.to_owned(), Arc::clone(&shared));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if all.state().closed {
                    return;
                }
                let (to, shared) = (to.clone(), Arc::clone(&all));
                std::thread::spawn(move || serve(client, &to, &shared));
            }
        });
        let all = Arc::clone(&shared);
        std::thread::spawn(move || all.release());
        Self { address, shared }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The rounds since this was asked last, each the heads of its requests.
    pub fn take(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut self.shared.state().rounds)
    }

    /// Lets through at once what is held and what comes, until the result is dropped.
    pub fn open(&self) -> Open<'_> {
        self.shared.state().open = true;
        self.shared.changed.notify_all();
        Open(self)
    }
}

/// While it is there, nothing is held.
#[derive(Debug)]
pub struct Open<'a>(&'a Rounds);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.shared.state().open = false;
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.changed.notify_all();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(&self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Ends a round whenever no more requests come.
    fn release(&self) {
        loop {
            std::thread::sleep(Duration::from_millis(20));
            let mut state = self.state();
            if state.closed {
                return;
            }
            if state.last.is_some_and(|last| last.elapsed() >= QUIET) {
                state.last = None;
                let round = std::mem::take(&mut state.held);
                state.rounds.push(round);
                self.changed.notify_all();
            }
        }
    }

    /// Waits for the end of the round.
    fn hold(&self, head: &str) {
        let mut state = self.state();
        if state.open {
            return;
        }
        state.held.push(head.to_owned());
        state.last = Some(Instant::now());
        let round = state.rounds.len();
        while !state.open && !state.closed && state.rounds.len() == round {
            state = self.changed.wait(state).unwrap();
        }
    }
}

/// One request, without a body; each has a connection of its own.
fn serve(mut client: TcpStream, to: &str, shared: &Shared) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if client.read_exact(&mut byte).is_err() {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    shared.hold(&head);
    let Ok(mut server) = TcpStream::connect(to) else { return };
    let closing = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    if server.write_all(closing.as_bytes()).is_ok() {
        let _ = std::io::copy(&mut server, &mut client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::{JoinHandle, spawn};

    /// Asks for a path; the answer's body is the path.
    fn ask(address: &str, path: &str) -> JoinHandle<String> {
        let (address, path) = (address.to_owned(), path.to_owned());
        spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        })
    }

    #[test]
    fn what_waits_for_an_answer_is_in_the_next_round() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap().to_string();
        spawn(move || {
            for mut stream in server.incoming().flatten() {
                let mut head = [0; 5];
                stream.read_exact(&mut head).unwrap();
                stream.write_all(&head[4..]).unwrap();
            }
        });
        let rounds = Rounds::start(&to);
        for _ in 0..2 {
            for one in ["/", "/"].map(|path| ask(&rounds.address, path)) {
                assert_eq!(one.join().unwrap(), "/");
            }
        }
        let open = rounds.open();
        assert_eq!(ask(&rounds.address, "/").join().unwrap(), "/");
        drop(open);
        let heads = rounds.take();
        assert_eq!(heads, [vec!["GET / HTTP/1.1\r\n\r\n"; 2], vec!["GET / HTTP/1.1\r\n\r\n"; 2]]);
        assert!(rounds.take().is_empty());
    }
}
