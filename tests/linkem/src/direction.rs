//! The packets that are under way in one direction.

use super::model::{Bottleneck, Model, Verdict};
use std::collections::VecDeque;
use std::time::Duration;

/// What one direction has carried.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Packets that were sent.
    pub sent: u64,
    /// Bytes of packets that arrived, IP headers included.
    pub bytes: u64,
    /// Packets that arrived.
    pub arrived: u64,
    /// Packets that the full queue dropped.
    pub dropped: u64,
    /// Packets that were lost by chance.
    pub lost: u64,
    /// Packets that were lost because the link was cut.
    pub cut: u64,
    /// Most bytes that have waited at once.
    pub backlog: u64,
    /// Longest time that a packet came late, which the machine is to blame for.
    pub late: Duration,
}

/// One direction. Packets are never reordered.
#[derive(Debug)]
pub struct Direction {
    bottleneck: Bottleneck,
    wire: VecDeque<(Duration, Vec<u8>)>,
    counts: Counts,
}

impl Direction {
    /// One with nothing under way.
    pub fn new(model: Model) -> Self {
        Self {
            bottleneck: Bottleneck::new(model),
            wire: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// A packet is sent.
    pub fn send(&mut self, now: Duration, packet: &[u8], cut: bool) {
        self.counts.sent += 1;
        if cut {
            self.counts.cut += 1;
            return;
        }
        match self.bottleneck.take(now, packet.len()) {
            Verdict::Arrives(at) => self.wire.push_back((at, packet.to_vec())),
            Verdict::Dropped => self.counts.dropped += 1,
            Verdict::Lost => self.counts.lost += 1,
        }
        self.counts.backlog = self.counts.backlog.max(self.bottleneck.backlog(now));
    }

    /// The next packet that has arrived by now.
    pub fn arrive(&mut self, now: Duration) -> Option<Vec<u8>> {
        let (at, packet) = self.wire.pop_front_if(|(at, _)| *at <= now)?;
        self.counts.arrived += 1;
        self.counts.bytes += packet.len() as u64;
        self.counts.late = self.counts.late.max(now.saturating_sub(at));
        Some(packet)
    }

    /// When the next packet arrives.
    pub fn next(&self) -> Option<Duration> {
        self.wire.front().map(|(at, _)| *at)
    }

    /// The link is cut: what is under way is lost.
    pub fn lose_all(&mut self) {
        self.counts.cut += self.wire.len() as u64;
        self.wire.clear();
    }

    /// What was carried so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direction(queue: u64, loss: f64) -> Direction {
        let delay = Duration::from_millis(10);
        // A byte in a microsecond.
        Direction::new(Model { delay, rate: Some(8_000_000), queue, loss, seed: 3 })
    }

    const fn at(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    #[test]
    fn packets_arrive_in_order_and_on_time() {
        let mut link = direction(1000, 0.0);
        for number in 0..5 {
            link.send(at(0), &[number; 100], false);
        }
        assert_eq!(link.next(), Some(at(10_100)));
        assert_eq!(link.arrive(at(10_099)), None);
        assert_eq!(link.arrive(at(10_100)), Some(vec![0; 100]));
        assert_eq!(link.arrive(at(10_100)), None);
        let rest: Vec<_> = std::iter::from_fn(|| link.arrive(at(10_550))).collect();
        assert_eq!(rest, [1, 2, 3, 4].map(|number| vec![number; 100]));
        assert_eq!(link.next(), None);
        let expected = Counts {
            sent: 5,
            bytes: 500,
            arrived: 5,
            backlog: 500,
            late: at(350),
            ..Counts::default()
        };
        assert_eq!(link.counts(), expected);
    }

    #[test]
    fn every_packet_is_accounted_for() {
        let mut link = direction(2000, 0.1);
        for round in 0..1000 {
            for _ in 0..3 {
                link.send(at(round * 100), &[0; 100], false);
            }
            while link.arrive(at(round * 100)).is_some() {}
        }
        while link.arrive(at(1_000_000)).is_some() {}
        let counts = link.counts();
        assert_eq!(counts.sent, 3000);
        assert_eq!(counts.arrived + counts.dropped + counts.lost + counts.cut, 3000);
        assert_eq!(counts.bytes, counts.arrived * 100);
        assert_eq!(counts.backlog, 2000);
        // The rate lets a third through, and what the queue holds at the end.
        assert_eq!(counts.arrived + counts.lost, 1000 + 19);
    }

    #[test]
    fn a_cut_loses_what_is_under_way_and_what_is_sent() {
        let mut link = direction(1000, 0.0);
        link.send(at(0), &[1; 100], false);
        link.lose_all();
        link.send(at(50), &[2; 100], true);
        link.send(at(60), &[3; 100], false);
        assert_eq!(link.arrive(at(99_999)), Some(vec![3; 100]));
        assert_eq!(link.arrive(at(99_999)), None);
        let counts = link.counts();
        assert_eq!((counts.sent, counts.arrived, counts.cut), (3, 1, 2));
    }
}
