//! The agent's own directory: a lock, and the scratch directory of each pull.
//!
//! ```text
//! STATE/
//!   trace-PID    the files of a trace; it loses its name as soon as it is made
//!   lock         held while a pull or gc runs
//!   applications/NAME/   what is deployed (see `applications`)
//!   pulls/ID/    scratch of a pull (see `spool`): `wanted` names its images, `target` where they
//!                were to go
//!   hydrating/ID/   that of a pull whose images can be started and are not all there (see `hydrate`)
//!   lease-break-time   the kernel's setting before it was changed (see `cold`)
//!   empty/, tree/   a layer without files, and where a tree is mounted for a moment (see `target::mounting`)
//!   daemon.sock, holder.sock   where daemon and holder listen
//! ```
//!
//! What is left of a dead pull is listed by `skiff status`, and removed by the next pull to the same
//! target, which takes over what is of use, or by `skiff gc`. Its scratch directory, synced before anything is made under its ID,
//! goes last: whatever else it left can be found by that ID.

use crate::sync;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// The state directory can't be used. It is one word, as [`crate::target::TargetError`] is.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct StateError(Box<StateTrouble>);

/// Why it can't.
#[derive(Debug, Error)]
pub enum StateTrouble {
    /// Another process has the lock.
    #[error("another skiff ({holder}) is at work on {}; wait for it or stop it", path.display())]
    Busy {
        /// The state directory.
        path: PathBuf,
        /// Process ID of the holder, as it wrote it.
        holder: String,
    },
    /// A file that skiff did not write so.
    #[error("{} is damaged; restore it, or remove it and deploy again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The state directory.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
}

/// Held while the directory is changed; given up by the kernel when the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// What is left of a pull that did not end.
#[derive(Debug)]
pub struct Leftover {
    /// The pull's ID.
    pub id: String,
    /// What it pulled.
    pub images: Vec<String>,
    /// Where to ([`crate::target::Target::name`]).
    pub target: String,
    /// Bytes of its scratch files.
    pub bytes: u64,
}

impl StateDir {
    /// A state directory at this place; it is made when it is first needed.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where the applications' files are.
    pub fn applications(&self) -> PathBuf {
        self.path.join("applications")
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the daemon listens.
    pub fn daemon_socket(&self) -> PathBuf {
        self.path.join("daemon.sock")
    }

    /// Where the holder listens.
    pub fn holder_socket(&self) -> PathBuf {
        self.path.join("holder.sock")
    }

    /// A directory that is always empty; whoever needs it makes it.
    pub fn empty(&self) -> PathBuf {
        self.path.join("empty")
    }

    /// Where a tree is mounted for the moment until it is open.
    pub fn tree(&self) -> PathBuf {
        self.path.join("tree")
    }

    /// Makes the scratch directory of a pull one that is hydrated: no later pull removes it.
    pub fn keep_for_hydration(&self, scratch: &mut Scratch) -> Result<(), StateError> {
        let hydrating = self.path.join("hydrating");
        let failed = |e| StateError::io(&hydrating, e);
        fs::create_dir_all(&hydrating).map_err(failed)?;
        let path = hydrating.join(&scratch.id);
        fs::rename(&scratch.path, &path).map_err(failed)?;
        scratch.kept = true;
        let from = std::mem::replace(&mut scratch.path, path);
        for directory in [&*hydrating, from.parent().unwrap_or(&self.path), &self.path] {
            sync::directory(directory).map_err(failed)?;
        }
        Ok(())
    }

    /// The directories of deployments that are being hydrated.
    pub fn hydrating(&self) -> Result<Vec<PathBuf>, StateError> {
        let hydrating = self.path.join("hydrating");
        let failed = |e| StateError::io(&hydrating, e);
        let listing = match fs::read_dir(&hydrating) {
            Ok(listing) => listing,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut found = Vec::new();
        for entry in listing {
            found.push(entry.map_err(failed)?.path());
        }
        found.sort();
        Ok(found)
    }

    /// Takes the lock, or says who has it.
    pub fn lock(&self) -> Result<Lock, StateError> {
        fs::create_dir_all(self.path.join("pulls")).map_err(|e| StateError::io(&self.path, e))?;
        let path = self.path.join("lock");
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|e| StateError::io(&path, e))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                let _ = (&file).take(16).read_to_string(&mut holder);
                let holder = format!("process {}", holder.trim());
                return Err(StateError(Box::new(StateTrouble::Busy {
                    path: self.path.clone(),
                    holder,
                })));
            }
            Err(errno) => return Err(StateError::io(&path, errno.into())),
        }
        let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(|e| StateError::io(&path, e))?;
        Ok(Lock { _file: file })
    }

    /// Makes the scratch directory of a new pull to this target. The lock must be held.
    pub fn new_pull(&self, wanted: &[String], target: &str) -> Result<Scratch, StateError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = format!("{:x}-{:x}", now.as_nanos(), std::process::id());
        let pulls = self.path.join("pulls");
        let path = pulls.join(&id);
        fs::create_dir(&path).map_err(|e| StateError::io(&path, e))?;
        let scratch = Scratch { path, id, kept: false };
        for (name, text) in [("wanted", &*wanted.join("\n")), ("target", target)] {
            let path = scratch.path.join(name);
            write(&path, text).map_err(|e| StateError::io(&path, e))?;
        }
        for directory in [&scratch.path, &pulls] {
            sync::directory(directory).map_err(|e| StateError::io(directory, e))?;
        }
        Ok(scratch)
    }

    /// What dead pulls have left. While the lock is held elsewhere, the living one is among them.
    pub fn leftovers(&self) -> Result<Vec<Leftover>, StateError> {
        let pulls = self.path.join("pulls");
        let listing = match fs::read_dir(&pulls) {
            Ok(listing) => listing,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StateError::io(&pulls, error)),
        };
        let mut found = Vec::new();
        for entry in listing {
            let entry = entry.map_err(|e| StateError::io(&pulls, e))?;
            let read = |name| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
            found.push(Leftover {
                id: entry.file_name().to_string_lossy().into_owned(),
                images: read("wanted").lines().map(str::to_owned).collect(),
                target: read("target"),
                bytes: size_of(&entry.path()),
            });
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }

    /// Removes what dead pulls have left. The lock must be held.
    pub fn remove_leftovers(&self) -> Result<usize, StateError> {
        let found = self.leftovers()?;
        found.iter().try_for_each(|leftover| self.remove(&leftover.id))?;
        Ok(found.len())
    }

    /// The scratch directory of a dead pull.
    pub fn scratch_of(&self, leftover: &Leftover) -> PathBuf {
        self.path.join("pulls").join(&leftover.id)
    }

    /// Removes the scratch directory of a dead pull. The lock must be held.
    pub fn remove(&self, id: &str) -> Result<(), StateError> {
        let path = self.path.join("pulls").join(id);
        fs::remove_dir_all(&path).map_err(|e| StateError::io(&path, e))
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    sync::file(&file)
}

fn size_of(directory: &Path) -> u64 {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum()
}

impl StateError {
    /// Why.
    pub fn trouble(&self) -> &StateTrouble {
        &self.0
    }

    /// This file is not as skiff writes it.
    pub fn damaged(path: &Path) -> Self {
        Self(Box::new(StateTrouble::Damaged { path: path.to_owned() }))
    }

    /// An operation on this file or directory failed.
    pub fn io(path: &Path, source: std::io::Error) -> Self {
        Self(Box::new(StateTrouble::Io { path: path.to_owned(), source }))
    }
}

/// A pull's scratch directory, removed when the pull ends, well or not, unless it is kept for hydration.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    id: String,
    kept: bool,
}

impl Scratch {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the directory, so that the next pull finds what this one could not remove elsewhere.
    pub fn keep(self) {
        std::mem::forget(self);
    }

    /// The pull's ID: also part of snapshot keys and the lease's name.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.kept {
            // What can't be removed now is listed by `skiff status`.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_nothing_is_left_unlisted() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::new(directory.path().join("state"));
        assert!(state.leftovers().unwrap().is_empty());
        let lock = state.lock().unwrap();
        let busy = state.lock().unwrap_err().to_string();
        assert!(busy.contains(&format!("process {}", std::process::id())), "{busy}");
        drop(lock);
        let _lock = state.lock().unwrap();

        drop(state.new_pull(&["gone:1".to_owned()], "/root").unwrap());
        assert!(state.leftovers().unwrap().is_empty());
        let dead = state.new_pull(&["a:1".to_owned(), "b:2".to_owned()], "/root").unwrap();
        dead.keep();
        let found = state.leftovers().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].images.join(" "), found[0].bytes), ("a:1 b:2".to_owned(), 12));
        assert_eq!(found[0].target, "/root");
        assert_eq!(state.remove_leftovers().unwrap(), 1);
        assert!(state.leftovers().unwrap().is_empty());
    }
}
