//! Signals as something to read from (`signalfd(2)`).

use super::checked;
use rustix::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::{Errno, Result, read};
use std::mem::MaybeUninit;

/// What the kernel sends when somebody opens a file under a lease: a real-time signal, so that each is
/// queued with its descriptor.
pub fn lease_signal() -> i32 {
    libc::SIGRTMIN() + 1
}

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Somebody waits for the file with this descriptor number.
    Lease(i32),
    /// Signals were lost, because the queue was full (`SIGIO`).
    Lost,
    /// The process is to end (`SIGTERM`, `SIGINT`).
    End,
}

/// The signals of this module, blocked for the whole process and read here instead.
#[derive(Debug)]
pub struct Signals(OwnedFd);

/// Bytes of a `struct signalfd_siginfo`.
const INFO: usize = 128;

impl Signals {
    /// Blocks the signals and opens the descriptor. Call it before any thread is made: threads inherit
    /// what is blocked.
    pub fn open() -> Result<Self> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset initialises the set, and the others get it after that; nothing else
        // has it.
        let fd = unsafe {
            checked(libc::sigemptyset(set.as_mut_ptr()))?;
            for signal in [lease_signal(), libc::SIGIO, libc::SIGTERM, libc::SIGINT] {
                checked(libc::sigaddset(set.as_mut_ptr(), signal))?;
            }
            match libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) {
                0 => {}
                errno => return Err(Errno::from_raw_os_error(errno)),
            }
            checked(libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?
        };
        // SAFETY: the descriptor was opened just now and is owned by nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next signal; `EAGAIN` if none has come.
    pub fn next(&self) -> Result<Signal> {
        let mut info = [0; INFO];
        if read(&self.0, &mut info)? != INFO {
            return Err(Errno::IO);
        }
        // `ssi_signo` at 0, `ssi_fd` at 20.
        let word = |at: usize| info[at..].first_chunk::<4>().map_or(0, |w| i32::from_ne_bytes(*w));
        Ok(match word(0) {
            signal if signal == lease_signal() => Signal::Lease(word(20)),
            libc::SIGIO => Signal::Lost,
            _ => Signal::End,
        })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
