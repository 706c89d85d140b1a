//! The time from the first word to a service that answers, over the link: a stock pull, Skiff that brings everything first,
//! and Skiff that starts before it is all there, with a hot set that is guessed or
//! recorded. The yardstick is what `curl` takes for the compressed bytes of the files that are opened until then (of an
//! update: that the device does not have), and the start with everything on the disk.
//!
//! One after the other, in turn, on new devices each time; the accelerators have the images. Times are medians.

use super::ground::{Ground, Run, Way};
use super::opened::{Opened, Sizes};
use super::report::{Cell, Table};
use super::{link, median, runs};
use skiff_tests::service::{MARIADB, NGINX, NODE_RED};

pub(super) fn table() {
    let chosen = super::services("");
    let services: Vec<_> = [NGINX, MARIADB, NODE_RED]
        .into_iter()
        .filter(|service| chosen.is_empty() || chosen.split(' ').any(|name| name == service.name))
        .collect();
    assert!(!services.is_empty(), "there is no service {chosen:?}");
    let mut fresh = table_of(
        format!("From pull to ready, {}", link::name()),
        "`curl` brings the compressed bytes of the files opened until then. In brackets: the ratio to it and \
         the local start together, and the MB over the link.",
        &["stock", "Skiff, everything first", "lazy, guessed", "lazy, recorded"],
    );
    let mut update = table_of(
        format!("From update to ready, {}", link::name()),
        "`curl` brings those opened files that the old image does not have.",
        &["stock", "Skiff, everything first", "lazy, recorded"],
    );
    for service in services {
        let ground = Ground::new(&[service], &["old", "new"]);
        let opened = Opened::record(&ground, &ground.pairs[0], true);
        fresh.row(service.name, &row(&ground, opened.all, false));
        update.row(service.name, &row(&ground, opened.changed, true));
    }
    fresh.print();
    update.print();
}

fn table_of(title: String, note: &'static str, ways: &[&str]) -> Table {
    let columns = ["files opened", "MB", "MB, gzip", "`curl`, s", "local start, s"];
    Table::new("start", title, note, &[&columns, ways].concat())
}

fn row(ground: &Ground, sizes: Sizes, updates: bool) -> Vec<Cell> {
    let ways: &[Way<'_>] = match updates {
        false => &[Way::Stock, Way::Eager, Way::Predicted, Way::Recorded],
        true => &[Way::Stock, Way::Eager, Way::Recorded],
    };
    let mut curl = Vec::new();
    let mut found: Vec<Vec<Run>> = ways.iter().map(|_| Vec::new()).collect();
    for _ in 0..runs(3) {
        curl.push(ground.curl(sizes.gzip));
        for (way, found) in ways.iter().zip(&mut found) {
            found.push(ground.start(&ground.pairs[0], "", *way, updates));
        }
    }
    // With everything on the disk.
    let eager = &found[1];
    let start: Vec<_> = eager.iter().map(|run| run.start).collect();
    let yardstick = (median(curl.clone()) + median(start.clone())).as_secs_f64();
    let mut cells = vec![
        Cell::count(sizes.files),
        Cell::bytes(sizes.bytes),
        Cell::bytes(sizes.gzip),
        Cell::times(&curl),
        Cell::times(&start),
    ];
    for runs in &found {
        let ready: Vec<_> = runs.iter().map(|run| run.ready).collect();
        let bytes = runs.iter().map(|run| run.bytes).max().unwrap();
        let ratio = Cell::ratio(median(ready.clone()).as_secs_f64() / yardstick);
        cells.push(Cell::times(&ready).with([ratio, Cell::bytes(bytes)]));
    }
    cells
}
