//! Makes data durable. All syncing goes through here, so that the feature `without-sync` can take it
//! out: the power-cut test shows with such a build that it would notice.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

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
