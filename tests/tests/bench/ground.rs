//! A cloud with a registry and two accelerators, and the link to devices on which services are started.

use super::link;
use super::peers::Peer;
use skiff_tests::harness::{
    Accelerator, Containerd, Daemon, Registry, Sandbox, Skiff, Wan, images, run, wait_for,
};
use skiff_tests::layout::Layout;
use skiff_tests::random::SplitMix64;
use skiff_tests::service::Service;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// A service that doesn't answer by then is broken.
pub const LIMIT: Duration = Duration::from_secs(600);
/// What the paper gives stock containerd.
const CONNECTIONS: [&str; 2] = ["--max-concurrent-downloads", "2"];

/// How an image comes to a device.
#[derive(Debug, Clone, Copy)]
pub enum Way<'p> {
    /// By containerd, over two connections.
    Stock,
    /// The same, and all its layers are one.
    Merged,
    /// By Skiff, everything before the start.
    Eager,
    /// By Skiff, started before it is all there; what it opens is guessed.
    Predicted,
    /// The same, and it is known what it opens.
    Recorded,
    /// It was there before, on [`Ground::stocked`].
    Local,
    /// By somebody else's program.
    Peer(&'p Peer),
}

impl Way<'_> {
    /// It is measured in the first of so many turns. What fills the link for a minute hardly differs.
    pub fn turns(self) -> usize {
        match self {
            Self::Stock | Self::Merged | Self::Eager => 5,
            _ => 1,
        }
    }

    /// For tables.
    pub fn name(self) -> String {
        let name = match self {
            Self::Stock => "stock",
            Self::Merged => "stock, one layer",
            Self::Eager => "Skiff, everything first",
            Self::Predicted => "Skiff, lazy, guessed",
            Self::Recorded => "Skiff, lazy, recorded",
            Self::Local => "there before",
            Self::Peer(peer) => &peer.name,
        };
        name.to_owned()
    }
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

/// Two images of a service in the registry.
pub struct Pair {
    /// The service.
    pub service: Service,
    /// The image before; not all grounds have it.
    pub old: String,
    /// The image that is started.
    pub new: String,
}

/// A cloud with images, and a link to devices.
pub struct Ground {
    /// Knows by a report what the services open.
    pub knowing: Accelerator,
    /// Guesses it.
    guessing: Accelerator,
    /// Has the images.
    pub registry: Registry,
    /// The link.
    pub wan: Wan,
    sandbox: Sandbox,
    /// What there is.
    pub pairs: Vec<Pair>,
}

impl Ground {
    /// With these of the services' tags, `old` and `new`, which the accelerators have read.
    pub fn new(services: &[Service], tags: &[&str]) -> Self {
        let sandbox = Sandbox::new();
        let wan = link::wan();
        let registry = Registry::start_in(&sandbox, &wan.cloud, Wan::CLOUD);
        let url = format!("http://{}", registry.host);
        let data = sandbox.directory("knowing");
        let mut pairs = Vec::new();
        for service in services {
            let layout = Layout::open(&images(), service.name);
            let name = |tag| format!("{}/{}:{tag}", registry.host, service.name);
            for tag in tags {
                let image = wan.cloud.inside(|| registry.push(&layout, tag));
                wan.cloud.inside(|| Accelerator::ingest(&url, &data.join("data"), &image));
            }
            pairs.push(Pair { service: *service, old: name("old"), new: name("new") });
        }
        // What one has read the other need not read, too.
        let other = sandbox.directory("guessing");
        run("cp", &["-a", data.join("data").to_str().unwrap(), other.to_str().unwrap()]);
        let [knowing, guessing] =
            [data, other].map(|data| Accelerator::start_at(&data, &url, &wan.cloud, Wan::CLOUD));
        Self { knowing, guessing, registry, wan, sandbox, pairs }
    }

    /// A device that has the new image, from stock containerd, but not over the link.
    pub fn stocked(&self, pair: &Pair) -> Containerd {
        let device = Containerd::start_in(&self.sandbox, &self.wan.device);
        self.wan.cloud.inside(|| device.pull(&pair.new));
        device
    }

    /// Puts the new image into the registry with all its layers as one, made from a device that has it.
    pub fn merge(&self, pair: &Pair, device: &Containerd) -> String {
        let mounted = device.mount(&pair.new);
        let tar = self.sandbox.directory("merged").join("layer.tar");
        let [directory, archive] = [&mounted.path, &tar].map(|path| path.to_str().unwrap());
        let metadata = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--sort=name"];
        run("tar", &[&metadata[..], &["-C", directory, "-cf", archive, "."]].concat());
        let layout = Layout::create(&self.sandbox.directory("layouts"), pair.service.name);
        layout.add_merged("merged", &Layout::open(&images(), pair.service.name), "new", &tar);
        self.wan.cloud.inside(|| self.registry.push(&layout, "merged"))
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
    /// for its answer. `merged` is what [`merge`](Self::merge) gave.
    pub fn start(&self, pair: &Pair, merged: &str, way: Way<'_>, updates: bool) -> Run {
        if let Way::Peer(peer) = way {
            return peer.start(self, pair, updates);
        }
        let sandbox = Sandbox::new();
        let device = Containerd::start_in(&sandbox, &self.wan.device);
        let skiff = Skiff::containerd(&sandbox, &device.socket());
        let accelerator = match way {
            Way::Predicted => &self.guessing,
            _ => &self.knowing,
        };
        let url = accelerator.url();
        // Not over the link.
        self.wan.cloud.inside(|| {
            if updates && matches!(way, Way::Stock) {
                device.pull(&pair.old);
            } else if updates {
                skiff.pull(&[&pair.old], &url).ok("the old image");
            }
        });
        let lazy = matches!(way, Way::Predicted | Way::Recorded);
        let _daemon = lazy.then(|| self.daemon(&skiff));
        let image = if matches!(way, Way::Merged) { merged } else { &pair.new };
        self.run(pair, &device, image, || match way {
            Way::Stock | Way::Merged => stock(&device, image),
            Way::Eager => drop(skiff.pull(&[image], &url).ok("pull")),
            Way::Predicted | Way::Recorded => {
                let pull = ["pull", image, "--lazy=require", "--accelerator", &url];
                skiff.run(&pull).ok("lazy pull");
            }
            Way::Local | Way::Peer(_) => unreachable!("{way:?} brings nothing here"),
        })
    }

    /// Starts the new image on a device that has it.
    pub fn start_stocked(&self, pair: &Pair, device: &Containerd) -> Run {
        self.run(pair, device, &pair.new, || {})
    }

    fn run(
        &self,
        pair: &Pair,
        device: &Containerd,
        image: &str,
        bring: impl FnOnce() + Send,
    ) -> Run {
        start_afresh();
        let before = self.wan.link.counts()[0].bytes;
        self.wan.device.inside(|| {
            let pulled = Instant::now();
            bring();
            let started = Instant::now();
            let _container = device.container(image, "service");
            assert!(wait_for(LIMIT, || pair.service.answers()), "{} is silent", pair.service.name);
            let bytes = self.wan.link.counts()[0].bytes - before;
            Run { ready: pulled.elapsed(), start: started.elapsed(), bytes }
        })
    }
}

/// What earlier runs have written must not slow the next one down, and what they have read must not make it faster.
pub fn start_afresh() {
    run("sync", &[]);
    std::fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
}

/// A stock pull as the paper has it.
pub fn stock(device: &Containerd, image: &str) {
    let [verbs @ .., image] = Containerd::pulling(image);
    device.ctr(&[&verbs[..], &CONNECTIONS, &[image]].concat());
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
