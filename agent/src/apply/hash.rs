//! The digest of a file as it stands on the disk.

use rustix::fd::OwnedFd;
use sha2::{Digest as _, Sha256};
use skiff_protocol::Digest;

/// Room for one piece of a file.
pub const PIECE: usize = 64 * 1024;

/// Reads a file to its end, through a buffer of the caller's.
pub fn hash_file(file: &OwnedFd, buffer: &mut [u8]) -> rustix::io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut at = 0;
    loop {
        let read = rustix::io::pread(file, &mut *buffer, at)?;
        if read == 0 {
            return Ok(Digest(hash.finalize().into()));
        }
        hash.update(&buffer[..read]);
        at += read as u64;
    }
}
