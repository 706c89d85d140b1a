//! A directory of files that is bounded in bytes: the least recently used go first.
//!
//! A file is written under a temporary name of its own and renamed, so that it is whole or not there. That
//! a power cut changes nothing of it is the writer's affair: layers are brought to the disk before, packs and patches, which are many and
//! small, have a checksum (`sealed`). Whoever has a file open keeps its bytes although it was removed:
//! that is how files in use are pinned. The order of use is kept in memory, and begins anew with the
//! modification times after a restart. One process at a time may use the directory; [`Place`] sees to that.

mod made;
mod packs;
mod place;
mod sealed;

pub use made::Made;
pub use place::Place;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The directory.
#[derive(Debug)]
pub struct Cache {
    directory: PathBuf,
    most: u64,
    writers: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    files: HashMap<String, Entry>,
    bytes: u64,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    len: u64,
    used: u64,
}

impl Cache {
    /// Opens a directory, and forgets what was half written.
    pub fn open(directory: PathBuf, most: u64) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                fs::remove_file(entry.path())?;
            } else {
                let meta = entry.metadata()?;
                found.push((meta.modified()?, name, meta.len()));
            }
        }
        found.sort();
        let cache = Self { directory, most, writers: AtomicU64::new(0), state: Mutex::default() };
        for (_, name, len) in found {
            cache.state().add(name, len);
        }
        Ok(cache)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that it may hold.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// Opens a file, if it is there.
    pub fn get(&self, name: &str) -> Option<File> {
        let mut state = self.state();
        state.clock += 1;
        let clock = state.clock;
        state.files.get_mut(name)?.used = clock;
        File::open(self.directory.join(name)).ok()
    }

    /// Bytes of a file, if it is there.
    pub fn file_len(&self, name: &str) -> Option<u64> {
        self.state().files.get(name).map(|entry| entry.len)
    }

    /// Where to write a file: a place that no other writer has, not even one of the same file that
    /// was given up and still runs.
    pub fn temporary(&self) -> PathBuf {
        self.directory.join(format!(".{}", self.writers.fetch_add(1, Ordering::Relaxed)))
    }

    /// Takes a file in that was written at [`Cache::temporary`], opens it, and makes room.
    pub fn take_in(&self, temporary: &Path, name: &str) -> io::Result<File> {
        let file = File::open(temporary)?;
        let len = file.metadata()?.len();
        fs::rename(temporary, self.directory.join(name))?;
        let mut state = self.state();
        state.add(name.to_owned(), len);
        while state.bytes > self.most {
            let Some(oldest) = state.oldest() else { break };
            match fs::remove_file(self.directory.join(&oldest)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => state.remove(&oldest),
            }
        }
        Ok(file)
    }
}

impl State {
    fn add(&mut self, name: String, len: u64) {
        self.remove(&name);
        self.clock += 1;
        self.bytes += len;
        self.files.insert(name, Entry { len, used: self.clock });
    }

    fn remove(&mut self, name: &str) {
        if let Some(entry) = self.files.remove(name) {
            self.bytes -= entry.len;
        }
    }

    fn oldest(&self) -> Option<String> {
        let oldest = self.files.iter().min_by_key(|(_, entry)| entry.used);
        oldest.map(|(name, _)| name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn put(cache: &Cache, name: &str, bytes: &[u8]) -> File {
        let temporary = cache.temporary();
        fs::write(&temporary, bytes).unwrap();
        cache.take_in(&temporary, name).unwrap()
    }

    #[test]
    fn the_least_recently_used_go_first_and_open_files_stay_readable() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path().to_owned(), 10).unwrap();
        let mut first = put(&cache, "a", b"aaaa");
        put(&cache, "b", b"bbbb");
        assert!(cache.get("a").is_some());
        put(&cache, "c", b"cccc");
        let lens = ["a", "b", "c"].map(|name| cache.file_len(name));
        assert_eq!(lens, [Some(4), None, Some(4)]);
        put(&cache, "d", &[b'd'; 11]);
        assert!(["a", "b", "c", "d"].iter().all(|name| cache.get(name).is_none()));
        let mut text = String::new();
        first.read_to_string(&mut text).unwrap();
        assert_eq!(text, "aaaa");

        put(&cache, "e", b"e");
        fs::write(cache.temporary(), b"x").unwrap();
        let again = Cache::open(directory.path().to_owned(), 10).unwrap();
        let files = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!((again.file_len("e"), files), (Some(1), 1));
    }
}
