//! Copies from file to file, as much as it can be within the kernel.

use super::hash::PIECE;
use crate::sync::{CHUNK, Paced};
use rustix::fd::OwnedFd;
use rustix::fs::{copy_file_range, ioctl_ficlone};
use rustix::io::Errno;

/// Copies `size` bytes from the start of one file to the start of another: shares the blocks
/// where the file system can (`FICLONE`), copies within the kernel where it can
/// (`copy_file_range`), else reads and writes. `EIO` if the source is too short.
pub fn copy_bytes(from: &OwnedFd, to: &OwnedFd, size: u64) -> rustix::io::Result<()> {
    if ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let paced = Paced::default();
    let (mut read_at, mut write_at) = (0, 0);
    while write_at < size {
        let rest = usize::try_from((size - write_at).min(CHUNK)).unwrap_or(PIECE);
        match copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), rest) {
            Ok(0) => return Err(Errno::IO),
            Ok(copied) => paced.wrote(to, copied)?,
            Err(Errno::NOSYS | Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP) => {
                return copy_by_hand(from, to, write_at, size);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn copy_by_hand(from: &OwnedFd, to: &OwnedFd, mut at: u64, size: u64) -> rustix::io::Result<()> {
    let paced = Paced::default();
    let mut buffer = vec![0; PIECE];
    while at < size {
        let rest = usize::try_from(size - at).unwrap_or(PIECE).min(PIECE);
        let read = rustix::io::pread(from, &mut buffer[..rest], at)?;
        if read == 0 {
            return Err(Errno::IO);
        }
        let mut piece = &buffer[..read];
        while !piece.is_empty() {
            let written = rustix::io::pwrite(to, piece, at)?;
            paced.wrote(to, written)?;
            at += written as u64;
            piece = &piece[written..];
        }
    }
    Ok(())
}
