//! Ingest of an image on disk, into a data directory.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "common/layout.rs"]
mod layout;

use layout::layout;
use skiff_accelerator::library::Images;
use skiff_accelerator::meter::Meter;
use skiff_accelerator::registry::platform::Platform;
use skiff_protocol::response::Phase;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A tar with one file of this many bytes.
fn tar(directory: &Path, len: u64) -> Vec<u8> {
    File::create(directory.join("file")).unwrap().set_len(len).unwrap();
    let tar = Command::new("tar").arg("-cf-").arg("-C").arg(directory).arg("file").output();
    let tar = tar.unwrap();
    assert!(tar.status.success());
    tar.stdout
}

fn names(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Looks again and again, for half a minute at most.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..30_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{what}: not within 30 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_is_read_to_its_end_although_the_device_went_away() {
    let directory = tempfile::tempdir().unwrap();
    let image = layout(&directory.path().join("images/a"), tar(directory.path(), 256 << 20), "{}");
    let data = directory.path().join("data");
    let registry = format!("oci:{}/images", directory.path().display());
    let images = Images::open(&registry, &data, 1 << 30, None).await.unwrap();
    let (platform, meter) = (Platform::new("linux", "amd64", ""), Meter::default());
    tokio::select! {
        biased;
        done = images.ingest("a:1", &platform, &meter) => panic!("too fast: {done:?}"),
        () = eventually("reading begins", || meter.read(Phase::Ingest).done > 0) => {}
    }
    // It goes on: all of it is read.
    let all = image[2].1.len() as u64;
    eventually("the layer is read", || meter.read(Phase::Ingest).done == all).await;
    assert!(names(&data.join("cache/layers")).is_empty(), "no tar is kept");

    // And nobody reads it again.
    let again = Meter::default();
    let ingested = images.ingest("a:1", &platform, &again).await.unwrap();
    assert_eq!(ingested.tree.content_bytes(), 256 << 20);
    assert_eq!(again.read(Phase::Ingest).done, 0);
}
