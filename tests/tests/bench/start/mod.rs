//! The time from the first word to a service that answers, over a link of 200 ms and 20 Mbit/s: a stock pull, Skiff
//! that brings everything first, and Skiff that starts before it is all there, with a hot set that is guessed or
//! recorded. The yardstick is what `curl` takes for the compressed bytes of the files that are opened until then (of an
//! update: that the device does not have), and the start with everything on the disk.
//!
//! One after the other, in turn, on new devices each time; the accelerators have the images. Times are medians.

pub(super) mod ground;
mod opened;

use super::{mb, median};
use ground::{Ground, Run, Way};
use opened::{Opened, Sizes};
use skiff_tests::service::{MARIADB, NGINX, NODE_RED, Service};

pub(super) fn table() {
    let runs = std::env::var("SKIFF_RUNS").map_or(3, |runs| runs.parse().unwrap());
    let chosen = std::env::var("SKIFF_SERVICES").unwrap_or_default();
    let services = [NGINX, MARIADB, NODE_RED]
        .into_iter()
        .filter(|service| chosen.is_empty() || chosen.split(' ').any(|name| name == service.name));
    let rows: Vec<_> = services.map(|service| (service, rows(service, runs))).collect();
    assert!(!rows.is_empty(), "there is no service {chosen:?}");
    println!("\n### From pull to ready, 200 ms and 20 Mbit/s ({runs} runs, medians)\n");
    println!(
        "`curl` brings the compressed bytes of the files opened until then. In brackets: the ratio to it and \
         the local start together, and the MB over the link.\n"
    );
    head("opened", &["stock", "Skiff, everything first", "lazy, guessed", "lazy, recorded"]);
    for (service, (fresh, _)) in &rows {
        println!("| {} | {fresh} |", service.name);
    }
    println!("\n### From update to ready, over the same link ({runs} runs, medians)\n");
    println!("`curl` brings those opened files that the old image does not have.\n");
    head("opened and new", &["stock", "Skiff, everything first", "lazy, recorded"]);
    for (service, (_, update)) in &rows {
        println!("| {} | {update} |", service.name);
    }
}

fn head(files: &str, ways: &[&str]) {
    println!(
        "| | {files}: files | MB | MB, gzip | `curl`, s | local start, s | {} |",
        ways.join(" | ")
    );
    println!("|---|---:|---:|---:|---:|---:|{}", "---:|".repeat(ways.len()));
}

fn rows(service: Service, runs: usize) -> (String, String) {
    let ground = Ground::new(service);
    let opened = Opened::record(&ground);
    let fresh = row(&ground, opened.all, runs, false);
    let update = row(&ground, opened.changed, runs, true);
    (fresh, update)
}

fn row(ground: &Ground, sizes: Sizes, runs: usize, updates: bool) -> String {
    let ways: &[Way] = match updates {
        false => &[Way::Stock, Way::Eager, Way::Predicted, Way::Recorded],
        true => &[Way::Stock, Way::Eager, Way::Recorded],
    };
    let mut curl = Vec::new();
    let mut found: Vec<Vec<Run>> = ways.iter().map(|_| Vec::new()).collect();
    for _ in 0..runs {
        curl.push(ground.curl(sizes.gzip));
        for (way, found) in ways.iter().zip(&mut found) {
            found.push(ground.start(*way, updates));
        }
    }
    let curl = median(curl);
    let eager = ways.iter().zip(&found).find(|(way, _)| **way == Way::Eager);
    let start = median(eager.unwrap().1.iter().map(|run| run.start).collect());
    let cell = |runs: &Vec<Run>| {
        let bytes = runs.iter().map(|run| run.bytes).max().unwrap();
        let ready = median(runs.iter().map(|run| run.ready).collect());
        let ratio = ready.as_secs_f64() / (curl + start).as_secs_f64();
        format!("{:.1} ({ratio:.2}; {})", ready.as_secs_f64(), mb(bytes))
    };
    let cells: Vec<String> = found.iter().map(cell).collect();
    let (curl, start) = (curl.as_secs_f64(), start.as_secs_f64());
    let Sizes { files, bytes, gzip } = sizes;
    let cells = cells.join(" | ");
    format!("{files} | {} | {} | {curl:.1} | {start:.1} | {cells}", mb(bytes), mb(gzip))
}
