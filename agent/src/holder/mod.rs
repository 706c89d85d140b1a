//! The holder: a tiny process that keeps the descriptors of cold files open.
//!
//! A lease lives as long as any descriptor of its open file does. If the daemon were alone with them, its
//! death would let every waiting open go on and read zeros. So a second process has a copy of each and does
//! nothing else: a daemon that comes later asks for them, makes the leases its own, and answers whoever waits. It
//! is in nobody's way: it reads no file, allocates 24 bytes for each, and can be killed as long as the daemon lives,
//! which then starts another.
//!
//! Daemon and holder speak over a Unix socket of packets (`STATE/holder.sock`), one message each:
//!
//! ```text
//! 1 Hold    n keys, with n descriptors     daemon → holder, and as answer to Take
//! 2 Forget  n keys                         daemon → holder: these files are hydrated
//! 3 Take    no keys                        daemon → holder: all descriptors, please
//! 4 End     no keys                        holder → daemon: those were all
//! 5 Quit    no keys                        daemon → holder
//! ```
//!
//! A key is device and number of the inode, 16 bytes, little-endian.

mod client;
mod keep;
mod message;

pub use client::Holder;
pub use keep::keep;

use std::path::PathBuf;
use thiserror::Error;

/// The holder can't be reached or started.
#[derive(Debug, Error)]
pub enum HolderError {
    /// Another one is there.
    #[error("a holder is running already on {}", path.display())]
    Running {
        /// The socket.
        path: PathBuf,
    },
    /// It did not answer.
    #[error("no holder answers on {}; start it with `skiff holder`", path.display())]
    Silent {
        /// The socket.
        path: PathBuf,
    },
    /// A system call failed.
    #[error("cannot use the holder's socket {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl HolderError {
    fn io(path: &std::path::Path, source: impl Into<std::io::Error>) -> Self {
        Self::Io { path: path.to_owned(), source: source.into() }
    }
}

#[cfg(test)]
mod tests;
