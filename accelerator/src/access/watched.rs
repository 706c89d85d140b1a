//! What is made of files, and is made again when one of them has changed.
//!
//! It is looked at when it is needed, which costs a `stat` for each file. Files that are wrong, or not whole yet, leave things
//! as they are: that is logged once, until they change again.

use crate::causes::chain;
use std::error::Error;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Inode, length, and time of the last change: nothing if the file can't be found.
type Stamp = Option<(u64, u64, i64, i64)>;

/// A value that is made of files.
pub struct Watched<T, E> {
    files: Vec<PathBuf>,
    read: Box<dyn Fn() -> Result<T, E> + Send + Sync>,
    now: Mutex<(Vec<Stamp>, Arc<T>)>,
}

impl<T, E> std::fmt::Debug for Watched<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("files", &self.files).finish_non_exhaustive()
    }
}

impl<T, E: Error> Watched<T, E> {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// They are wrong.
    pub fn new(
        files: Vec<PathBuf>,
        read: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        // Before they are read: what changes meanwhile is read again.
        let stamps = stamps(&files);
        let value = Arc::new(read()?);
        Ok(Self { files, read: Box::new(read), now: Mutex::new((stamps, value)) })
    }

    /// The value of the files as they are or, if they are wrong now, as they were.
    pub fn get(&self) -> Arc<T> {
        let stamps = stamps(&self.files);
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.0 != stamps {
            let names: Vec<_> = self.files.iter().map(|file| file.display().to_string()).collect();
            let names = names.join(", ");
            now.0 = stamps;
            match (self.read)() {
                Ok(value) => {
                    now.1 = Arc::new(value);
                    tracing::info!("{names} changed and was read again");
                }
                Err(error) => tracing::error!(
                    "{names} changed and can't be used; what was there before stays in force: {}",
                    chain(&error)
                ),
            }
        }
        Arc::clone(&now.1)
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let found = fs::metadata(Path::new(file)).ok()?;
        Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
    };
    files.iter().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_file_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("number");
        let read = {
            let file = file.clone();
            move || fs::read_to_string(&file).unwrap_or_default().parse::<u8>()
        };
        assert!(Watched::new(vec![file.clone()], read.clone()).is_err());
        fs::write(&file, "1").unwrap();
        let watched = Watched::new(vec![file.clone()], read).unwrap();
        assert_eq!(*watched.get(), 1);
        for (text, expected) in [("22", 22), ("twenty", 22), ("", 22), ("255", 255)] {
            fs::write(&file, text).unwrap();
            assert_eq!(*watched.get(), expected, "{text}");
        }
        fs::remove_file(&file).unwrap();
        assert_eq!(*watched.get(), 255);
    }
}
