//! Messages between daemon and holder.

use crate::cold::Inode;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSlice, IoSliceMut, Result};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::mem::MaybeUninit;

/// Most descriptors of one message; the kernel takes 253 (`SCM_MAX_FD`).
pub const MOST: usize = 200;
const KEY: usize = 16;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Descriptors to keep, or that were kept.
    Hold = 1,
    /// Files that need not be kept any more.
    Forget = 2,
    /// Asks for all descriptors.
    Take = 3,
    /// Ends their list.
    End = 4,
    /// Ends the holder.
    Quit = 5,
}

/// A message that came.
#[derive(Debug)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// The files that it speaks of.
    pub keys: Vec<Inode>,
    /// Their descriptors, as many, if it has some.
    pub files: Vec<OwnedFd>,
}

/// Sends a message of at most [`MOST`] keys, and as many descriptors or none.
pub fn send(to: impl AsFd, kind: Kind, keys: &[Inode], files: &[BorrowedFd<'_>]) -> Result<()> {
    let mut bytes = vec![kind as u8];
    for key in keys {
        bytes.extend_from_slice(&key.device.to_le_bytes());
        bytes.extend_from_slice(&key.number.to_le_bytes());
    }
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(Errno::TOOBIG);
    }
    sendmsg(to, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL).map(drop)
}

/// Receives a message. Nothing if the other side has gone; with `waits` false `EAGAIN` if there is none yet.
pub fn receive(from: impl AsFd, waits: bool) -> Result<Option<Message>> {
    let mut bytes = vec![0; 1 + KEY * MOST];
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let mut flags = RecvFlags::CMSG_CLOEXEC;
    flags.set(RecvFlags::DONTWAIT, !waits);
    let received = recvmsg(from, &mut parts, &mut control, flags)?;
    let mut files = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            files.extend(rights);
        }
    }
    let Some((kind, keys)) = bytes[..received.bytes].split_first() else { return Ok(None) };
    let kind = match kind {
        1 => Kind::Hold,
        2 => Kind::Forget,
        3 => Kind::Take,
        4 => Kind::End,
        5 => Kind::Quit,
        _ => return Err(Errno::BADMSG),
    };
    let number = |bytes: &[u8]| bytes.first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b));
    let key = |key: &[u8]| Inode { device: number(key), number: number(&key[8..]) };
    let keys: Vec<Inode> = keys.chunks_exact(KEY).map(key).collect();
    // Fewer come if this process has too many descriptors.
    if kind == Kind::Hold && files.len() != keys.len() {
        return Err(Errno::MFILE);
    }
    Ok(Some(Message { kind, keys, files }))
}
