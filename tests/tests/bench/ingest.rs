//! The speed of ingest on one processor, beside `gzip -dc | sha256sum` of the same blobs, and what the prediction of
//! the hot set takes behind it. From the ingest on devices can get the image.

use super::median;
use skiff_tests::harness::{Accelerator, Sandbox, images, run};
use skiff_tests::layout::Layout;
use std::time::{Duration, Instant};

const RUNS: usize = 5;

pub(super) fn table() {
    println!(
        "\n### Ingest on one processor, beside `gzip -dc | sha256sum` ({RUNS} runs, medians)\n"
    );
    println!(
        "| | gzip and sha256sum | ingest | speed of ingest as a ratio | prediction behind it |"
    );
    println!("|---|---:|---:|---:|---:|");
    for image in ["nginx", "mariadb", "node-red"] {
        println!("| {image} | {} |", row(image));
    }
}

fn row(image: &str) -> String {
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
    let [gzip, ingest, prediction] =
        [by_gzip, by_ingest, predictions].map(|times| median(times).as_secs_f64());
    format!("{gzip:.2} s | {ingest:.2} s | {:.2} | {prediction:.2} s", gzip / ingest)
}

fn timed(command: &[&str]) -> (Duration, String) {
    let started = Instant::now();
    let said = run("taskset", command);
    (started.elapsed(), said)
}
