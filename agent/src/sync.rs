//! Brings data to the disk. All of it goes through here, so that the feature `without-sync` can take it
//! out: the power-cut test shows with such a build that it would notice.

use crate::sys;
use rustix::io::Errno;
use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// So many bytes may wait in memory, and as many be on their way to the disk.
pub const CHUNK: u64 = 512 * 1024;

/// Whatever was written to the file system of this descriptor (`syncfs(2)`).
pub fn file_system(of: impl AsFd) -> rustix::io::Result<()> {
    if cfg!(feature = "without-sync") {
        return Ok(());
    }
    rustix::fs::syncfs(of)
}

/// A file's contents and metadata.
pub fn file(file: &File) -> io::Result<()> {
    if cfg!(feature = "without-sync") {
        return Ok(());
    }
    file.sync_all()
}

/// The names in a directory.
pub fn directory(path: &Path) -> io::Result<()> {
    file(&File::open(path)?)
}

/// The name that a file has until it is whole.
pub const UNFINISHED: &str = "unfinished";

/// Writes a file so that after a power cut either the old or the new one is there.
pub fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let unfinished = path.with_file_name(UNFINISHED);
    let written = File::create(&unfinished).and_then(|mut new| {
        write(&mut new)?;
        file(&new)?;
        std::fs::rename(&unfinished, path)
    });
    if written.is_err() {
        // It would be overwritten by the next one anyway.
        let _ = std::fs::remove_file(&unfinished);
    }
    written?;
    path.parent().map_or(Ok(()), directory)
}

/// Waits for what of a file is on its way to the disk, and starts to write the rest. Nothing is
/// durable by that.
pub fn begin(file: impl AsFd) -> rustix::io::Result<()> {
    if cfg!(feature = "without-sync") {
        return Ok(());
    }
    match sys::write_dirty_pages(file) {
        // A sandbox that doesn't know the call: then the kernel writes when it likes.
        Err(Errno::NOSYS | Errno::PERM) => Ok(()),
        done => done,
    }
}

/// Keeps what of one growing file waits in memory within [`CHUNK`].
#[derive(Debug, Default)]
pub struct Paced(Cell<u64>);

impl Paced {
    /// So many bytes were written to it.
    pub fn wrote(&self, file: impl AsFd, bytes: usize) -> rustix::io::Result<()> {
        self.0.set(self.0.get() + bytes as u64);
        if self.0.get() < CHUNK {
            return Ok(());
        }
        self.0.set(0);
        begin(file)
    }
}
