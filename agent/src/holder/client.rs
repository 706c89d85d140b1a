//! The daemon's side of the holder.

use super::HolderError;
use super::keep::packets;
use super::message::{self, Kind, MOST};
use crate::cold::Inode;
use crate::sys;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::connect;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::process::{Pid, WaitOptions, waitpid};
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a holder may take to answer; it does nothing else.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to the holder.
#[derive(Debug)]
pub struct Holder {
    path: PathBuf,
    socket: OwnedFd,
    /// The process, if it was started here.
    child: Option<Pid>,
}

impl Holder {
    /// Connects to the holder of this socket; starts one if there is none, unless `external`: then it is
    /// waited for (a unit of its own, under systemd).
    pub fn connect(path: &Path, external: bool) -> Result<Self, HolderError> {
        let started = Instant::now();
        let mut child = None;
        loop {
            match try_connect(path) {
                Ok(socket) => {
                    return Ok(Self { path: path.to_owned(), socket, child });
                }
                Err(_) if started.elapsed() < PATIENCE => {}
                Err(_) => return Err(HolderError::Silent { path: path.to_owned() }),
            }
            if !external && child.is_none() {
                child = Some(spawn(path).map_err(|e| HolderError::io(path, e))?);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// All descriptors that it has.
    pub fn take(&self) -> Result<Vec<(Inode, OwnedFd)>, HolderError> {
        let failed = |e| HolderError::io(&self.path, e);
        message::send(&self.socket, Kind::Take, &[], &[]).map_err(failed)?;
        let mut all = Vec::new();
        loop {
            let message = message::receive(&self.socket, true).map_err(failed)?;
            let message = message.ok_or_else(|| HolderError::Silent { path: self.path.clone() })?;
            match message.kind {
                Kind::Hold => all.extend(message.keys.into_iter().zip(message.files)),
                _ => return Ok(all),
            }
        }
    }

    /// Gives it these descriptors, too.
    pub fn hold<'f>(&self, files: impl Iterator<Item = &'f OwnedFd>) -> Result<(), HolderError> {
        let files: Vec<&OwnedFd> = files.collect();
        for some in files.chunks(MOST) {
            let keys = some.iter().map(Inode::of).collect::<rustix::io::Result<Vec<_>>>();
            let keys = keys.map_err(|e| HolderError::io(&self.path, e))?;
            let files: Vec<BorrowedFd<'_>> = some.iter().map(|file| file.as_fd()).collect();
            message::send(&self.socket, Kind::Hold, &keys, &files)
                .map_err(|e| HolderError::io(&self.path, e))?;
        }
        Ok(())
    }

    /// These files need not be kept any more.
    pub fn forget(&self, inodes: &[Inode]) -> Result<(), HolderError> {
        inodes.chunks(MOST).try_for_each(|some| {
            message::send(&self.socket, Kind::Forget, some, &[])
                .map_err(|e| HolderError::io(&self.path, e))
        })
    }

    /// Ends it.
    pub fn quit(&self) {
        // If it is gone, so much the better.
        let _ = message::send(&self.socket, Kind::Quit, &[], &[]);
    }

    /// Resolves when the holder is gone.
    pub async fn gone(&self) -> io::Result<()> {
        // Only its readiness is asked, so it may go on to block elsewhere.
        let socket = smol::Async::new_nonblocking(self.socket.as_fd().try_clone_to_owned()?)?;
        // It says nothing unless asked, so the first thing to read is its end.
        socket.readable().await
    }
}

fn try_connect(path: &Path) -> rustix::io::Result<OwnedFd> {
    let (socket, address) = packets(path)?;
    connect(&socket, &address)?;
    for timeout in [Timeout::Recv, Timeout::Send] {
        set_socket_timeout(&socket, timeout, Some(PATIENCE))?;
    }
    Ok(socket)
}

impl Drop for Holder {
    fn drop(&mut self) {
        // One that has died leaves no zombie; a living one is init's.
        if let Some(child) = self.child {
            let _ = waitpid(Some(child), WaitOptions::NOHANG);
        }
    }
}

fn spawn(path: &Path) -> io::Result<Pid> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let arguments = [c"skiff".to_owned(), c"holder".to_owned(), c"--socket".to_owned(), path];
    Ok(sys::spawn(c"/proc/self/exe", &arguments)?)
}
