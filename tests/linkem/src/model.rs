//! What one direction of a link is like: a tail-drop queue that is drained at a rate, then a wire of some
//! length, on which packets are lost by chance.

use std::time::Duration;

/// A second, in nanoseconds, times bits in a byte.
const BITS: u128 = 8_000_000_000;

/// One direction of a link.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Model {
    /// How long a packet is on the wire.
    pub delay: Duration,
    /// Bits per second; nothing for no limit.
    pub rate: Option<u64>,
    /// Bytes that may wait for, or be in, transmission. More are dropped.
    pub queue: u64,
    /// The probability of a loss on the wire, 0 to 1.
    pub loss: f64,
    /// Repeats the losses.
    pub seed: u64,
}

impl Model {
    /// Both directions of a link of this round-trip time and rate, with a queue of what is under way in a round trip
    /// (at least 32 packets), as routers on such links have it. Nothing is lost but by the queue.
    pub fn symmetric(round_trip: Duration, rate: u64) -> Self {
        let queue = bytes(rate, round_trip).max(32 * 1500);
        Self { delay: round_trip / 2, rate: Some(rate), queue, loss: 0.0, seed: 1 }
    }
}

/// What becomes of a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It arrives at this time.
    Arrives(Duration),
    /// The queue was full.
    Dropped,
    /// It was lost on the wire.
    Lost,
}

/// The place where packets queue.
#[derive(Debug)]
pub struct Bottleneck {
    model: Model,
    /// When everything that was taken so far is sent.
    free: Duration,
    chance: u64,
}

impl Bottleneck {
    /// An idle one.
    pub fn new(model: Model) -> Self {
        // Never zero: the generator would stay there.
        let chance = model.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { model, free: Duration::ZERO, chance }
    }

    /// Bytes that wait, or are being sent.
    pub fn backlog(&self, now: Duration) -> u64 {
        self.model.rate.map_or(0, |rate| bytes(rate, self.free.saturating_sub(now)))
    }

    /// Takes a packet of so many bytes.
    pub fn take(&mut self, now: Duration, length: usize) -> Verdict {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        let mut sent = now;
        if let Some(rate) = self.model.rate {
            if self.backlog(now).saturating_add(length) > self.model.queue {
                return Verdict::Dropped;
            }
            let nanoseconds = u128::from(length) * BITS / u128::from(rate.max(1));
            let time = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
            sent = self.free.max(now) + time;
            self.free = sent;
        }
        // It has taken its time on the link, too, if it is lost.
        if self.model.loss > 0.0 && self.next() < self.model.loss {
            return Verdict::Lost;
        }
        Verdict::Arrives(sent + self.model.delay)
    }

    /// A number from 0 to 1 (Marsaglia's xorshift64).
    #[allow(clippy::cast_precision_loss, reason = "53 bits are what an f64 holds")]
    fn next(&mut self) -> f64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        (self.chance >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Bytes that a rate brings in a time.
fn bytes(rate: u64, time: Duration) -> u64 {
    u64::try_from(u128::from(rate) * time.as_nanos() / BITS).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    fn model(rate: u64, queue: u64) -> Model {
        Model { delay: micros(100_000), rate: Some(rate), queue, loss: 0.0, seed: 1 }
    }

    #[test]
    fn a_packet_takes_its_length_and_the_delay() {
        // 1,250 bytes at 10 Mbit/s are 1 ms; the second waits for the first.
        let mut link = Bottleneck::new(model(10_000_000, 10_000));
        assert_eq!(link.take(micros(0), 1250), Verdict::Arrives(micros(101_000)));
        assert_eq!(link.take(micros(0), 1250), Verdict::Arrives(micros(102_000)));
        assert_eq!(link.backlog(micros(500)), 1875);
        // An idle link begins anew.
        assert_eq!(link.take(micros(50_000), 1250), Verdict::Arrives(micros(151_000)));
        let mut endless = Bottleneck::new(Model { rate: None, ..model(1, 0) });
        assert_eq!(endless.take(micros(7), 1250), Verdict::Arrives(micros(100_007)));
    }

    #[test]
    fn a_full_queue_drops_and_no_more_than_is_too_much() {
        let mut link = Bottleneck::new(model(10_000_000, 2500));
        assert_eq!(link.take(micros(0), 1250), Verdict::Arrives(micros(101_000)));
        assert_eq!(link.take(micros(0), 1251), Verdict::Dropped);
        assert_eq!(link.take(micros(0), 1250), Verdict::Arrives(micros(102_000)));
        assert_eq!(link.take(micros(0), 1), Verdict::Dropped);
        assert_eq!(link.take(micros(1000), 1250), Verdict::Arrives(micros(103_000)));
    }

    #[test]
    fn losses_are_repeated_by_the_seed_and_near_their_rate() {
        let lost = |seed| {
            let loss = Model { rate: None, loss: 0.02, seed, ..model(1, 0) };
            let mut link = Bottleneck::new(loss);
            (0..100_000).filter(|_| link.take(micros(0), 100) == Verdict::Lost).collect::<Vec<_>>()
        };
        assert_eq!(lost(7), lost(7));
        assert_ne!(lost(7), lost(8));
        assert!((1800..2200).contains(&lost(7).len()), "{}", lost(7).len());
    }

    #[test]
    fn the_queue_holds_a_round_trip() {
        let link = Model::symmetric(Duration::from_millis(200), 20_000_000);
        assert_eq!((link.delay, link.queue), (Duration::from_millis(100), 500_000));
        assert_eq!(Model::symmetric(Duration::ZERO, 20_000_000).queue, 48_000);
    }
}
