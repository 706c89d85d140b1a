//! What a service opens of its image until it is ready, recorded beside the registry.

use flate2::Compression;
use flate2::write::GzEncoder;
use skiff_tests::harness::{Accelerator, Containerd, NetNs, Outcome, Sandbox, Skiff};
use skiff_tests::service::Service;
use std::io::Write;

/// The files of an image that are opened.
pub(super) struct Opened<'a> {
    /// How many.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Their bytes, each compressed alone by `gzip -9`.
    pub gzip: u64,
    device: Containerd,
    skiff: Skiff,
    accelerator: &'a Accelerator,
    cloud: &'a NetNs,
    service: &'a Service,
    image: &'a str,
}

impl<'a> Opened<'a> {
    /// Pulls and starts the image in the cloud. The accelerator has read it after that.
    pub fn record(
        sandbox: &Sandbox,
        cloud: &'a NetNs,
        accelerator: &'a Accelerator,
        service: &'a Service,
        image: &'a str,
    ) -> Self {
        let device = Containerd::start_in(sandbox, cloud);
        let skiff = Skiff::containerd(sandbox, &device.socket());
        cloud.inside(|| skiff.pull(&[image], &accelerator.url()).ok("pull"));
        let (files, bytes, gzip) = (0, 0, 0);
        let mut opened =
            Self { files, bytes, gzip, device, skiff, accelerator, cloud, service, image };
        let list = opened.trace(&["--print"]).ok("trace").stdout;
        let tree = opened.device.mount(image);
        for path in list.lines().filter_map(|line| line.strip_prefix('/')) {
            let content = std::fs::read(tree.path.join(path)).unwrap();
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&content).unwrap();
            opened.files += 1;
            opened.bytes += content.len() as u64;
            opened.gzip += encoder.finish().unwrap().len() as u64;
        }
        drop(tree);
        opened
    }

    /// Tells the accelerator, too; whether it takes such a report.
    pub fn report(&self) -> bool {
        self.trace(&["--accelerator", &self.accelerator.url()]).code == 0
    }

    /// Traces a container from its start.
    fn trace(&self, more: &[&str]) -> Outcome {
        let port = self.service.port.to_string();
        let arguments = ["trace", "--image", self.image, "--until-port", &port];
        self.cloud.inside(|| {
            let trace = self.skiff.start(&[&arguments[..], more].concat());
            assert!(trace.wait_for_output());
            let _container = self.device.container(self.image, "traced");
            trace.finish()
        })
    }
}
