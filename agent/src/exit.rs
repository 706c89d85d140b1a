//! The one place where errors become a sentence and an exit code (listed in `skiff --help`).

use crate::applications::ApplicationError;
use crate::apply::ApplyTrouble;
use crate::cli::UsageError;
use crate::daemon::DaemonError;
use crate::holder::HolderError;
use crate::http::HttpError;
use crate::pull::{PullError, PullTrouble};
use crate::state::{StateError, StateTrouble};
use crate::target::TargetError;
use crate::trace::TraceError;
use crate::updates::RollbackError;
use rustix::io::Errno;
use skiff_protocol::response::FailureCode;
use std::error::Error;
use std::process::ExitCode;
use thiserror::Error;

/// Why a command failed.
#[derive(Debug, Error)]
pub enum Failed {
    /// The binary is for other processors.
    #[error(
        "this processor has no CRC32 instructions, which this binary needs; build one without (cross/config.toml)"
    )]
    Processor,
    /// The command line.
    #[error(transparent)]
    Usage(UsageError),
    /// No accelerator is named.
    #[error("no accelerator is given; use --accelerator URL or set SKIFF_ACCELERATOR")]
    NoAccelerator,
    /// Options that the daemon does not have.
    #[error(
        "a daemon runs, which has other options of the connection (--ca, --pin, --tree-key, --token-file, --cert, \
         --key; see skiff --help); give them to it, leave them out here, or use --lazy=never"
    )]
    OtherSecurity,
    /// A pull.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// An application.
    #[error(transparent)]
    Application(#[from] ApplicationError),
    /// A rollback of an image.
    #[error(transparent)]
    Rollback(#[from] RollbackError),
    /// A trace.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The daemon.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The holder.
    #[error(transparent)]
    Holder(#[from] HolderError),
    /// Cold files were open while nobody guarded them.
    #[error("containers may have read zeros; restart those that are named above")]
    Zeros,
    /// A verification found something.
    #[error("something on this device is not as it should be")]
    Wrong,
    /// A verification found something, and mended it.
    #[error("something on this device was not as it should be, and is mended")]
    Mended,
    /// Nobody knows which files are cold.
    #[error(
        "{0} pulls are not all there, and no daemon brings the rest; start it (skiff daemon), then repair"
    )]
    NoDaemon(usize),
    /// What a daemon did for this process ended so, and was said already.
    #[error("the daemon could not do it")]
    Relayed(u8),
}

/// What went wrong, with the whole chain of causes.
pub fn sentence(failed: &dyn Error) -> String {
    let mut sentence = failed.to_string();
    let mut cause = failed.source();
    while let Some(error) = cause {
        sentence.push_str(": ");
        sentence.push_str(&error.to_string());
        cause = error.source();
    }
    sentence
}

/// Says what went wrong and what to do, and gives the exit code.
pub fn told(failed: &Failed) -> (String, u8) {
    let mut sentence = sentence(failed);
    if let Some(hint) = disk_trouble(failed) {
        sentence.push_str(hint);
    }
    (format!("skiff: {sentence}"), code(failed))
}

/// Says what went wrong on standard error, and gives the exit code.
pub fn say(failed: &Failed) -> ExitCode {
    let (sentence, code) = told(failed);
    eprintln!("{sentence}");
    ExitCode::from(code)
}

fn code(failed: &Failed) -> u8 {
    if disk_trouble(failed).is_some() {
        return 8;
    }
    match failed {
        Failed::Processor => 1,
        Failed::Usage(_) | Failed::NoAccelerator | Failed::OtherSecurity => 2,
        Failed::Application(error) => application_code(error),
        Failed::Rollback(RollbackError::State(error)) => state_code(error),
        Failed::Rollback(RollbackError::Target(error)) => target_code(error),
        Failed::Trace(error) => trace_code(error),
        Failed::Target(error) => target_code(error),
        Failed::State(error) => state_code(error),
        Failed::Daemon(_) | Failed::Holder(_) | Failed::NoDaemon(_) => 10,
        Failed::Wrong => 15,
        Failed::Mended => 16,
        Failed::Zeros => 11,
        Failed::Relayed(code) => *code,
        Failed::Pull(error) => match error.trouble() {
            PullTrouble::NotLazy(_) | PullTrouble::Holder(_) => 10,
            PullTrouble::Request(_) => 2,
            PullTrouble::Http(error) => http_code(error),
            PullTrouble::Link { .. } | PullTrouble::OutOfTime | PullTrouble::GivenUp => 4,
            PullTrouble::NoDelta { .. } => 5,
            PullTrouble::Unsigned { .. } => 14,
            PullTrouble::Refused { code, .. } => match code {
                FailureCode::NotFound | FailureCode::NoPlatform => 3,
                FailureCode::BadImage => 6,
                FailureCode::Denied => 13,
                _ => 5,
            },
            PullTrouble::Stream { .. }
            | PullTrouble::Deflate(_)
            | PullTrouble::Unexpected(_)
            | PullTrouble::Device(_)
            | PullTrouble::Budget
            | PullTrouble::Blob { .. }
            | PullTrouble::Mismatch { .. }
            | PullTrouble::Document { .. } => 6,
            PullTrouble::Apply(error) => apply_code(error.trouble()),
            PullTrouble::Spool(_) | PullTrouble::Directory { .. } => 8,
            PullTrouble::Application(error) => application_code(error),
            PullTrouble::State(error) => state_code(error),
            PullTrouble::Target(error) => target_code(error),
        },
    }
}

fn apply_code(trouble: &ApplyTrouble) -> u8 {
    match trouble {
        ApplyTrouble::Path { .. }
        | ApplyTrouble::Held { .. }
        | ApplyTrouble::Unlinkable { .. }
        | ApplyTrouble::Opened { .. } => 1,
        ApplyTrouble::Spool(_) | ApplyTrouble::Writeback(_) => 8,
        ApplyTrouble::Refused { .. }
        | ApplyTrouble::WrongContent { .. }
        | ApplyTrouble::Contradiction(_) => 6,
    }
}

fn http_code(error: &HttpError) -> u8 {
    match error {
        HttpError::BadUrl { .. } | HttpError::BadProxy | HttpError::File { .. } => 2,
        #[cfg(feature = "tls")]
        HttpError::NoRoots | HttpError::Setup(_) => 2,
        HttpError::Connect { .. }
        | HttpError::Exchange { .. }
        | HttpError::Unavailable { .. }
        | HttpError::Proxy { .. }
        | HttpError::Strange { .. } => 4,
        #[cfg(feature = "tls")]
        HttpError::Untrusted { .. } => 12,
        HttpError::Denied { .. } => 13,
    }
}

fn trace_code(error: &TraceError) -> u8 {
    match error {
        TraceError::NoContainerd => 2,
        TraceError::NoContainer(_) | TraceError::Nothing | TraceError::Unknown { .. } => 3,
        TraceError::Http(error) => http_code(error),
        TraceError::Refused { .. } | TraceError::Report(_) => 5,
        TraceError::Containerd(_) => 7,
        TraceError::Spool { .. } => 8,
        TraceError::Fanotify(_) | TraceError::Mounts(_) | TraceError::Layers { .. } => 1,
        TraceError::Target(error) => target_code(error),
        TraceError::Application(error) => application_code(error),
    }
}

fn application_code(error: &ApplicationError) -> u8 {
    match error {
        ApplicationError::Unknown(_) | ApplicationError::NothingBefore(_) => 3,
        ApplicationError::Elsewhere { .. } => 1,
        ApplicationError::State(error) => state_code(error),
        ApplicationError::Target(error) => target_code(error),
    }
}

fn state_code(error: &StateError) -> u8 {
    match error.trouble() {
        StateTrouble::Busy { .. } => 9,
        StateTrouble::Io { .. } | StateTrouble::Damaged { .. } => 8,
    }
}

fn target_code(error: &TargetError) -> u8 {
    if error.is_unknown_image() { 3 } else { 7 }
}

/// What to do about a disk, if one is behind the failure.
fn disk_trouble(failed: &Failed) -> Option<&'static str> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(failed);
    while let Some(error) = cause {
        let errno = match error.downcast_ref::<std::io::Error>() {
            Some(error) => error.raw_os_error(),
            None => error.downcast_ref::<Errno>().map(|errno| errno.raw_os_error()),
        };
        match errno.map(Errno::from_raw_os_error) {
            Some(Errno::NOSPC | Errno::DQUOT) => {
                return Some("; free some space (skiff rm, skiff gc) and run it again");
            }
            Some(Errno::ROFS) => return Some("; mount the disk writable and run it again"),
            Some(Errno::IO) => return Some("; check the disk"),
            _ => {}
        }
        cause = error.source();
    }
    None
}
