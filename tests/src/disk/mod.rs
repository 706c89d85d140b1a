//! A disk that can lose power: an NBD server with a write cache of its own.
//!
//! A killed emulator loses only the guest's memory: what the guest wrote stays with the host. A disk that
//! loses power also loses what stood in its cache. So the emulated device's disk is a [`Disk`]
//! (`-blockdev driver=nbd,server.type=unix,server.path=SOCKET`), and [`Disk::cut`] is the power cut.
//!
//! # What a disk guarantees, and what this one does
//!
//! * A flush that was answered: all writes answered before it survive. So does a write answered with
//!   FUA set, that one alone.
//! * Between flushes, nothing: a cache writes back in any order, so any subset may survive, a later write
//!   without an earlier one. Of two writes to one place either may be what is found, or neither.
//! * A sector of 512 bytes is old or new, never a mixture. A larger write can be torn at sectors.
//!
//! A cut goes through the writes since the last flush in order, and keeps or drops each
//! piece by a seeded generator. The seed also says how much is kept (nothing, half, nine tenths) and
//! how fine the pieces are (sectors, 4 KiB, whole writes): torn writes and lost writes are different tests
//! of a journal. Trimming and zeroing are writes of zeros.
//!
//! Not here: disks that lie about flushes, and flash that damages what was written long ago.
//!
//! # How to cut
//!
//! Kill the emulator with SIGKILL (at SIGTERM it flushes its disks), then cut. What it had sent is served
//! until the cut, as if the power had gone a moment later. From the cut on nothing of the old
//! connections is served, and the disk listens again. "Durable" means that it survives a cut here;
//! nothing is synced to the host's disk.
//!
//! [`cache`] is the medium, [`nbd`] the protocol; this file has the connections.

mod cache;
mod nbd;
#[cfg(test)]
mod tests;

pub use cache::{Cut, Lost, Stats};

use cache::Medium;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A disk on a Unix socket. It ends when it is dropped.
pub struct Disk {
    shared: Arc<Mutex<State>>,
    socket: PathBuf,
}

struct State {
    medium: Medium,
    /// Those that are served. Who isn't among them any more may not touch the medium.
    connections: BTreeMap<u64, UnixStream>,
    /// The next connection's number.
    next: u64,
    closed: bool,
}

impl Disk {
    /// A disk that reads as the file `base`, which is never written and can be shared. It listens
    /// on `socket`. What is written goes to nameless files in the socket's directory.
    pub fn new(base: &Path, socket: &Path) -> Self {
        let failed = |e: io::Error| -> Medium { panic!("no disk from {}: {e}", base.display()) };
        let medium = Medium::new(base, socket).unwrap_or_else(failed);
        let state = State { medium, connections: BTreeMap::new(), next: 0, closed: false };
        let shared = Arc::new(Mutex::new(state));
        let listener = UnixListener::bind(socket)
            .unwrap_or_else(|e| panic!("can't listen on {}: {e}", socket.display()));
        let server = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if lock(&server).closed {
                    return;
                }
                let Some(session) = Session::open(&server, &stream) else { continue };
                std::thread::spawn(move || {
                    // An error is the connection's end, whoever made it.
                    let _ = nbd::serve(&stream, &session);
                    drop(session);
                });
            }
        });
        Self { shared, socket: socket.to_owned() }
    }

    /// The power fails: every connection is dropped, and what wasn't flushed is kept or lost.
    /// Afterwards the disk can be used again.
    pub fn cut(&self, cut: Cut) -> Lost {
        let mut state = lock(&self.shared);
        state.hang_up();
        state.medium.cut(cut).unwrap()
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Back to the base, with all counts at 0. Every connection is dropped.
    pub fn reset(&self) {
        let mut state = lock(&self.shared);
        state.hang_up();
        state.medium.reset().unwrap();
    }

    /// Writes what is durable to a new sparse file.
    pub fn save(&self, path: &Path) {
        let saved = lock(&self.shared).medium.save(path);
        saved.unwrap_or_else(|e| panic!("can't save the disk to {}: {e}", path.display()));
    }

    /// What was asked of it since it was made or [reset](Self::reset).
    pub fn stats(&self) -> Stats {
        lock(&self.shared).medium.stats()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut state = lock(&self.shared);
        state.closed = true;
        state.hang_up();
        drop(state);
        // Wakes the thread that accepts.
        let _ = UnixStream::connect(&self.socket);
        let _ = fs::remove_file(&self.socket);
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl State {
    fn hang_up(&mut self) {
        for stream in std::mem::take(&mut self.connections).into_values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A connection's way to the medium.
struct Session {
    shared: Arc<Mutex<State>>,
    number: u64,
    size: u64,
}

impl Session {
    fn open(shared: &Arc<Mutex<State>>, stream: &UnixStream) -> Option<Self> {
        let copy = stream.try_clone().ok()?;
        let mut state = lock(shared);
        let number = state.next;
        state.next += 1;
        state.connections.insert(number, copy);
        let size = state.medium.size();
        Some(Self { shared: Arc::clone(shared), number, size })
    }

    /// Works on the medium, unless there was a cut since the connection began: a request may
    /// have been read before it and come to its turn after it.
    fn with<T>(&self, work: impl FnOnce(&mut Medium) -> io::Result<T>) -> io::Result<T> {
        let mut state = lock(&self.shared);
        if !state.connections.contains_key(&self.number) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        work(&mut state.medium)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        lock(&self.shared).connections.remove(&self.number);
    }
}

/// A test that failed while it held the lock shall not hide why it did.
fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
