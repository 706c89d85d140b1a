//! How fast the background's stream is.
//!
//! What lies so close before it that it arrives before the answer to a new request could is left to it.

use std::time::{Duration, Instant};

/// A request to a distant accelerator takes about as long.
const ROUND_TRIP: Duration = Duration::from_millis(400);
/// How long is measured at a time.
const WINDOW: Duration = Duration::from_millis(500);
/// However slow or fast the stream is, content bytes.
const LEAST: u64 = 32 * 1024;
const MOST: u64 = 16 * 1024 * 1024;

/// A measurement.
#[derive(Debug)]
pub struct Pace {
    from: Instant,
    bytes: u64,
    near: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { from: Instant::now(), bytes: 0, near: LEAST }
    }
}

impl Pace {
    /// So many content bytes came, now.
    pub fn came(&mut self, bytes: u64, now: Instant) {
        self.bytes += bytes;
        let elapsed = now.saturating_duration_since(self.from);
        if elapsed < WINDOW {
            return;
        }
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let round_trip = u64::try_from(ROUND_TRIP.as_millis()).unwrap_or(u64::MAX);
        self.near = (self.bytes.saturating_mul(round_trip) / millis).clamp(LEAST, MOST);
        (self.from, self.bytes) = (now, 0);
    }

    /// Content bytes that come within a round trip.
    pub fn near(&self) -> u64 {
        self.near
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_what_comes_within_a_round_trip() {
        let mut pace = Pace::default();
        let start = pace.from;
        assert_eq!(pace.near(), LEAST);
        pace.came(300_000, start + Duration::from_millis(400));
        assert_eq!(pace.near(), LEAST);
        pace.came(200_000, start + Duration::from_secs(1));
        assert_eq!(pace.near(), 200_000);
        pace.came(1, start + Duration::from_secs(100));
        assert_eq!(pace.near(), LEAST);
        pace.came(1 << 30, start + Duration::from_secs(101));
        assert_eq!(pace.near(), MOST);
    }
}
