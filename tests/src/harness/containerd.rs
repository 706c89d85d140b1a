//! Stock containerd, with root, state and socket of its own.

use super::netns::NetNs;
use super::process::{Daemon, kill_users, run};
use super::sandbox::Sandbox;
use crate::compare::{Tree, Unpacked, report};
use crate::layout::{architecture, chain_id};
use rustix::mount::{UnmountFlags, unmount};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// Nothing but what the tests use; paths filled in for `@ROOT@`.
const CONFIG: &str = r#"
version = 2
root = "@ROOT@/root"
state = "@ROOT@/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "@ROOT@/containerd.sock"
[ttrpc]
  address = "@ROOT@/containerd.sock.ttrpc"
[debug]
  level = "info"
[plugins."io.containerd.internal.v1.opt"]
  path = "@ROOT@/opt"
[plugins."io.containerd.gc.v1.scheduler"]
  startup_delay = "10ms"
"#;

/// A running containerd.
#[derive(Debug)]
pub struct Containerd {
    daemon: Option<Daemon>,
    directory: PathBuf,
    netns: Option<String>,
    started: i64,
}

/// A tree as stock containerd unpacks it.
#[derive(Debug, Clone)]
pub struct Stock {
    /// The tree.
    pub tree: Tree,
    /// When it was unpacked.
    pub unpacked: Unpacked,
    /// Digest that the image record names.
    pub digest: String,
}

impl Stock {
    /// The first differences of another tree to it as text, or nothing.
    pub fn report(&self, other: &Tree) -> Option<String> {
        report(&self.tree, other, &self.unpacked)
    }
}

impl Containerd {
    /// Starts one with its files in the sandbox.
    pub fn start(sandbox: &Sandbox) -> Self {
        Self::at(&sandbox.directory("containerd"), None)
    }

    /// Starts one whose containers (with `--net-host`) live in this network namespace.
    pub fn start_in(sandbox: &Sandbox, netns: &NetNs) -> Self {
        Self::at(&sandbox.directory("containerd"), Some(netns.path()))
    }

    /// Starts one in a directory of the caller's.
    pub fn at(directory: &Path, netns: Option<String>) -> Self {
        let config = CONFIG.replace("@ROOT@", directory.to_str().unwrap());
        std::fs::write(directory.join("config.toml"), config).unwrap();
        let directory = directory.to_owned();
        let mut containerd = Self { daemon: None, directory, netns, started: now() };
        containerd.resume();
        containerd
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("containerd.sock")
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the overlayfs snapshotter's directories are.
    pub fn snapshots(&self) -> PathBuf {
        self.directory.join("root/io.containerd.snapshotter.v1.overlayfs/snapshots")
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.daemon.as_ref().unwrap().id()
    }

    /// `ctr` with these arguments.
    pub fn ctr_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.socket()).args(["--namespace", "default"]);
        command.args(arguments);
        command
    }

    /// Stops it. Containers run on.
    pub fn pause(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.stop();
        }
    }

    /// Starts it again.
    pub fn resume(&mut self) {
        let config = self.directory.join("config.toml");
        let mut command = match &self.netns {
            Some(netns) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={netns}")).arg("containerd");
                command
            }
            None => Command::new("containerd"),
        };
        command.arg("--config").arg(config);
        let mut daemon = Daemon::start(&mut command, &self.directory.join("log"), false);
        daemon.wait_until("containerd", || self.try_ctr(&["version"]).status.success());
        self.daemon = Some(daemon);
    }

    /// Runs `ctr`, whatever comes of it.
    pub fn try_ctr(&self, arguments: &[&str]) -> Output {
        let output = self.ctr_command(arguments).stdin(Stdio::null()).output();
        output.expect("ctr can't be run; tests/install.sh installs it")
    }

    /// Runs `ctr`, which must succeed; gives its standard output.
    pub fn ctr(&self, arguments: &[&str]) -> String {
        let output = self.try_ctr(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ctr {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A stock pull over plain HTTP.
    pub fn pull(&self, reference: &str) {
        self.ctr(&Self::pulling(reference));
    }

    /// `ctr`'s arguments for that.
    pub fn pulling(reference: &str) -> [&str; 6] {
        ["images", "pull", "--plain-http", "--snapshotter", "overlayfs", reference]
    }

    /// A stock pull, and the tree that it gives.
    pub fn stock(&self, reference: &str) -> Stock {
        self.pull(reference);
        self.unpacked(reference)
    }

    /// The same of an image for another platform, such as `linux/arm/v7`.
    pub fn stock_of(&self, reference: &str, platform: &str) -> Stock {
        let pull = ["images", "pull", "--plain-http", "--snapshotter", "overlayfs", "--platform"];
        self.ctr(&[&pull[..], &[platform, reference]].concat());
        self.unpacked(reference)
    }

    fn unpacked(&self, reference: &str) -> Stock {
        // Layers that images share were unpacked with the first of them.
        let unpacked = self.started..=now();
        Stock { tree: self.tree(reference), unpacked, digest: self.digest(reference) }
    }

    /// Names of its images.
    pub fn images(&self) -> Vec<String> {
        self.ctr(&["images", "ls", "-q"]).lines().map(str::to_owned).collect()
    }

    /// Names of its committed snapshots.
    pub fn committed(&self) -> Vec<String> {
        let list = self.ctr(&["snapshots", "ls"]);
        let committed = list.lines().filter(|line| line.trim_end().ends_with("Committed"));
        committed.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
    }

    /// Digest that an image record names.
    pub fn digest(&self, reference: &str) -> String {
        let list = self.ctr(&["images", "ls", &format!("name=={reference}")]);
        let word = list.split_whitespace().find(|word| word.starts_with("sha256:"));
        word.unwrap_or_else(|| panic!("containerd has no image {reference}:\n{list}")).to_owned()
    }

    /// A blob of its content store.
    pub fn blob(&self, digest: &str) -> Vec<u8> {
        let output = self.try_ctr(&["content", "get", digest]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "content {digest}: {said}");
        output.stdout
    }

    /// Name of an image's snapshot.
    pub fn chain_id(&self, reference: &str) -> String {
        chain_id(&self.digest(reference), architecture(), |digest| self.blob(digest))
    }

    /// Mounts an image's tree, read-only.
    pub fn mount(&self, reference: &str) -> Mounted<'_> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let key = format!("view-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let path = self.directory.join(&key);
        std::fs::create_dir(&path).unwrap();
        // Not a view: `ctr` gives that no label, and the garbage collector takes it.
        let (target, parent) = (path.to_str().unwrap(), self.chain_id(reference));
        let command = self.ctr(&["snapshots", "prepare", "--target", target, &key, &parent]);
        let mounted = Mounted { containerd: self, key, path };
        run("sh", &["-ec", &command.replacen(" -o ", " -o ro,", 1)]);
        mounted
    }

    /// An image's tree.
    pub fn tree(&self, reference: &str) -> Tree {
        Tree::read(&self.mount(reference).path).unwrap()
    }

    /// Removes an image and collects garbage.
    pub fn remove(&self, reference: &str) {
        self.ctr(&["images", "rm", "--sync", reference]);
    }

    /// Runs an image in the background, with the network of containerd's own namespace.
    pub fn container(&self, reference: &str, id: &str) -> Container<'_> {
        self.container_of(reference, id, &[])
    }

    /// The same with another command than the image's, if one is given.
    pub fn container_of(&self, reference: &str, id: &str, command: &[&str]) -> Container<'_> {
        let container = Container { containerd: self, id: id.to_owned() };
        let run = ["run", "-d", "--null-io", "--net-host", "--snapshotter", "overlayfs"];
        self.ctr(&[&run[..], &[reference, id], command].concat());
        container
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.pause();
        kill_users(&self.directory);
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

/// A mounted image.
#[derive(Debug)]
pub struct Mounted<'a> {
    containerd: &'a Containerd,
    key: String,
    /// Where.
    pub path: PathBuf,
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = unmount(&self.path, UnmountFlags::DETACH);
        self.containerd.try_ctr(&["snapshots", "rm", &self.key]);
        let _ = std::fs::remove_dir(&self.path);
    }
}

/// A running container.
#[derive(Debug)]
pub struct Container<'a> {
    containerd: &'a Containerd,
    id: String,
}

impl Container<'_> {
    /// Waits until its program has ended by itself.
    pub fn wait_for_end(&self) -> bool {
        super::wait_for(std::time::Duration::from_secs(60), || {
            let tasks = self.containerd.ctr(&["task", "ls"]);
            tasks.lines().any(|line| line.starts_with(&self.id) && line.ends_with("STOPPED"))
        })
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.containerd.try_ctr(&["task", "kill", "-s", "SIGKILL", &self.id]);
        super::wait_for(std::time::Duration::from_secs(5), || {
            self.containerd.try_ctr(&["task", "rm", &self.id]).status.success()
        });
        self.containerd.try_ctr(&["container", "rm", &self.id]);
    }
}
