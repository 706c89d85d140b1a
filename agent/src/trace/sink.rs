//! Where first uses go: to standard output, or to a scratch file as the entries of a report.

use super::TraceError;
use crate::report::json_line;
use serde::Serialize;
use skiff_protocol::limits::{MAX_PATH, MAX_TRACE};
use skiff_protocol::trace::TraceEntries;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Room for one entry: its path and a few numbers.
const ENTRY: usize = MAX_PATH + 64;
/// What is kept free for the report's head: 32 references of 512 bytes, their digests, and the rest.
const HEAD: usize = 32 * 1024;

/// Takes the files in order of first use.
#[derive(Debug)]
pub enum Sink {
    /// Prints each at once.
    Print {
        /// As JSON lines.
        json: bool,
    },
    /// Keeps them for a report.
    Spool(Box<Spool>),
}

/// A report's entries in a file that has no name any more.
#[derive(Debug)]
pub struct Spool {
    file: File,
    path: PathBuf,
    entries: TraceEntries,
    len: usize,
}

/// What `--print --json` says of each file.
#[derive(Serialize)]
#[serde(tag = "event", rename = "opened")]
struct Opened<'a> {
    image: &'a str,
    millis: u32,
    path: &'a str,
}

impl Sink {
    /// Takes a file of the image with this number and reference. False if there is no more room.
    pub fn take(
        &mut self,
        (image, reference): (u16, &str),
        millis: u32,
        path: &[u8],
        several: bool,
    ) -> Result<bool, TraceError> {
        match self {
            Self::Print { json: true } => {
                let path = format!("/{}", String::from_utf8_lossy(path));
                json_line(&Opened { image: reference, millis, path: &path });
            }
            Self::Print { json: false } => {
                let image = if several { format!("{reference} ") } else { String::new() };
                let line = [image.as_bytes(), b"/", path, b"\n"].concat();
                // A closed pipe ends quietly: nobody listens any more.
                let _ = std::io::stdout().lock().write_all(&line);
            }
            Self::Spool(spool) => return spool.push(image, millis, path),
        }
        Ok(true)
    }
}

impl Spool {
    /// An empty one in this directory, which is made if it is not there.
    pub fn create(directory: &Path) -> Result<Self, TraceError> {
        let path = directory.join(format!("trace-{}", std::process::id()));
        let made = std::fs::create_dir_all(directory).and_then(|()| {
            let mut options = File::options();
            let file = options.read(true).write(true).create(true).truncate(true).open(&path)?;
            std::fs::remove_file(&path)?;
            Ok(file)
        });
        match made {
            Ok(file) => Ok(Self { file, path, entries: TraceEntries::new(), len: 0 }),
            Err(source) => Err(TraceError::Spool { path, source }),
        }
    }

    fn push(&mut self, image: u16, millis: u32, path: &[u8]) -> Result<bool, TraceError> {
        if self.len + ENTRY > MAX_TRACE - HEAD {
            return Ok(false);
        }
        let mut buffer = [0; ENTRY];
        let entry = self.entries.encode(image, millis, path, &mut buffer);
        let entry = entry.map_err(TraceError::Report)?;
        let written = self.file.write_all(entry);
        written.map_err(|source| TraceError::Spool { path: self.path.clone(), source })?;
        self.len += entry.len();
        Ok(true)
    }

    /// Appends all entries.
    pub fn append_to(&mut self, report: &mut Vec<u8>) -> Result<(), TraceError> {
        report.reserve_exact(self.len);
        let read = self.file.rewind().and_then(|()| self.file.read_to_end(report));
        read.map(drop).map_err(|source| TraceError::Spool { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skiff_protocol::trace::TraceRecord;

    #[test]
    fn a_report_has_the_files_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let spool = Spool::create(&state).unwrap();
        assert_eq!(std::fs::read_dir(&state).unwrap().count(), 0, "it has no name");
        let mut sink = Sink::Spool(Box::new(spool));
        let files: [(u16, u32, &[u8]); 3] =
            [(0, 0, b"usr/bin/b"), (1, 5, b"usr/bin/a"), (0, 9, b"lib/c\xff")];
        for (image, millis, path) in files {
            assert!(sink.take((image, "x"), millis, path, true).unwrap());
        }
        let Sink::Spool(mut spool) = sink else { unreachable!() };
        let mut report = Vec::new();
        spool.append_to(&mut report).unwrap();
        let (mut rest, mut paths) = (&report[..], TraceEntries::new());
        for (image, millis, path) in files {
            let TraceRecord::Entry(entry) = TraceRecord::take(&mut rest).unwrap() else {
                panic!("not an entry")
            };
            assert_eq!((entry.image, entry.millis), (image, millis));
            assert_eq!(paths.path(&entry).unwrap(), path);
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn a_report_has_a_bound() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::create(directory.path()).unwrap();
        // Nothing in common with the path before.
        let path = |number: usize| {
            let name = format!("{}{}", b"abc"[number % 3] as char, "x".repeat(200));
            [&*name; 20].join("/").into_bytes()
        };
        let taken = (0..2000).take_while(|&n| spool.push(0, 0, &path(n)).unwrap()).count();
        assert!((900..1100).contains(&taken), "{taken}");
        let mut report = Vec::new();
        spool.append_to(&mut report).unwrap();
        assert!(report.len() + HEAD <= MAX_TRACE);
    }
}
