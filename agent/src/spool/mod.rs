//! A pull's table of contents, on disk: the agent never holds it in memory.
//!
//! ```text
//! STATE/pulls/ID/
//!   wanted        the references that are pulled, a line each (for `skiff status`)
//!   target        where they go
//!   plan          the ID of the plan                                                 pull/unfinished
//!   contents      a row of 80 bytes per content, in the order of their numbers       contents, missing
//!   entries       the entries of all layers, with whole paths                        entries
//!   blob-N        index, manifest and config of the images
//!   walk          directories that a walk through a tree has still to visit          queue
//!   index         where the entries of a tree that is compared lie                   index
//! ```
//!
//! `space` says which of the contents are in the packs of an answer, `missing` which are not there yet. A content row points to the
//! first entry that has the content, and entries with the same content are chained, so that one arriving content finds every
//! file that it belongs in. The directory is scratch: it is made by one pull, and removed by it, by the next one, which takes over
//! what came, or by `skiff gc`.

mod contents;
mod entries;
mod index;
mod missing;
mod queue;
mod space;

pub use contents::{ContentRow, Contents, Origin, State};
pub use entries::{Entries, EntryId};
pub use index::Index;
pub use queue::PathQueue;
pub use space::Space;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use thiserror::Error;

/// The scratch files can't be read or written. It is one word, as all else that every row passes through is better small.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct SpoolError(Box<Trouble>);

#[derive(Debug, Error)]
enum Trouble {
    /// A system call failed.
    #[error("cannot use the scratch file {path}")]
    Io { path: String, source: std::io::Error },
    /// A row or record is not what was written.
    #[error("the scratch file {0} is damaged; run the pull again")]
    Damaged(&'static str),
}

impl SpoolError {
    /// An operation on this file failed.
    pub fn io(path: &str, source: impl Into<std::io::Error>) -> Self {
        Self(Box::new(Trouble::Io { path: path.to_owned(), source: source.into() }))
    }

    fn damaged(name: &'static str) -> Self {
        Self(Box::new(Trouble::Damaged(name)))
    }
}

/// Opens a scratch file that another process has made.
fn reopen(directory: &Path, name: &'static str) -> Result<File, SpoolError> {
    let path = directory.join(name);
    let file = File::options().read(true).write(true).open(&path);
    file.map_err(|source| SpoolError::io(&path.display().to_string(), source))
}

/// Creates a scratch file for reading and writing; it must not exist.
fn create(directory: &Path, name: &'static str) -> Result<File, SpoolError> {
    let path = directory.join(name);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    openat(CWD, path.as_os_str().as_bytes(), flags, Mode::RUSR | Mode::WUSR)
        .map(File::from)
        .map_err(|errno: Errno| SpoolError::io(&path.display().to_string(), errno))
}
