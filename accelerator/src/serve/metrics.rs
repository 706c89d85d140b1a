//! What the service counts, in Prometheus' text format.
//!
//! | name | |
//! |---|---|
//! | `skiff_build_info{version}` | 1 |
//! | `skiff_deployments_total{result}` | answers by how they ended: `complete`, `failed`, `gone` |
//! | `skiff_notifications_total{result}` | pushes that a registry told of: `queued`, `dropped` because the queue was full; and requests without the token: `refused` |
//! | `skiff_ingests_ahead_total{result}` | images ingested before a device asked, known ones included: `complete`, `failed` for each try |
//! | `skiff_patched_ahead_total` | images to which patches were made before a device asked |
//! | `skiff_traces_total{result}` | reports of what was opened: `taken`, `refused` |
//! | `skiff_tls_handshakes_total{result}` | connections that were to speak TLS: `full`, `resumed`, `failed` |
//! | `skiff_urgent_answers_total` | answers for which a program on a device waited |
//! | `skiff_quick_packs` | packs that wait for being compressed again |
//! | `skiff_saved_bytes_total` | bytes of packs in the cache that this saved |
//! | `skiff_sent_bytes_total` | bytes of response bodies handed to connections |
//! | `skiff_ingest_seconds_sum`, `_count` | time from a request to its images' trees |
//! | `skiff_plan_seconds_sum`, `_count` | time that planning took |

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With `Complete`.
    Complete,
    /// With `Failure`.
    Failed,
    /// The device closed the connection.
    Gone,
}

/// How a TLS connection came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// With certificates.
    Full,
    /// From a session before.
    Resumed,
    /// It did not.
    Failed,
}

/// All counters.
#[derive(Debug, Default)]
pub struct Metrics {
    endings: [AtomicU64; 3],
    notifications: [AtomicU64; 3],
    ahead: [AtomicU64; 2],
    traces: [AtomicU64; 2],
    handshakes: [AtomicU64; 3],
    urgent: AtomicU64,
    patched: AtomicU64,
    sent: AtomicU64,
    quick: AtomicU64,
    saved: AtomicU64,
    ingest: Summary,
    plan: Summary,
}

#[derive(Debug, Default)]
struct Summary {
    micros: AtomicU64,
    count: AtomicU64,
}

impl Summary {
    fn add(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Relaxed);
        self.count.fetch_add(1, Relaxed);
    }

    fn write(&self, text: &mut String, name: &str) {
        let micros = self.micros.load(Relaxed);
        let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
        let count = self.count.load(Relaxed);
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "# TYPE {name} summary\n{name}_sum {seconds}.{micros:06}\n{name}_count {count}"
        );
    }
}

impl Metrics {
    /// An answer ended.
    pub fn ended(&self, ending: Ending) {
        self.endings[ending as usize].fetch_add(1, Relaxed);
    }

    /// A push was told of, and queued or dropped.
    pub fn notified(&self, queued: bool) {
        self.notifications[usize::from(!queued)].fetch_add(1, Relaxed);
    }

    /// A notification did not show the token.
    pub fn notification_refused(&self) {
        self.notifications[2].fetch_add(1, Relaxed);
    }

    /// An image was ingested ahead, or failed to be.
    pub fn ingested_ahead(&self, complete: bool) {
        self.ahead[usize::from(!complete)].fetch_add(1, Relaxed);
    }

    /// All patches are there for who holds what was before an image.
    pub fn patched_ahead(&self) {
        self.patched.fetch_add(1, Relaxed);
    }

    /// A report was taken, or not.
    pub fn traced(&self, taken: bool) {
        self.traces[usize::from(!taken)].fetch_add(1, Relaxed);
    }

    /// A TLS connection came about, or not.
    pub fn shook_hands(&self, handshake: Handshake) {
        self.handshakes[handshake as usize].fetch_add(1, Relaxed);
    }

    /// An urgent answer began.
    pub fn urgent(&self) {
        self.urgent.fetch_add(1, Relaxed);
    }

    /// Bytes went to a connection.
    pub fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Relaxed);
    }

    /// So many packs wait for being compressed again.
    pub fn quick_packs(&self, waiting: usize) {
        self.quick.store(waiting as u64, Relaxed);
    }

    /// Packs were compressed again, and are shorter.
    pub fn saved(&self, bytes: u64) {
        self.saved.fetch_add(bytes, Relaxed);
    }

    /// The images of a request are known.
    pub fn ingested(&self, time: Duration) {
        self.ingest.add(time);
    }

    /// A plan is made.
    pub fn planned(&self, time: Duration) {
        self.plan.add(time);
    }

    /// The text that `GET /metrics` answers with.
    pub fn render(&self) -> String {
        let mut text = format!(
            "# TYPE skiff_build_info gauge\nskiff_build_info{{version=\"{}\"}} 1\n",
            env!("CARGO_PKG_VERSION")
        );
        let families: [(_, &[AtomicU64], &[&str]); 5] = [
            ("skiff_deployments_total", &self.endings, &["complete", "failed", "gone"]),
            ("skiff_notifications_total", &self.notifications, &["queued", "dropped", "refused"]),
            ("skiff_ingests_ahead_total", &self.ahead, &["complete", "failed"]),
            ("skiff_traces_total", &self.traces, &["taken", "refused"]),
            ("skiff_tls_handshakes_total", &self.handshakes, &["full", "resumed", "failed"]),
        ];
        for (name, counters, results) in families {
            let _ = writeln!(text, "# TYPE {name} counter");
            for (counter, result) in counters.iter().zip(results) {
                let count = counter.load(Relaxed);
                let _ = writeln!(text, "{name}{{result=\"{result}\"}} {count}");
            }
        }
        for (name, counter) in [
            ("skiff_urgent_answers_total", &self.urgent),
            ("skiff_patched_ahead_total", &self.patched),
            ("skiff_saved_bytes_total", &self.saved),
            ("skiff_sent_bytes_total", &self.sent),
        ] {
            let count = counter.load(Relaxed);
            let _ = writeln!(text, "# TYPE {name} counter\n{name} {count}");
        }
        let quick = self.quick.load(Relaxed);
        let _ = writeln!(text, "# TYPE skiff_quick_packs gauge\nskiff_quick_packs {quick}");
        self.ingest.write(&mut text, "skiff_ingest_seconds");
        self.plan.write(&mut text, "skiff_plan_seconds");
        text
    }
}
