//! An image that stays cold: the relay holds its stream, and whatever else is asked for in the middle of a program.

use super::{Device, Model, built, guest_url};
use crate::cold::{PRIVILEGED, privileged};
use crate::compare::Tree;
use crate::harness::{Accelerator, Fault, Relay, Sandbox};
use crate::layout::{Image, Layer, Layout};
use crate::startable::FILLER;
use crate::tarball::Entry;
use skiff_cold::noise;

const ROOT: &str = "/var/lib/image";
const STATE: &str = "/var/lib/image/skiff";
/// Where everything is fetched before anything is visible.
const EAGER: &str = "/var/lib/eager";
const IMAGE: &str = "cold:1";
/// An update of it, which has a file more.
const UPDATE: &str = "cold:2";
/// Bytes of each program: more than comes of an answer, in several packs.
const SIZE: usize = 3 << 20;
/// What the image has, at least: nothing of it can be compressed.
const WHOLE: u64 = (4 << 20) + 2 * SIZE as u64;
const HOLD: Fault = Fault::HoldLong { first: 512 << 10, answer: 3 << 19 };

/// The image, and where it comes from. It has programs that give who runs them more rights than he has.
#[derive(Debug)]
pub struct ColdImage {
    relay: Relay,
    accelerator: Accelerator,
}

impl ColdImage {
    /// Makes it.
    pub fn new(sandbox: &Sandbox, model: Model) -> Self {
        let layouts = sandbox.directory("cold-image");
        let program = built(&format!("cross/tests/{}/skiff-cold", model.triple()));
        let mut entries = vec![Entry::file(FILLER, noise(77, 4 << 20))];
        entries.extend(privileged("", &program, SIZE));
        let (architecture, variant) = model.platform();
        let layout = Layout::create(&layouts, "cold");
        let layer = Layer::new(&entries);
        let more = Layer::new(&[Entry::file("more", noise(78, 100_000))]);
        for (tag, layers) in [("1", vec![layer.clone()]), ("2", vec![layer, more])] {
            layout.add(tag, &Image::new(layers).platform(architecture, variant));
        }
        let accelerator = Accelerator::start(sandbox, &format!("oci:{}", layouts.display()));
        accelerator.set_hot(sandbox, IMAGE, &[FILLER]);
        let relay = Relay::start(&accelerator.address, HOLD);
        Self { relay, accelerator }
    }

    /// Starts the daemon, and pulls the image.
    pub fn pull(&self, device: &mut Device) {
        device.start_daemon(STATE);
        self.pull_cold(device, IMAGE);
    }

    fn pull_cold(&self, device: &mut Device, image: &str) {
        let options = format!("--root {ROOT} --lazy=require");
        device.pull(&options, &[image], &guest_url(&self.relay.url())).ok("a lazy pull");
    }

    /// Somebody opens each program; when this returns, each has some of its bytes, and none has all.
    pub fn begin_to_fill(&self, device: &mut Device) {
        for (program, _) in PRIVILEGED {
            let path = format!("{ROOT}/snapshots/1/fs/{program}");
            let script = format!(
                "cat {path} >/dev/null & for i in $(seq 600); do n=$(stat -c %b {path}); \
                 [ $n -gt 0 ] && break; sleep 0.1; done; [ $n -gt 0 ] && [ $n -lt {} ]",
                SIZE / 512
            );
            device.run(&script).ok("a program that somebody waits for is not half there");
        }
    }

    /// After a boot: the daemon starts, and an ordinary user runs the programs. Says what was wrong.
    pub fn run(&self, device: &mut Device) -> Result<(), String> {
        device.start_daemon(STATE);
        let mount =
            format!("mkdir -p /run/mounted; skiff mount {IMAGE} /run/mounted --root {ROOT}");
        device.run(&mount).ok("mount");
        self.relay.release();
        for (program, expected) in PRIVILEGED {
            let ran = device.run(&format!("skiff-cold as-user /run/mounted/{program} 2>&1"));
            if ran.status != 0 || !ran.text().starts_with(expected) {
                return Err(format!("{program}: {}, not {expected}", ran.text()));
            }
        }
        device.run("umount /run/mounted").ok("unmount");
        Ok(())
    }

    /// Removes the image while it is cold: nothing is to come any more. Then pulls it again.
    pub fn remove(&self, device: &mut Device) {
        device.run(&format!("skiff rm {IMAGE} --root {ROOT}")).ok("removal");
        device.wait_until_warm(&format!("--root {ROOT}"));
        // The daemon may ask again before it notices; each time some more of the filler comes.
        let came = self.relay.counts().down;
        assert!(came < WHOLE, "{came} bytes came of an image that was removed");
        self.pull_cold(device, IMAGE);
    }

    /// Pulls the update while the image is cold, removes the image, and lets the rest come.
    pub fn update(&self, device: &mut Device) {
        self.pull_cold(device, UPDATE);
        device.run(&format!("skiff rm {IMAGE} --root {ROOT}")).ok("removal");
        self.relay.release();
    }

    /// What an eager pull makes of the image or its update, and what is there when nothing is cold any more.
    pub fn trees(&self, device: &mut Device, updated: bool) -> [Tree; 2] {
        let image = if updated { UPDATE } else { IMAGE };
        device.wait_until_warm(&format!("--root {ROOT}"));
        device.run(&format!("kill $(pidof skiff); mkdir -p {EAGER}")).ok("the daemon's end");
        let url = guest_url(&self.accelerator.url());
        device.pull(&format!("--root {EAGER} --lazy=never"), &[image], &url).ok("an eager pull");
        [EAGER, ROOT].map(|root| device.mounted_tree(root, image))
    }
}
