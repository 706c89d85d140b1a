//! The agent, run to its end.

use super::process::wait_for;
use super::sandbox::Sandbox;
use super::usage::peak_of_child;
use crate::compare::Tree;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Variables that name proxies.
const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"];

/// How to run the agent: its target and state.
#[derive(Debug, Clone)]
pub struct Skiff {
    options: Vec<OsString>,
    environment: Vec<(&'static str, String)>,
    /// Its state directory.
    pub state: PathBuf,
    logs: PathBuf,
}

/// A finished run.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Peak resident set, in bytes, sampled every 2 ms (`VmHWM`). `ru_maxrss` would count the pages of the
    /// test process, which a started child has until it calls `exec`.
    pub peak_rss: u64,
}

impl Skiff {
    /// Works on a plain directory.
    pub fn root(sandbox: &Sandbox, root: &Path) -> Self {
        let state = root.join("skiff");
        Self {
            options: vec!["--root".into(), root.into()],
            environment: Vec::new(),
            state,
            logs: sandbox.directory("skiff-logs"),
        }
    }

    /// Works on a containerd's socket, in the namespace `default`.
    pub fn containerd(sandbox: &Sandbox, socket: &Path) -> Self {
        let state = sandbox.directory("skiff-state");
        Self {
            options: vec![
                "--containerd".into(),
                socket.into(),
                "--state".into(),
                state.clone().into(),
            ],
            environment: Vec::new(),
            state,
            logs: sandbox.directory("skiff-logs"),
        }
    }

    /// The program.
    pub fn program() -> PathBuf {
        super::program("SKIFF_BIN", "skiff")
    }

    /// What the peak of its resident set may be, in bytes: 6 MiB of the static program, which is what devices have. One that
    /// is linked to libraries has those in it, too, 2 MiB, and maps more of its own code.
    pub fn most_rss() -> u64 {
        let program = std::fs::read(Self::program()).unwrap();
        // An ELF file names its interpreter right behind its headers.
        let head = &program[..program.len().min(4096)];
        let is_static = !head.windows(7).any(|name| name == b"/ld-lin");
        if is_static { 6 << 20 } else { 8 << 20 }
    }

    /// Whether its help has this text.
    pub fn has(text: &str) -> bool {
        super::run(Self::program(), &["--help"]).contains(text)
    }

    /// The options that say where it works.
    pub fn options(&self) -> &[OsString] {
        &self.options
    }

    /// With these variables, and so its daemon.
    #[must_use]
    pub fn with_environment(mut self, variables: &[(&'static str, &str)]) -> Self {
        self.environment =
            variables.iter().map(|&(name, value)| (name, value.to_owned())).collect();
        self
    }

    /// The proxies are those of the test, not of whoever runs it.
    fn set_environment<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        for name in PROXIES {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)))
    }

    /// With its state elsewhere.
    #[must_use]
    pub fn with_state(mut self, state: &Path) -> Self {
        self.options.extend(["--state".into(), state.into()]);
        state.clone_into(&mut self.state);
        self
    }

    /// `skiff daemon` for this state; its log lies where this one's logs do.
    pub(super) fn daemon_command(&self) -> (Command, PathBuf) {
        let mut command = Command::new(super::program("SKIFF_BIN", "skiff"));
        self.set_environment(command.arg("daemon").arg("--state").arg(&self.state));
        (command, self.logs.join("daemon.log"))
    }

    /// Runs it with these arguments.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        self.start(arguments).finish()
    }

    /// `skiff pull IMAGE --accelerator URL --json`.
    pub fn pull(&self, images: &[&str], url: &str) -> Outcome {
        let mut arguments = vec!["pull", "--json", "--accelerator", url];
        arguments.extend(images);
        self.run(&arguments)
    }

    /// The tree of an image, as `skiff mount` shows it.
    pub fn tree(&self, image: &str) -> Result<Tree, String> {
        let point = self.logs.join("mounted");
        fs::create_dir_all(&point).unwrap();
        let mounted = self.run(&["mount", image, point.to_str().unwrap()]);
        if mounted.code != 0 {
            return Err(format!("mount: skiff ended with {}: {}", mounted.code, mounted.stderr));
        }
        let tree = Tree::read(&point).unwrap();
        unmount(&point, UnmountFlags::DETACH).unwrap();
        Ok(tree)
    }

    /// With these arguments, to be run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(Self::program());
        self.set_environment(&mut command).args(arguments).args(&self.options);
        command
    }

    /// Starts it; [`Running::finish`] waits.
    pub fn start(&self, arguments: &[&str]) -> Running {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let base = self.logs.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
        let (out, err) = (base.with_extension("out"), base.with_extension("err"));
        let child = self
            .command(arguments)
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap_or_else(|e| panic!("can't start skiff: {e}"));
        Running { child, out, err }
    }
}

/// A run that isn't finished.
#[derive(Debug)]
pub struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    /// Waits for its end, ten minutes at most.
    pub fn finish(mut self) -> Outcome {
        let mut peak_rss = 0;
        let code = loop {
            peak_rss = peak_rss.max(peak_of_child(self.child.id()).unwrap_or(0));
            if let Some(status) = self.child.try_wait().unwrap() {
                break status.code().unwrap_or(-1);
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        Outcome { code, stdout: read(&self.out), stderr: read(&self.err), peak_rss }
    }

    /// Sends it what Ctrl-C does (`SIGINT`), and gives the exit code; none if the signal ended it.
    pub fn interrupt(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        self.child.wait().unwrap().code()
    }

    /// Waits until it has said something, on either stream.
    pub fn wait_for_output(&self) -> bool {
        let length = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        wait_for(Duration::from_secs(20), || length(&self.out) + length(&self.err) > 0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Outcome {
    /// Fails unless it succeeded; `row` names the case.
    #[track_caller]
    pub fn ok(self, row: &str) -> Self {
        assert!(self.code == 0, "{row}: skiff ended with {}: {}", self.code, self.stderr);
        self
    }

    /// The last line of its JSON.
    pub fn done(&self) -> Value {
        let line = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(line)
            .unwrap_or_else(|e| panic!("skiff's last line isn't JSON ({e}): {line:?}"))
    }

    /// A number of the last line.
    pub fn number(&self, field: &str) -> u64 {
        let done = self.done();
        done[field].as_u64().unwrap_or_else(|| panic!("no number {field} in {done}"))
    }
}
