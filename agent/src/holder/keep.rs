//! The holder's side: keeps what it gets.

use super::HolderError;
use super::message::{self, Kind, MOST, Message};
use crate::cold::{Inode, most_cold_files};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, Result};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen,
    socket_with,
};
use std::collections::BTreeMap;
use std::path::Path;

/// Daemons that may be connected at once: the living one, and its successor.
const DAEMONS: usize = 4;

/// A socket of packets, and the address at this path.
pub(super) fn packets(path: &Path) -> Result<(OwnedFd, SocketAddrUnix)> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    Ok((socket, SocketAddrUnix::new(path)?))
}

/// Keeps descriptors until it is told to end.
pub fn keep(path: &Path) -> std::result::Result<(), HolderError> {
    let failed = |errno: Errno| HolderError::io(path, errno);
    // Whoever ends the daemon's session must not end this one.
    let _ = rustix::process::setsid();
    most_cold_files();
    let (probe, address) = packets(path).map_err(failed)?;
    if connect(&probe, &address).is_ok() {
        return Err(HolderError::Running { path: path.to_owned() });
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(HolderError::io(path, error));
        }
        _ => {}
    }
    let (listener, address) = packets(path).map_err(failed)?;
    bind(&listener, &address).map_err(failed)?;
    listen(&listener, 4).map_err(failed)?;
    serve(&listener).map_err(failed)
}

fn serve(listener: &OwnedFd) -> Result<()> {
    let mut kept: BTreeMap<Inode, OwnedFd> = BTreeMap::new();
    let mut daemons: Vec<OwnedFd> = Vec::new();
    loop {
        let watched = daemons.iter().chain([listener]);
        let mut polled: Vec<PollFd<'_>> =
            watched.map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        match poll(&mut polled, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
        let ready: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(polled);
        let mut gone = Vec::new();
        for (index, daemon) in daemons.iter().enumerate().filter(|(index, _)| ready[*index]) {
            match hear(daemon, &mut kept) {
                Ok(Next::GoOn) => {}
                Ok(Next::End) => return Ok(()),
                // What it sent so far is kept, whatever has become of it.
                Ok(Next::Gone) | Err(_) => gone.push(index),
            }
        }
        for index in gone.into_iter().rev() {
            daemons.remove(index);
        }
        if ready.last() == Some(&true)
            && let Ok(daemon) = accept_with(listener, SocketFlags::CLOEXEC)
        {
            daemons.push(daemon);
            if daemons.len() > DAEMONS {
                daemons.remove(0);
            }
        }
    }
}

enum Next {
    GoOn,
    Gone,
    End,
}

/// Takes all that a daemon has said so far. The older ones come first: what a dead one said last must be known
/// before its successor gets an answer.
fn hear(daemon: &OwnedFd, kept: &mut BTreeMap<Inode, OwnedFd>) -> Result<Next> {
    loop {
        let message = match message::receive(daemon, false) {
            Err(Errno::AGAIN) => return Ok(Next::GoOn),
            message => message?,
        };
        match take(message, daemon, kept)? {
            Next::GoOn => {}
            next => return Ok(next),
        }
    }
}

fn take(
    message: Option<Message>,
    daemon: &OwnedFd,
    kept: &mut BTreeMap<Inode, OwnedFd>,
) -> Result<Next> {
    let Some(message) = message else { return Ok(Next::Gone) };
    match message.kind {
        Kind::Hold => kept.extend(message.keys.into_iter().zip(message.files)),
        Kind::Forget => {
            for key in &message.keys {
                kept.remove(key);
            }
        }
        Kind::Take => {
            let all: Vec<(&Inode, &OwnedFd)> = kept.iter().collect();
            for some in all.chunks(MOST) {
                let keys: Vec<Inode> = some.iter().map(|(key, _)| **key).collect();
                let files: Vec<BorrowedFd<'_>> = some.iter().map(|(_, fd)| fd.as_fd()).collect();
                message::send(daemon, Kind::Hold, &keys, &files)?;
            }
            message::send(daemon, Kind::End, &[], &[])?;
        }
        Kind::Quit => return Ok(Next::End),
        Kind::End => return Err(Errno::BADMSG),
    }
    Ok(Next::GoOn)
}
