//! `make bench`: what Skiff does in numbers, on real images, each beside what people use today, in the same
//! run. Prints Markdown tables; those of bytes are exact and repeat, those of time are ratios.
//! `make bench PARTS="updates ingest"` runs some of it, `PARTS=all` everything. `SKIFF_RUNS=1` makes `figure` and `start`
//! quick, `SKIFF_RUNS=99` exact; `SKIFF_SERVICES="mariadb"` is one service of `start` and `footprint`. The link is `link`'s, and what
//! becomes of the numbers is `report`'s.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails says where")]

mod applications;
mod bytes;
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

use serde_json::json;
use skiff_tests::harness::Usage;
use std::time::{Duration, Instant};

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
const MORE: [Part; 6] = [
    ("bytes", bytes::tables),
    ("ingest", ingest::table),
    ("start", start::table),
    ("opens", opens::tables),
    ("graph", graph::print),
    ("plots", report::plot::again),
];

fn main() {
    let chosen: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let all: Vec<Part> = EXPERIMENTS.into_iter().chain(MORE).collect();
    for word in &chosen {
        let known = word == "all" || all.iter().any(|(name, _)| name == word);
        assert!(known, "there is no part {word:?}");
    }
    let mut spent = Vec::new();
    let all = all.into_iter().enumerate().filter(|(place, (name, _))| match chosen.is_empty() {
        true => *place < EXPERIMENTS.len(),
        false => chosen.iter().any(|word| word == name || word == "all"),
    });
    for (_, (name, measure)) in all {
        let (started, before) = (Instant::now(), processors());
        measure();
        let (seconds, processors) = (started.elapsed(), processors() - before);
        let line = Spent { name, seconds, processors };
        println!("\n{line}");
        report::say(&json!({
            "experiment": name, "seconds": seconds.as_secs_f64(), "processors": processors.as_secs_f64(),
        }));
        spent.push(line);
    }
    println!();
    for line in &spent {
        println!("{line}");
    }
    let sum = |of: fn(&Spent) -> Duration| spent.iter().map(of).sum();
    let (seconds, processors) = (sum(|part| part.seconds), sum(|part| part.processors));
    println!("{}", Spent { name: "in all", seconds, processors });
}

/// What a part took.
struct Spent {
    name: &'static str,
    seconds: Duration,
    processors: Duration,
}

/// As `tests/run.sh` says it.
impl std::fmt::Display for Spent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [seconds, processors] = [self.seconds, self.processors].map(|time| time.as_secs_f64());
        write!(f, "{:<12} {seconds:>5.0} s; {processors:>5.0} s of processors", self.name)
    }
}

/// Time of processors of this process, and of all that has ended that it started.
fn processors() -> Duration {
    Usage::of(std::process::id()).cpu
}

/// How often what takes long is measured, if nobody says so.
fn runs(default: usize) -> usize {
    std::env::var("SKIFF_RUNS").map_or(default, |runs| runs.parse().unwrap())
}

/// The services that are measured where there is a choice, if nobody says which.
fn services(default: &str) -> String {
    std::env::var("SKIFF_SERVICES").unwrap_or_else(|_| default.to_owned())
}

/// The middle one.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
