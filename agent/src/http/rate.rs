//! A bound for the bytes that are received per second, over all connections of a client.
//!
//! What was read is waited for afterwards, so TCP's window closes and the sender is held back; the socket's buffer is kept
//! small, so that no more than half a second's worth comes in one go.

use rustix::fd::AsFd;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Bounds of the socket's buffer.
const BUFFER: (u64, u64) = (16 << 10, 4 << 20);

/// So many bytes per second.
#[derive(Debug)]
pub struct Rate {
    per_second: u64,
    since: Instant,
    /// When, in microseconds since then, all that was read was due.
    due: Cell<u64>,
}

impl Rate {
    /// Of so many bytes per second, at least one.
    pub fn new(per_second: u64) -> Self {
        Self { per_second: per_second.max(1), since: Instant::now(), due: Cell::new(0) }
    }

    /// Keeps a new socket's buffer small.
    pub fn set_up(&self, socket: impl AsFd) {
        let bytes = (self.per_second / 2).clamp(BUFFER.0, BUFFER.1);
        // Without it the bound holds on average only.
        let _ = set_socket_recv_buffer_size(socket, usize::try_from(bytes).unwrap_or(usize::MAX));
    }

    /// So many bytes were read: how long to wait before the next.
    pub fn read(&self, bytes: usize) -> Duration {
        let now = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.read_at(bytes, now)
    }

    fn read_at(&self, bytes: usize, now: u64) -> Duration {
        let cost = (bytes as u64).saturating_mul(1_000_000) / self.per_second;
        let due = self.due.get().max(now).saturating_add(cost);
        self.due.set(due);
        Duration::from_micros(due.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_waited_for_and_a_pause_saves_nothing_up() {
        let rate = Rate::new(1000);
        let millis = Duration::from_millis;
        assert_eq!(rate.read_at(500, 0), millis(500));
        assert_eq!(rate.read_at(100, 400_000), millis(200));
        assert_eq!(rate.read_at(100, 5_000_000), millis(100));
    }
}
