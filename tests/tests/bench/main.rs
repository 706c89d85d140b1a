//! `make bench`: what Skiff does in numbers, on real images, each beside what people use today, in the same
//! run. Prints Markdown tables; those of bytes are exact and repeat, those of time are ratios.
//! `make bench PARTS="updates ingest"` runs some of it; `SKIFF_RUNS=1` makes `start` quick, and
//! `SKIFF_SERVICES="mariadb"` quicker.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails says where")]

mod applications;
mod graph;
mod ingest;
mod opens;
mod start;
mod updates;

use std::time::Duration;

fn main() {
    let chosen: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let parts: [(&str, fn()); 6] = [
        ("updates", updates::table),
        ("applications", applications::table),
        ("ingest", ingest::table),
        ("start", start::table),
        ("opens", opens::tables),
        ("graph", graph::print),
    ];
    for word in &chosen {
        assert!(parts.iter().any(|(name, _)| name == word), "there is no part {word:?}");
    }
    for (name, table) in parts {
        if chosen.is_empty() || chosen.iter().any(|word| word == name) {
            table();
        }
    }
}

/// The middle one.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Bytes as megabytes.
fn mb(bytes: u64) -> String {
    format!("{}.{:02}", bytes / 1_000_000, bytes % 1_000_000 / 10_000)
}
