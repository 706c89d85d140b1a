//! What a service opens of its image until it is ready, recorded beside the registry.

use super::ground::{Ground, Pair};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use skiff_tests::harness::{Containerd, Outcome, Sandbox, Skiff};
use std::collections::HashSet;
use std::io::Write;

/// Files, together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sizes {
    /// How many.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Their bytes, each compressed alone by `gzip -9`.
    pub gzip: u64,
}

/// The files of the new image that are opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Opened {
    /// All of them.
    pub all: Sizes,
    /// Those with contents that the old image does not have, if there is one.
    pub changed: Sizes,
}

impl Opened {
    /// Pulls and starts the image in the cloud, and tells that accelerator what was opened that should know it. `updates`
    /// says whether the ground has the old image.
    pub fn record(ground: &Ground, pair: &Pair, updates: bool) -> Self {
        let sandbox = Sandbox::new();
        let device = Containerd::start_in(&sandbox, &ground.wan.cloud);
        let skiff = Skiff::containerd(&sandbox, &device.socket());
        let url = ground.knowing.url();
        let mut old = HashSet::new();
        for image in updates.then_some(&pair.old).into_iter().chain([&pair.new]) {
            ground.wan.cloud.inside(|| skiff.pull(&[image], &url).ok("pull"));
        }
        if updates {
            let tree = device.tree(&pair.old);
            old.extend(tree.nodes.values().filter_map(|node| node.content));
        }
        let list = trace(ground, pair, &device, &skiff, &["--print"]).stdout;
        trace(ground, pair, &device, &skiff, &["--accelerator", &url]);

        let mounted = device.mount(&pair.new);
        let mut opened = Self::default();
        for path in list.lines().filter_map(|line| line.strip_prefix('/')) {
            let content = std::fs::read(mounted.path.join(path)).unwrap();
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&content).unwrap();
            let (bytes, gzip) = (content.len() as u64, encoder.finish().unwrap().len() as u64);
            opened.all.add(bytes, gzip);
            let digest: [u8; 32] = Sha256::digest(&content).into();
            if !old.contains(&digest) {
                opened.changed.add(bytes, gzip);
            }
        }
        opened
    }
}

/// Only starts the new image on a device in the cloud that has it, and tells that accelerator what is opened.
pub fn tell(ground: &Ground, pair: &Pair, device: &Containerd, skiff: &Skiff) {
    trace(ground, pair, device, skiff, &["--accelerator", &ground.knowing.url()]);
}

impl Sizes {
    fn add(&mut self, bytes: u64, gzip: u64) {
        self.files += 1;
        self.bytes += bytes;
        self.gzip += gzip;
    }
}

/// Traces a container from its start.
fn trace(
    ground: &Ground,
    pair: &Pair,
    device: &Containerd,
    skiff: &Skiff,
    more: &[&str],
) -> Outcome {
    let port = pair.service.port.to_string();
    let arguments = ["trace", "--image", &pair.new, "--until-port", &port];
    ground.wan.cloud.inside(|| {
        let trace = skiff.start(&[&arguments[..], more].concat());
        assert!(trace.wait_for_output());
        let _container = device.container(&pair.new, "traced");
        trace.finish().ok("trace")
    })
}
