//! Pauses between tries: they double, up to the longest. Each is between half and the whole of that, so that devices that
//! failed together do not come back together.

use std::time::Duration;

/// The first pause.
pub const SHORTEST: Duration = Duration::from_millis(500);

/// Grows with each failure.
#[derive(Debug)]
pub struct Pause {
    next: Duration,
    longest: Duration,
}

impl Pause {
    /// One that gets no longer than this.
    pub fn new(longest: Duration) -> Self {
        Self { next: SHORTEST, longest }
    }

    /// How long to wait now; the next time it is longer.
    pub fn grow(&mut self) -> Duration {
        let mut random = [0; 1];
        // Without randomness it is the shortest of them.
        let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        let part = 128 + u32::from(random[0]) / 2;
        let now = self.next * part / 256;
        self.next = (self.next * 2).min(self.longest);
        now
    }

    /// Waits.
    pub async fn wait(&mut self) {
        smol::Timer::after(self.grow()).await;
    }

    /// It went well: the next pause is the shortest.
    pub fn over(&mut self) {
        self.next = SHORTEST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_differ() {
        let mut pause = Pause::new(Duration::from_secs(3));
        for most in [500, 1000, 2000, 3000, 3000].map(Duration::from_millis) {
            let now = pause.grow();
            assert!(now >= most / 2 && now <= most, "{now:?} of {most:?}");
        }
        pause.over();
        assert!(pause.grow() <= SHORTEST);
        let mut all = [(); 8].map(|()| Pause::new(SHORTEST).grow());
        all.sort();
        assert!(all[0] < all[7], "all wait equally long");
    }
}
