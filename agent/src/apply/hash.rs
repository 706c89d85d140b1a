//! The digest of a file as it stands on the disk.

use crate::sha256::Sha256;
use rustix::fd::OwnedFd;
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
            return Ok(hash.finish());
        }
        hash.update(&buffer[..read]);
        at += read as u64;
    }
}
