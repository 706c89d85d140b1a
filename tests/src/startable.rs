//! An image that was pulled lazily and of which nothing has come: every file is cold, and stays so until somebody
//! opens it.
//!
//! The first content is a filler of random bytes. The relay holds the stream of the pull within it, so whatever else
//! arrives was asked for because somebody waits.

use crate::hard::noise;
use crate::harness::{Accelerator, Fault, Relay, Sandbox, Skiff, SkiffDaemon};
use crate::layout::{Image, Layer, Layout};
use crate::tarball::Entry;
use rustix::mount::{UnmountFlags, unmount};
use skiff_cold::overlay;
use std::fs;
use std::path::PathBuf;

/// The name of the filler.
pub const FILLER: &str = "filler";
/// Its size: more than the agent leaves to a stream that is about to bring it.
const FILLER_SIZE: usize = 4 << 20;
/// The image.
pub const IMAGE: &str = "cold:1";
/// What it is an update of.
pub const BASE: &str = "cold:0";

/// Everything that runs for it.
#[derive(Debug)]
pub struct Startable {
    /// Where its layers' stack is mounted, with an upper layer of its own.
    pub merged: PathBuf,
    /// The upper layer.
    pub upper: PathBuf,
    /// Its layer itself.
    pub layer: PathBuf,
    /// The daemon; none while a test has taken it.
    pub daemon: Option<SkiffDaemon>,
    /// The agent.
    pub skiff: Skiff,
    /// What the pull's stream goes through.
    pub relay: Relay,
    /// The accelerator.
    pub accelerator: Accelerator,
    /// Where all of it lies.
    pub sandbox: Sandbox,
}

impl Startable {
    /// Pulls an image of one layer with these entries. With a base, that is pulled whole first, and the image is an
    /// update of it.
    pub fn new(base: &[Entry], entries: &[Entry]) -> Self {
        let sandbox = Sandbox::new();
        let layouts = sandbox.directory("layouts");
        let layout = Layout::create(&layouts, "cold");
        let filler = Entry::file(FILLER, noise(77, FILLER_SIZE));
        let entries: Vec<Entry> = std::iter::once(filler).chain(entries.iter().cloned()).collect();
        layout.add("0", &Image::new(vec![Layer::new(base)]));
        layout.add("1", &Image::new(vec![Layer::new(&entries)]));
        // And an update of that.
        let more = Entry::file("more", noise(78, 100_000));
        layout.add("2", &Image::new(vec![Layer::new(&entries), Layer::new(&[more])]));
        let accelerator = Accelerator::start(&sandbox, &format!("oci:{}", layouts.display()));
        accelerator.set_hot(&sandbox, IMAGE, &[FILLER]);
        let root = sandbox.directory("device");
        let skiff = Skiff::root(&sandbox, &root);
        let mut layers = Vec::new();
        if !base.is_empty() {
            let pull = ["pull", BASE, "--lazy=never", "--accelerator", &accelerator.url()];
            skiff.run(&pull).ok("pull of the base");
            layers.push(root.join("snapshots/1/fs"));
        }
        // The plan and the table of contents of some dozens of files have less.
        let relay = Relay::start(&accelerator.address, Fault::HoldFirst(256 << 10));
        let daemon = SkiffDaemon::start(&skiff);
        let pull = ["pull", IMAGE, "--json", "--lazy=require", "--accelerator", &relay.url()];
        skiff.run(&pull).ok("pull");
        let layer = root.join("snapshots").join((layers.len() + 1).to_string()).join("fs");
        layers.insert(0, layer.clone());
        let (upper, merged) = (sandbox.directory("upper"), sandbox.directory("merged"));
        let work = sandbox.directory("work");
        let lower: Vec<String> = layers.iter().map(|layer| layer.display().to_string()).collect();
        overlay(&lower.join(":"), &upper, &work, &merged);
        let daemon = Some(daemon);
        Self { merged, upper, layer, daemon, skiff, relay, accelerator, sandbox }
    }

    /// A path in the merged tree.
    pub fn path(&self, name: &str) -> PathBuf {
        self.merged.join(name)
    }

    /// Reads a file of the merged tree.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// The daemon.
    pub fn daemon(&self) -> &SkiffDaemon {
        self.daemon.as_ref().unwrap()
    }

    /// Whether a file of the layer is cold: nothing is written to it.
    pub fn is_cold(&self, name: &str) -> bool {
        use std::os::unix::fs::MetadataExt;
        fs::symlink_metadata(self.layer.join(name)).unwrap().blocks() == 0
    }
}

impl Drop for Startable {
    fn drop(&mut self) {
        let _ = unmount(&self.merged, UnmountFlags::DETACH);
    }
}
