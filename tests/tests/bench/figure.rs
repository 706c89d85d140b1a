//! The paper's Figure 1: the time until a database answers, from nothing, in all ways that there are: its image has eight
//! layers. In turn, on new devices each time, nothing in the machine's cache; the accelerators have the image.

use super::ground::{Ground, Run, Way};
use super::opened::Opened;
use super::peers::peers;
use super::report::{Cell, Table, plot};
use super::{link, median, runs};
use skiff_tests::service::MARIADB;
use std::time::Duration;

pub(super) fn tables() {
    let ground = Ground::new(&[MARIADB], &["new"]);
    let pair = &ground.pairs[0];
    let stocked = ground.stocked(pair);
    let (opened, merged) = std::thread::scope(|scope| {
        let merged = scope.spawn(|| ground.merge(pair, &stocked));
        (Opened::record(&ground, pair, false), merged.join().unwrap())
    });
    let peers = peers();
    let mut ways =
        vec![Way::Stock, Way::Merged, Way::Eager, Way::Predicted, Way::Recorded, Way::Local];
    ways.extend(peers.iter().map(Way::Peer));
    let runs = runs(5);
    let mut found: Vec<Vec<Run>> = ways.iter().map(|_| Vec::new()).collect();
    let mut curl = Vec::new();
    for turn in 0..runs {
        if turn % 2 == 0 {
            curl.push(ground.curl(opened.all.gzip));
        }
        for (way, found) in ways.iter().zip(&mut found) {
            if turn % way.turns() == 0 {
                found.push(match way {
                    Way::Local => ground.start_stocked(pair, &stocked),
                    way => ground.start(pair, &merged, *way, false),
                });
            }
        }
    }

    let title = format!("Until a database answers, {}", link::name());
    let mut table = Table::new(
        "figure",
        title.clone(),
        "Ratios are to what `curl` takes for the compressed bytes of the files that are opened until then, and the start \
         of an image that was there before.",
        &["runs", "from the first word, s", "from the start, s", "MB over the link", "ratio"],
    );
    let of =
        |runs: &[Run], what: fn(&Run) -> Duration| -> Vec<_> { runs.iter().map(what).collect() };
    // As `ways` has them.
    let (eager, local) = (&found[2], of(&found[5], |run| run.ready));
    let yardstick = (median(curl.clone()) + median(local)).as_secs_f64();
    let mut bars = Vec::new();
    for (way, runs) in ways.iter().zip(&found) {
        let (ready, start) = (of(runs, |run| run.ready), of(runs, |run| run.start));
        let bytes = runs.iter().map(|run| run.bytes).max().unwrap();
        let ratio = median(ready.clone()).as_secs_f64() / yardstick;
        let count = Cell::count(runs.len());
        let (ready_cell, start) = (Cell::times(&ready), Cell::times(&start));
        let cells = [count, ready_cell, start, Cell::bytes(bytes), Cell::ratio(ratio)];
        table.row(&way.name(), &cells);
        bars.push((way.name(), ready.iter().map(Duration::as_secs_f64).collect()));
    }
    table.print();
    plot::bars("figure.svg", &title, "s", &bars);
    use_of_link(&ground, opened.all.files, curl, eager);
}

/// How much of the link a stream takes that brings everything, beside `curl`.
fn use_of_link(ground: &Ground, files: usize, opened: Vec<Duration>, eager: &[Run]) {
    let mut table = Table::new(
        "figure",
        format!("`curl` of the same bytes, {}", link::name()),
        "",
        &["`curl`, s", "Skiff, s", "use of the link, a ratio"],
    );
    let pull = median(eager.iter().map(|run| run.ready - run.start).collect());
    let curl = ground.curl(eager[0].bytes);
    let ratio = Cell::ratio(curl.as_secs_f64() / pull.as_secs_f64());
    let pull = Cell::times(&[pull]);
    table.row("Skiff, everything first, without the start", &[Cell::times(&[curl]), pull, ratio]);
    let name = format!("the {files} files that are opened, compressed");
    table.row(&name, &[Cell::times(&opened), Cell::none(), Cell::none()]);
    table.print();
}
