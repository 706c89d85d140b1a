//! A slow, distant, lossy link between two network namespaces of one machine, for kernels without `sch_netem`
//! as well.
//!
//! ```text
//! namespace a                                              namespace b
//!  TUN ──▶ queue (tail drop) ─▶ rate ─▶ loss ─▶ delay ──────▶ TUN       one direction: direction
//!      ◀────── delay ◀─ loss ◀─ rate ◀─ queue (tail drop) ◀──           the other, likewise
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | `model` | what a link is like, and what becomes of a packet |
//! | `direction` | the packets under way in one direction; knows nothing of clocks and files |
//! | `pump` | a thread for each direction, between two interfaces |
//! | `tun` | an interface in a namespace |
//!
//! Senders see ordinary IP packets: TCP's slow start, congestion control and retransmissions are the kernel's
//! own. Which congestion control that is, each namespace says (`net.ipv4.tcp_congestion_control`).

mod direction;
mod model;
mod pump;
mod tun;

pub use direction::Counts;
pub use model::Model;

use pump::Pump;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use tun::Tun;

/// One end of a link.
#[derive(Debug, Clone)]
pub struct End {
    /// The namespace's file, as `/run/netns/NAME`.
    pub namespace: PathBuf,
    /// What the interface is called there, at most 15 bytes.
    pub interface: String,
    /// Its address; both ends are in one network of four addresses (`/30`).
    pub address: Ipv4Addr,
}

/// A link that is up, until it is dropped.
#[derive(Debug)]
pub struct Link {
    pumps: [Pump; 2],
}

impl Link {
    /// Makes the interfaces, and carries packets from `a` to `b` and back like this.
    pub fn new(a: &End, b: &End, there: Model, back: Model) -> io::Result<Self> {
        let [a, b] = [Tun::open(a)?, Tun::open(b)?];
        let pumps = [Pump::start(a.clone(), b.clone(), there)?, Pump::start(b, a, back)?];
        Ok(Self { pumps })
    }

    /// Cuts it: what is under way is lost, and whatever is sent.
    pub fn cut(&self) {
        self.pumps.iter().for_each(|pump| pump.set_cut(true));
    }

    /// Mends it.
    pub fn restore(&self) {
        self.pumps.iter().for_each(|pump| pump.set_cut(false));
    }

    /// What went from `a` to `b` so far, and back.
    pub fn counts(&self) -> [Counts; 2] {
        self.pumps.each_ref().map(Pump::counts)
    }
}
