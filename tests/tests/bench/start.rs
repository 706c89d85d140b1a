//! The time from the first word to a service that answers, over a link of 200 ms and 20 Mbit/s: a stock pull, Skiff
//! that brings everything first, and Skiff that starts before it is all there. The yardstick is what `curl` takes
//! for the compressed bytes of the files that are opened until then, and the start with everything on the disk.
//!
//! One after the other, in turn, on empty devices each time; the accelerator has the image. Times are medians.

use super::start_opened::Opened;
use super::{mb, median};
use skiff_linkem::Model;
use skiff_tests::harness::{
    Accelerator, Containerd, Daemon, Registry, Sandbox, Skiff, Wan, images, run, wait_for,
};
use skiff_tests::layout::Layout;
use skiff_tests::random::SplitMix64;
use skiff_tests::service::{MARIADB, NGINX, NODE_RED, Service};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

const ROUND_TRIP: Duration = Duration::from_millis(200);
const RATE: u64 = 20_000_000;
/// A service that doesn't answer by then is broken.
const LIMIT: Duration = Duration::from_secs(600);

pub(super) fn table() {
    let runs = std::env::var("SKIFF_RUNS").map_or(3, |runs| runs.parse().unwrap());
    println!("\n### From pull to ready, 200 ms and 20 Mbit/s ({runs} runs, medians)\n");
    println!(
        "`curl` brings the compressed bytes of the files opened until then. Ratios are to it and \
         the local start together.\n"
    );
    println!(
        "| | opened: files | MB | MB, gzip | `curl`, s | local start, s | stock, s (ratio; MB) | \
         Skiff, everything first | Skiff, lazy |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for service in [NGINX, MARIADB, NODE_RED] {
        println!("| {} | {} |", service.name, row(service, runs));
    }
}

/// One way to a service that answers.
struct Run {
    /// From the first word to the first answer.
    ready: Duration,
    /// From the container's start to the first answer.
    start: Duration,
    /// Bytes that came over the link until then.
    bytes: u64,
}

fn row(service: Service, runs: usize) -> String {
    let bench = Bench::new(service);
    let opened = Opened::record(
        &bench.sandbox,
        &bench.wan.cloud,
        &bench.accelerator,
        &service,
        &bench.image,
    );
    let lazily = Skiff::has("skiff daemon");
    let recorded = lazily && opened.report();
    let (files, size, gzip) = (opened.files, opened.bytes, opened.gzip);
    drop(opened);
    let (mut curl, mut stock, mut eager, mut lazy) = (vec![], vec![], vec![], vec![]);
    for _ in 0..runs {
        curl.push(bench.curl(gzip));
        stock.push(bench.stock());
        eager.push(bench.eager());
        if lazily {
            lazy.push(bench.lazy());
        }
    }
    let curl = median(curl);
    let start = median(eager.iter().map(|run| run.start).collect());
    let cell = |runs: Vec<Run>| {
        if runs.is_empty() {
            return "not there yet".to_owned();
        }
        let bytes = runs.iter().map(|run| run.bytes).max().unwrap();
        let ready = median(runs.iter().map(|run| run.ready).collect());
        let ratio = ready.as_secs_f64() / (curl + start).as_secs_f64();
        format!("{:.1} ({ratio:.2}; {})", ready.as_secs_f64(), mb(bytes))
    };
    let mut cells = [stock, eager, lazy].map(cell).join(" | ");
    if lazily && !recorded {
        cells.push_str(", without a trace");
    }
    let (curl, start) = (curl.as_secs_f64(), start.as_secs_f64());
    format!("{files} | {} | {} | {curl:.1} | {start:.1} | {cells}", mb(size), mb(gzip))
}

/// A cloud with an image, and a link to a device.
struct Bench {
    accelerator: Accelerator,
    _registry: Registry,
    wan: Wan,
    sandbox: Sandbox,
    service: Service,
    image: String,
}

impl Bench {
    fn new(service: Service) -> Self {
        let sandbox = Sandbox::new();
        let wan = Wan::new(Model::symmetric(ROUND_TRIP, RATE));
        let registry = Registry::start_in(&sandbox, &wan.cloud, Wan::CLOUD);
        let layout = Layout::open(&images(), service.name);
        let image = wan.cloud.inside(|| registry.push(&layout, "new"));
        let data = sandbox.directory("accelerator");
        let url = format!("http://{}", registry.host);
        let accelerator = Accelerator::start_at(&data, &url, &wan.cloud, Wan::CLOUD);
        Self { accelerator, _registry: registry, wan, sandbox, service, image }
    }

    /// Brings so many bytes that can't be compressed.
    fn curl(&self, bytes: u64) -> Duration {
        let listener = self.wan.cloud.inside(|| TcpListener::bind((Wan::CLOUD, 0)).unwrap());
        let url = format!("http://{}/", listener.local_addr().unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| serve(&listener, bytes));
            let mut command = self.wan.device.command("curl");
            command.args(["--silent", "--fail", "--output", "/dev/null", &url]);
            let started = Instant::now();
            assert!(command.status().unwrap().success(), "curl {url}");
            started.elapsed()
        })
    }

    fn stock(&self) -> Run {
        self.timed(|device, _| device.pull(&self.image))
    }

    fn eager(&self) -> Run {
        self.timed(|_, skiff| {
            skiff.pull(&[&self.image], &self.accelerator.url()).ok("pull");
        })
    }

    fn lazy(&self) -> Run {
        let url = self.accelerator.url();
        let mut daemon = None;
        let start = |skiff: &Skiff| {
            let mut command = self.wan.device.command(Skiff::program());
            command.arg("daemon").args(skiff.options());
            let log = skiff.state.with_extension("log");
            let started = daemon.insert(Daemon::start(&mut command, &log, false));
            started.wait_until("skiff daemon", || skiff.state.join("daemon.sock").exists());
        };
        self.prepared(start, |_, skiff| {
            let pull = ["pull", &self.image, "--lazy=require", "--accelerator", &url];
            skiff.run(&pull).ok("lazy pull");
        })
    }

    fn timed(&self, pull: impl FnOnce(&Containerd, &Skiff) + Send) -> Run {
        self.prepared(|_| {}, pull)
    }

    /// Pulls to an empty device, starts a container, and waits for its answer.
    fn prepared(
        &self,
        prepare: impl FnOnce(&Skiff),
        pull: impl FnOnce(&Containerd, &Skiff) + Send,
    ) -> Run {
        let sandbox = Sandbox::new();
        let device = Containerd::start_in(&sandbox, &self.wan.device);
        let skiff = Skiff::containerd(&sandbox, &device.socket());
        prepare(&skiff);
        // What earlier runs have written must not slow this one down.
        run("sync", &[]);
        let before = self.wan.link.counts()[0].bytes;
        self.wan.device.inside(|| {
            let pulled = Instant::now();
            pull(&device, &skiff);
            let started = Instant::now();
            let _container = device.container(&self.image, "service");
            assert!(wait_for(LIMIT, || self.service.answers()), "{} is silent", self.service.name);
            let bytes = self.wan.link.counts()[0].bytes - before;
            Run { ready: pulled.elapsed(), start: started.elapsed(), bytes }
        })
    }
}

/// Answers one request.
fn serve(listener: &TcpListener, bytes: u64) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = [0; 4096];
    let _ = stream.read(&mut request).unwrap();
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut random = SplitMix64(1);
    let mut left = usize::try_from(bytes).unwrap();
    while left > 0 {
        let chunk: Vec<u8> = (0..8192).flat_map(|_| random.next().to_le_bytes()).collect();
        let now = chunk.len().min(left);
        stream.write_all(&chunk[..now]).unwrap();
        left -= now;
    }
}
