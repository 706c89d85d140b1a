//! What processes take of the machine: time of processors, and memory.

use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::fs::{read_link, read_to_string};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What a process has taken so far, or until its end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Time on processors: its own, the kernel's for it, and that of the children that it has waited for.
    pub cpu: Duration,
    /// The peak of its resident set, in bytes.
    pub peak_rss: u64,
}

impl Usage {
    /// What a process has taken that runs.
    pub fn of(pid: u32) -> Self {
        Self { cpu: cpu(pid).unwrap(), peak_rss: peak_rss(pid).unwrap() }
    }

    /// What a command takes, which must succeed. The peak is looked for every 2 ms.
    pub fn run(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("can't run {command:?}: {error}"));
        let (pid, id) = (child.id(), WaitId::Pid(Pid::from_child(&child)));
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let mut usage = Self::default();
        while waitid(id.clone(), ended).unwrap().is_none() {
            usage.peak_rss = usage.peak_rss.max(peak_of_child(pid).unwrap_or(0));
            std::thread::sleep(Duration::from_millis(2));
        }
        // A process that has ended keeps its times until it is waited for.
        usage.cpu = cpu(pid).unwrap();
        assert!(child.wait().unwrap().success(), "{command:?} failed");
        usage
    }
}

/// `utime`, `stime`, `cutime` and `cstime` of proc_pid_stat(5).
fn cpu(pid: u32) -> Option<Duration> {
    let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // A name may have spaces and brackets in it.
    let (_, fields) = stat.rsplit_once(") ")?;
    let times = fields.split(' ').skip(11).take(4);
    let ticks: u64 = times.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Some(Duration::from_millis(ticks * 1000 / clock_ticks_per_second()))
}

/// The peak of a child's resident set so far, in bytes. Until it calls `exec` its pages are the test's own, and do not count.
pub(super) fn peak_of_child(pid: u32) -> Option<u64> {
    let program = |pid: &str| read_link(format!("/proc/{pid}/exe")).ok();
    if program(&pid.to_string()) == program("self") { None } else { peak_rss(pid) }
}

/// `VmHWM` of proc_pid_status(5); none of a process that has ended.
fn peak_rss(pid: u32) -> Option<u64> {
    let status = read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}
