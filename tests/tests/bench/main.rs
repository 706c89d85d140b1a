//! `make bench`: what Skiff does in numbers, on real images, each beside what people use today, in the same
//! run. Prints Markdown tables; those of bytes are exact and repeat, those of time are ratios.
//! `make bench PARTS="updates ingest"` runs some of it, `PARTS=all` everything. `SKIFF_RUNS=1` makes `figure` and `start`
//! quick, `SKIFF_RUNS=99` exact; `SKIFF_SERVICES="mariadb"` is one service of `start`. The link is `link`'s, and what
//! becomes of the numbers is `report`'s.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails says where")]

mod applications;
mod figure;
mod footprint;
mod graph;
mod ground;
mod growth;
mod ingest;
mod link;
mod opened;
mod opens;
mod peers;
mod report;
mod scale;
mod start;
mod updates;

use std::time::Duration;

/// A part, and what measures it.
type Part = (&'static str, fn());

/// What is measured if no part is named.
const EXPERIMENTS: [Part; 6] = [
    ("figure", figure::tables),
    ("updates", updates::table),
    ("applications", applications::tables),
    ("footprint", footprint::tables),
    ("scale", scale::table),
    ("growth", growth::table),
];
/// What is measured on demand.
const MORE: [Part; 4] = [
    ("ingest", ingest::table),
    ("start", start::table),
    ("opens", opens::tables),
    ("graph", graph::print),
];

fn main() {
    let chosen: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let all: Vec<Part> = EXPERIMENTS.into_iter().chain(MORE).collect();
    for word in &chosen {
        let known = word == "all" || all.iter().any(|(name, _)| name == word);
        assert!(known, "there is no part {word:?}");
    }
    for (place, (name, measure)) in all.into_iter().enumerate() {
        let is_chosen = match chosen.is_empty() {
            true => place < EXPERIMENTS.len(),
            false => chosen.iter().any(|word| word == name || word == "all"),
        };
        if is_chosen {
            measure();
        }
    }
}

/// How often what takes long is measured, if nobody says so.
fn runs(default: usize) -> usize {
    std::env::var("SKIFF_RUNS").map_or(default, |runs| runs.parse().unwrap())
}

/// The middle one.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
