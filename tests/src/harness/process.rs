//! Starting programs, and making sure that they end.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// A process in the background, in a process group of its own.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command`, its output going to `log`. Standard output is piped where `piped` says so.
    pub fn start(command: &mut Command, log: &Path, piped: bool) -> Self {
        let out = File::create(log).unwrap();
        let mut tied = tied(command);
        tied.stdin(Stdio::null()).stderr(out.try_clone().unwrap()).process_group(0);
        tied.stdout(if piped { Stdio::piped() } else { out.into() });
        Self { child: spawn(tied), log: log.to_owned() }
    }

    /// The process, for its standard output.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `ready`; fails if the process ends before, or after half a minute.
    pub fn wait_until(&mut self, what: &str, mut ready: impl FnMut() -> bool) {
        let start = Instant::now();
        while !ready() {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{what} ended at once ({status}):\n{}", self.said());
            }
            assert!(start.elapsed().as_secs() < 30, "{what} is not ready:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it to end, and waits.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let start = Instant::now();
        while start.elapsed().as_secs() < 5 {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = Pid::from_raw(self.child.id().try_into().unwrap()) {
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}

/// The command, to be killed by the kernel when this process ends.
fn tied(command: &Command) -> Command {
    let mut tied = Command::new("setpriv");
    tied.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => tied.env(name, value),
            None => tied.env_remove(name),
        };
    }
    tied
}

/// The kernel's "parent death signal" comes when the *thread* that started a process ends, and
/// each test is a thread. So one thread that never ends starts all: in the network namespace of this process, whichever
/// the thread is in that asks first.
fn spawn(command: Command) -> Child {
    type Order = (Command, Sender<std::io::Result<Child>>);
    static STARTER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        std::thread::spawn(move || {
            // The process's first thread never leaves it.
            let own = File::open("/proc/self/ns/net").unwrap();
            move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            for (mut command, reply) in inbox {
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let name = format!("{command:?}");
    let (reply, answer) = channel();
    starter.lock().unwrap().send((command, reply)).unwrap();
    answer.recv().unwrap().unwrap_or_else(|e| panic!("can't start {name}: {e}"))
}

/// Runs a command to its end.
pub fn output(program: impl AsRef<OsStr>, arguments: &[&str]) -> Output {
    let program = program.as_ref();
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    output.unwrap_or_else(|e| panic!("can't run {program:?}: {e}; tests/install.sh installs it"))
}

/// Runs a command that must succeed; gives its standard output.
pub fn run(program: impl AsRef<OsStr>, arguments: &[&str]) -> String {
    let program = program.as_ref();
    let output = output(program, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program:?} {arguments:?} failed: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until `ready`, at most `limit`. Says whether it got so.
pub fn wait_for(limit: Duration, mut ready: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !ready() {
        if start.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Kills the processes that have a path below `directory` in their command line: containerd's shims,
/// which outlive it. The directory is one sandbox's, so they are ours.
pub(super) fn kill_users(directory: &Path) {
    let needle = format!("{}/", directory.display()).into_bytes();
    let Ok(entries) = fs::read_dir("/proc") else { return };
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if pid.unsigned_abs() == std::process::id() {
            continue;
        }
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if line.windows(needle.len()).any(|window| window == needle)
            && let Some(pid) = Pid::from_raw(pid)
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
