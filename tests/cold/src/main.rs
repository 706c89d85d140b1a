//! `skiff-cold` runs the cases on a device, each in a process of its own.
//!
//! ```text
//! skiff-cold cases LAYER BASE SCRATCH    all that can be run here; prints a line for each: its name, and how it went.
//!                                        The tree of case N is LAYER/N.
//! skiff-cold no-signals PID              no signal of a lease reaches this process any more
//! skiff-cold as-user PROGRAM [ARG...]    runs a program as an ordinary user
//! hello, interpreter                     prints hello
//! euid                                   prints the effective user, and the effective capabilities
//! ```
//!
//! Exit codes: 0 all went well, 1 not all, 2 wrong usage.
#![allow(clippy::unwrap_used, reason = "tests")]

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use skiff_cold::{Case, Ground, Needs, cases};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let name = arguments.first().and_then(|path| path.rsplit('/').next());
    match (name, arguments.get(1..).unwrap_or_default()) {
        (Some("hello" | "interpreter"), _) => println!("hello"),
        (Some("euid"), _) => print!("{}", privileges()),
        (_, ["cases", layer, base, scratch]) => return all(layer, base, scratch),
        (_, ["case", number, layer, base, scratch]) => one(number, layer, base, scratch),
        (_, ["no-signals", pid]) => {
            let limit = Rlimit { current: Some(0), maximum: Some(0) };
            let pid = pid.parse().ok().and_then(Pid::from_raw);
            prlimit(pid, Resource::Sigpending, limit).unwrap();
        }
        (_, ["as-user", program, arguments @ ..]) => {
            let status = Command::new(program).args(arguments).uid(1000).gid(1000).status();
            return code(status.is_ok_and(|status| status.success()));
        }
        _ => {
            eprintln!("skiff-cold: wrong usage; the first lines of its source say what there is");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn code(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The last first: an agent that reads ahead must find no walk in this.
fn all(layer: &str, base: &str, scratch: &str) -> ExitCode {
    let runc = Path::new("/usr/sbin/runc").exists() || Path::new("/usr/bin/runc").exists();
    let mut well = true;
    for (number, case) in cases().iter().enumerate().rev() {
        let can = match case.needs {
            Needs::Nothing | Needs::Busybox | Needs::Compiled => true,
            Needs::Runc => runc,
        };
        if !can {
            continue;
        }
        let number = number.to_string();
        let arguments = ["case", &number, layer, base, scratch];
        let status = Command::new("/proc/self/exe").args(arguments).status();
        let passed = status.is_ok_and(|status| status.success());
        println!("{}: {}", case.name, if passed { "well" } else { "FAILED" });
        well &= passed;
    }
    code(well)
}

fn one(number: &str, layer: &str, base: &str, scratch: &str) {
    let at = |directory: &str| Path::new(directory).join(number);
    let seed: u64 = number.parse().unwrap();
    let ground = Ground::mount(&at(layer), &at(base), &at(scratch), seed);
    let Case { run, .. } = cases()[usize::try_from(seed).unwrap()];
    assert!(ground.is_cold("f"), "f is not cold");
    run(&ground);
    ground.unmount();
}

fn privileges() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let user = line("Uid:").unwrap().split_whitespace().nth(1).unwrap();
    format!("{user} {}\n", line("CapEff:").unwrap().trim())
}
