//! Where a process has its caches.
//!
//! ```text
//! DATA/cache/              locked (flock) by the one `serve` that has them
//!   layers/, packs/
//!   ingest-PID-N/          the same for an `ingest` beside it, locked by that; removed at its end
//! ```
//!
//! What is in a cache is kept in its process's memory, so that two processes can't have one. Metadata they share: a
//! layer that two read at once is stored once. What an ingest was killed over goes when caches are opened next.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

const INGEST: &str = "ingest-";

/// A directory that no other process has while this is held.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    _lock: File,
    is_temporary: bool,
}

impl Place {
    /// The caches of a data directory; nothing if another process has them.
    pub fn of_service(data: &Path) -> io::Result<Option<Self>> {
        let path = data.join("cache");
        fs::create_dir_all(&path)?;
        let Some(lock) = lock(&path)? else { return Ok(None) };
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(INGEST) {
                remove_if_left(&entry.path())?;
            }
        }
        Ok(Some(Self { path, _lock: lock, is_temporary: false }))
    }

    /// Caches of this process alone, for a while.
    pub fn of_ingest(data: &Path) -> io::Result<Self> {
        // Processes in two containers may have one number.
        for number in 0u32.. {
            let name = format!("{INGEST}{}-{number}", std::process::id());
            let path = data.join("cache").join(name);
            fs::create_dir_all(&path)?;
            match lock(&path) {
                // A service that starts just now may have taken it for one that was left.
                Ok(Some(_lock)) if path.exists() => {
                    return Ok(Self { path, _lock, is_temporary: true });
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_temporary {
            // What can't be removed now goes when a service starts.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// A lock on a directory, until the file is closed; nothing if another process has it.
fn lock(directory: &Path) -> io::Result<Option<File>> {
    let file = File::open(directory)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        // Some network file systems lock no directories: then it is as if nobody else were there.
        Err(TryLockError::Error(error)) => {
            let (path, error) = (directory.display(), error.to_string());
            tracing::warn!("{path} can't be locked ({error}): let one process use it at a time");
            Ok(Some(file))
        }
    }
}

fn remove_if_left(path: &Path) -> io::Result<()> {
    let removed = lock(path).and_then(|lock| match lock {
        Some(_lock) => fs::remove_dir_all(path),
        None => Ok(()),
    });
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_service_has_the_caches_and_ingests_have_their_own() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let left = data.join("cache/ingest-1-0");
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join("file"), "x").unwrap();
        let ingest = Place::of_ingest(&data).unwrap();
        let service = Place::of_service(&data).unwrap().unwrap();
        assert!(!left.exists(), "what a dead one left is removed");
        assert!(ingest.path().exists(), "what a living one has is not");
        let other = Place::of_ingest(&data).unwrap();
        assert_ne!(other.path(), ingest.path());
        assert!(Place::of_service(&data).unwrap().is_none());
        assert!(service.path().exists());
        let path = ingest.path().to_owned();
        drop(ingest);
        assert!(!path.exists());
        drop(service);
        assert!(Place::of_service(&data).unwrap().is_some());
    }
}
