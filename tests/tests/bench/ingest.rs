//! The speed of ingest on one processor, beside `gzip -dc | sha256sum` of the same blobs, and what the prediction of
//! the hot set takes behind it. From the ingest on devices can get the image.

use super::median;
use super::report::{Cell, Table};
use skiff_tests::harness::{Accelerator, Sandbox, images, run};
use skiff_tests::layout::Layout;
use std::time::{Duration, Instant};

const RUNS: usize = 5;

pub(super) fn table() {
    let mut table = Table::new(
        "ingest",
        format!("Ingest on one processor, s, beside `gzip -dc | sha256sum` ({RUNS} runs, medians)"),
        "",
        &["gzip and sha256sum", "ingest", "speed of ingest as a ratio", "prediction behind it"],
    );
    for image in ["nginx", "mariadb", "node-red"] {
        table.row(image, &row(image));
    }
    table.print();
}

fn row(image: &str) -> [Cell; 4] {
    let layout = Layout::open(&images(), image);
    let layers = layout.manifest_of("new")["layers"].as_array().unwrap().clone();
    let blobs: Vec<String> = layers
        .iter()
        .map(|layer| layout.blob_path(layer["digest"].as_str().unwrap()).display().to_string())
        .collect();
    let script = "for blob; do gzip -dc \"$blob\" | sha256sum; done";
    let mut gzip = vec!["-c", "0", "sh", "-ec", script, "sh"];
    gzip.extend(blobs.iter().map(String::as_str));
    let program = Accelerator::program().display().to_string();
    let (name, registry) = (format!("{image}:new"), format!("oci:{}", images().display()));
    let sandbox = Sandbox::new();
    // Once, so that the blobs are in memory.
    run("taskset", &gzip);
    let (mut by_gzip, mut by_ingest, mut predictions) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        by_gzip.push(timed(&gzip).0);
        let data = sandbox.directory("data").display().to_string();
        let ingest =
            ["-c", "0", &program, "ingest", &name, "--registry", &registry, "--data", &data];
        let (whole, said) = timed(&ingest);
        let prediction = said.trim().rsplit_once(" in ").unwrap().1.strip_suffix(" s").unwrap();
        let prediction = Duration::from_secs_f64(prediction.parse().unwrap());
        by_ingest.push(whole - prediction);
        predictions.push(prediction);
    }
    let [gzip, ingest, prediction] = [by_gzip, by_ingest, predictions].map(median);
    let speed = Cell::ratio(gzip.as_secs_f64() / ingest.as_secs_f64());
    [Cell::time(gzip), Cell::time(ingest), speed, Cell::time(prediction)]
}

fn timed(command: &[&str]) -> (Duration, String) {
    let started = Instant::now();
    let said = run("taskset", command);
    (started.elapsed(), said)
}
