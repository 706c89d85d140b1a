//! A real container of an image that is cold, whose link or whose image goes away.

use skiff_tests::harness::{
    Accelerator, Containerd, Fault, NetNs, Registry, Relay, Sandbox, Skiff, SkiffDaemon, alone,
    images, run, wait_for,
};
use skiff_tests::layout::Layout;
use skiff_tests::service::NGINX;
use std::time::{Duration, Instant};

/// What comes of the pull before it stands still: the table of contents, and little more.
const HELD: u64 = 1 << 20;
/// Nothing of this is opened by a web server that starts.
const COLD: &str = "usr/share";

/// A device that has pulled the image, and nothing of its contents. Dropped in this order.
struct Ground {
    daemon: SkiffDaemon,
    device: Containerd,
    skiff: Skiff,
    relay: Relay,
    _accelerator: Accelerator,
    _registry: Registry,
    image: String,
    netns: NetNs,
    sandbox: Sandbox,
}

impl Ground {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let registry = Registry::start(&sandbox);
        let image = registry.push(&Layout::open(&images(), NGINX.name), "new");
        let accelerator = Accelerator::start(&sandbox, &format!("http://{}", registry.host));
        let netns = NetNs::new();
        let device = Containerd::start_in(&sandbox, &netns);
        let skiff = Skiff::containerd(&sandbox, &device.socket());
        let daemon = SkiffDaemon::start(&skiff);
        let relay = Relay::start(&accelerator.address, Fault::HoldFirst(HELD));
        let pull = ["pull", &image, "--lazy=require", "--accelerator", &relay.url()];
        skiff.run(&pull).ok("pull");
        let (_accelerator, _registry) = (accelerator, registry);
        Self { daemon, device, skiff, relay, _accelerator, _registry, image, netns, sandbox }
    }

    fn answers(&self) -> bool {
        self.netns.inside(|| NGINX.answers())
    }

    #[track_caller]
    fn answers_soon(&self) {
        let answers = || wait_for(Duration::from_secs(90), || NGINX.answers());
        assert!(self.netns.inside(answers), "{:?}\n{}", self.daemon.status(), self.daemon.said());
    }

    /// One hash of all files below [`COLD`], as somebody in the container reads them.
    fn hash_within(&self, id: &str) -> String {
        let script = format!("cd /{COLD}; {HASH}");
        self.device.ctr(&["task", "exec", "--exec-id", "hash", id, "sh", "-c", &script])
    }

    /// The same of what stock containerd unpacks.
    fn hash_of_stock(&self) -> String {
        let stock = Containerd::start(&self.sandbox);
        stock.pull(&self.image);
        let mounted = stock.mount(&self.image);
        run("sh", &["-c", &format!("cd {}/{COLD}; {HASH}", mounted.path.display())])
    }
}

const HASH: &str = "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 cat | sha256sum";

#[test]
fn a_container_starts_although_the_link_is_cut_for_a_minute() {
    let _alone = alone();
    let ground = Ground::new();
    ground.relay.cut();
    let cut = Instant::now();
    let _container = std::thread::scope(|scope| {
        // Its first process can't even be executed yet.
        let container = scope.spawn(|| ground.device.container(&ground.image, "cut"));
        while cut.elapsed() < Duration::from_secs(60) {
            assert!(!ground.answers(), "it answers without its files");
            std::thread::sleep(Duration::from_secs(1));
        }
        ground.relay.mend();
        container.join().unwrap()
    });
    ground.answers_soon();
    assert!(ground.daemon.cold_files() > 0, "it waited for all of it");
}

#[test]
fn a_container_whose_image_is_removed_gets_the_rest_of_its_files() {
    let _alone = alone();
    let ground = Ground::new();
    let container = ground.device.container(&ground.image, "removed");
    ground.answers_soon();
    ground.skiff.run(&["rm", &ground.image]).ok("rm");
    assert_eq!(ground.device.images(), [""; 0]);
    let cold = ground.daemon.cold_files();
    assert!(cold > 100, "{cold} files are cold");
    assert_eq!(ground.hash_within("removed"), ground.hash_of_stock());
    assert!(ground.daemon.cold_files() < cold);
    assert!(ground.answers());
    // Then nothing needs its files any more.
    drop(container);
    assert!(
        wait_for(Duration::from_secs(30), || ground.device.committed().is_empty()),
        "{:?} is left",
        ground.device.committed()
    );
    ground.daemon.wait_until_warm();
    let hydrating = ground.skiff.state.join("hydrating");
    assert_eq!(std::fs::read_dir(hydrating).unwrap().count(), 0);
}
