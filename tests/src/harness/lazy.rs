//! The agent's daemon, and its holder.

use super::process::{Daemon, wait_for};
use super::skiff::Skiff;
use super::usage::Usage;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const BREAK_TIME: &str = "/proc/sys/fs/lease-break-time";

/// The kernel's setting is one for the machine, so one test of a process at a time has daemons: the one that holds
/// this.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running `skiff daemon`. When it is dropped, its holder goes, too, and the kernel's setting is put back.
#[derive(Debug)]
pub struct SkiffDaemon {
    daemon: Daemon,
    skiff: Skiff,
}

impl SkiffDaemon {
    /// Starts one for the state of this agent, and waits until it can be asked.
    pub fn start(skiff: &Skiff) -> Self {
        let (command, log) = skiff.daemon_command();
        Self::run(skiff, command, &log)
    }

    /// Starts one with more arguments.
    pub fn start_with(skiff: &Skiff, arguments: &[&str]) -> Self {
        let (mut command, log) = skiff.daemon_command();
        command.args(arguments);
        Self::run(skiff, command, &log)
    }

    /// Starts one of another file of the program.
    pub fn start_program(skiff: &Skiff, program: &Path) -> Self {
        let (daemon, log) = skiff.daemon_command();
        let mut command = Command::new(program);
        command.args(daemon.get_args());
        Self::run(skiff, command, &log)
    }

    /// Starts one that may have so many descriptors only.
    pub fn start_small(skiff: &Skiff, descriptors: u32) -> Self {
        let (daemon, log) = skiff.daemon_command();
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={descriptors}:{descriptors}"));
        command.arg(daemon.get_program()).args(daemon.get_args());
        Self::run(skiff, command, &log)
    }

    fn run(skiff: &Skiff, mut command: Command, log: &Path) -> Self {
        let mut daemon = Daemon::start(&mut command, log, false);
        let socket = skiff.state.join("daemon.sock");
        daemon.wait_until("skiff daemon", || UnixStream::connect(&socket).is_ok());
        Self { daemon, skiff: skiff.clone() }
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.daemon.id()
    }

    /// Its peak resident set so far, in bytes.
    pub fn peak_rss(&self) -> u64 {
        Usage::of(self.id()).peak_rss
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        self.daemon.said()
    }

    /// Process id of the holder.
    pub fn holder(&self) -> Option<Pid> {
        holder(&self.skiff.state)
    }

    /// Kills the holder, and waits until it is gone.
    pub fn kill_holder(&self) {
        let pid = self.holder().unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        let gone = || self.holder() != Some(pid);
        assert!(wait_for(Duration::from_secs(10), gone), "the holder does not end");
    }

    /// Kills the daemon (`SIGKILL`) and leaves its holder.
    pub fn kill(mut self) {
        let child = self.daemon.child();
        child.kill().unwrap();
        child.wait().unwrap();
        std::mem::forget(self);
    }

    /// Ends the daemon in an orderly way (`SIGTERM`), and leaves its holder if it stays. Gives what it said.
    pub fn stop(mut self) -> String {
        self.daemon.stop();
        let said = self.daemon.said();
        std::mem::forget(self);
        said
    }

    /// What `skiff status --json` says, line by line, and its exit code.
    pub fn status(&self) -> (Vec<serde_json::Value>, i32) {
        let outcome = self.skiff.run(&["status", "--json"]);
        let line = |line| serde_json::from_str(line).unwrap();
        (outcome.stdout.lines().map(line).collect(), outcome.code)
    }

    /// Cold files of all deployments.
    pub fn cold_files(&self) -> u64 {
        self.status().0.iter().filter_map(|line| line["cold_files"].as_u64()).sum()
    }

    /// Waits until nothing is cold.
    pub fn wait_until_warm(&self) {
        let warm = || !self.status().0.iter().any(|line| line["event"] == "hydrating");
        assert!(wait_for(Duration::from_secs(120), warm), "{:?}\n{}", self.status(), self.said());
    }
}

impl Drop for SkiffDaemon {
    fn drop(&mut self) {
        self.daemon.stop();
        end_holder(&self.skiff.state);
    }
}

/// Ends what daemons of this state have left: a holder, and the kernel's setting.
pub fn end_holder(state: &Path) {
    if let Some(pid) = holder(state) {
        let _ = kill_process(pid, Signal::KILL);
    }
    if let Ok(before) = fs::read_to_string(state.join("lease-break-time")) {
        let _ = fs::write(BREAK_TIME, before);
    }
}

fn holder(state: &Path) -> Option<Pid> {
    let socket = state.join("holder.sock").display().to_string();
    let is_holder = |process: &PathBuf| {
        let line = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
        line == format!("skiff\0holder\0--socket\0{socket}\0")
    };
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let found = processes.into_iter().find(is_holder)?;
    Pid::from_raw(found.file_name()?.to_str()?.parse().ok()?)
}
