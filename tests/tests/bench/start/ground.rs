//! A cloud with a registry and two accelerators, and a slow link to devices on which a service is started.

use skiff_linkem::Model;
use skiff_tests::harness::{
    Accelerator, Containerd, Daemon, Registry, Sandbox, Skiff, Wan, images, run, wait_for,
};
use skiff_tests::layout::Layout;
use skiff_tests::random::SplitMix64;
use skiff_tests::service::Service;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// Of the link.
pub const ROUND_TRIP: Duration = Duration::from_millis(200);
/// Of the link, in both directions, bits per second.
pub const RATE: u64 = 20_000_000;
/// A service that doesn't answer by then is broken.
const LIMIT: Duration = Duration::from_secs(600);

/// How an image comes to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By containerd.
    Stock,
    /// By Skiff, everything before the start.
    Eager,
    /// By Skiff, started before it is all there; what it opens is guessed.
    Predicted,
    /// The same, and it is known what it opens.
    Recorded,
}

/// One way to a service that answers.
pub struct Run {
    /// From the first word to the first answer.
    pub ready: Duration,
    /// From the container's start to the first answer.
    pub start: Duration,
    /// Bytes that came over the link until then.
    pub bytes: u64,
}

/// A cloud with an old and a new image of a service, and a link to devices.
pub struct Ground {
    /// Knows by a report what the service opens.
    pub knowing: Accelerator,
    /// Guesses it.
    guessing: Accelerator,
    _registry: Registry,
    /// The link.
    pub wan: Wan,
    _sandbox: Sandbox,
    /// The service.
    pub service: Service,
    /// The image before.
    pub old: String,
    /// The image that is started.
    pub new: String,
}

impl Ground {
    pub fn new(service: Service) -> Self {
        let sandbox = Sandbox::new();
        let wan = Wan::new(Model::symmetric(ROUND_TRIP, RATE));
        let registry = Registry::start_in(&sandbox, &wan.cloud, Wan::CLOUD);
        let layout = Layout::open(&images(), service.name);
        let [old, new] = ["old", "new"].map(|tag| wan.cloud.inside(|| registry.push(&layout, tag)));
        let url = format!("http://{}", registry.host);
        let [knowing, guessing] = ["knowing", "guessing"].map(|name| {
            let data = sandbox.directory(name);
            for image in [&old, &new] {
                wan.cloud.inside(|| Accelerator::ingest(&url, &data, image));
            }
            Accelerator::start_at(&data, &url, &wan.cloud, Wan::CLOUD)
        });
        Self { knowing, guessing, _registry: registry, wan, _sandbox: sandbox, service, old, new }
    }

    /// Brings so many bytes that can't be compressed, with `curl`.
    pub fn curl(&self, bytes: u64) -> Duration {
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

    /// A daemon behind the link.
    pub fn daemon(&self, skiff: &Skiff) -> Daemon {
        let mut command = self.wan.device.command(Skiff::program());
        command.arg("daemon").args(skiff.options());
        let log = skiff.state.with_extension("log");
        let mut daemon = Daemon::start(&mut command, &log, false);
        daemon.wait_until("skiff daemon", || skiff.state.join("daemon.sock").exists());
        daemon
    }

    /// Brings the new image to a device that has nothing, or the old one (`updates`), starts a container, and waits
    /// for its answer.
    pub fn start(&self, way: Way, updates: bool) -> Run {
        let sandbox = Sandbox::new();
        let device = Containerd::start_in(&sandbox, &self.wan.device);
        let skiff = Skiff::containerd(&sandbox, &device.socket());
        let accelerator = match way {
            Way::Predicted => &self.guessing,
            _ => &self.knowing,
        };
        let url = accelerator.url();
        if updates {
            // Not over the link.
            self.wan.cloud.inside(|| match way {
                Way::Stock => device.pull(&self.old),
                _ => drop(skiff.pull(&[&self.old], &url).ok("the old image")),
            });
        }
        let lazy = matches!(way, Way::Predicted | Way::Recorded);
        let _daemon = lazy.then(|| self.daemon(&skiff));
        // What earlier runs have written must not slow this one down.
        run("sync", &[]);
        let before = self.wan.link.counts()[0].bytes;
        self.wan.device.inside(|| {
            let pulled = Instant::now();
            match way {
                Way::Stock => device.pull(&self.new),
                Way::Eager => drop(skiff.pull(&[&self.new], &url).ok("pull")),
                Way::Predicted | Way::Recorded => {
                    let pull = ["pull", &self.new, "--lazy=require", "--accelerator", &url];
                    skiff.run(&pull).ok("lazy pull");
                }
            }
            let started = Instant::now();
            let _container = device.container(&self.new, "service");
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
