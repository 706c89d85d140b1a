//! The small files of a plain directory: lines of a word, a space and a value.

use crate::sync;
use crate::target::{ImageRecord, SnapshotName, TargetError, TargetTrouble};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// What a snapshot's `about` says. All are missing if it isn't there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct About {
    /// The key of one that is written now.
    pub(super) key: Option<String>,
    /// The name of a committed one.
    pub(super) chain: Option<SnapshotName>,
    /// The name of its parent.
    pub(super) parent: Option<SnapshotName>,
}

impl About {
    pub(super) fn read(snapshot: &Path) -> Result<Self, TargetError> {
        let path = snapshot.join("about");
        let Some(text) = read(&path)? else { return Ok(Self::default()) };
        let damaged = || TargetError::damaged(&path);
        let mut about = Self::default();
        for line in text.lines() {
            match line.split_once(' ').ok_or_else(damaged)? {
                ("key", key) => about.key = Some(key.to_owned()),
                ("chain", name) => {
                    about.chain = Some(SnapshotName::parse(name).ok_or_else(damaged)?);
                }
                ("parent", name) => {
                    about.parent = Some(SnapshotName::parse(name).ok_or_else(damaged)?);
                }
                _ => return Err(damaged()),
            }
        }
        Ok(about)
    }

    pub(super) fn write(&self, snapshot: &Path) -> Result<(), TargetError> {
        write_atomically(&snapshot.join("about"), |file| {
            if let Some(key) = &self.key {
                writeln!(file, "key {key}")?;
            }
            if let Some(chain) = self.chain {
                writeln!(file, "chain {chain}")?;
            }
            if let Some(parent) = self.parent {
                writeln!(file, "parent {parent}")?;
            }
            Ok(())
        })
    }
}

/// Reads an image record. Nothing if there is no such file.
pub(super) fn read_record(path: &Path) -> Result<Option<ImageRecord>, TargetError> {
    let Some(text) = read(path)? else { return Ok(None) };
    let record = ImageRecord::read(&mut text.lines());
    record.map(Some).ok_or_else(|| TargetError::damaged(path))
}

fn read(path: &Path) -> Result<Option<String>, TargetError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(TargetError::damaged(path)),
        Err(source) => Err(io(path, source)),
    }
}

/// Writes a file so that after a power cut either the old or the new one is there.
pub(super) fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), TargetError> {
    sync::replace(path, write).map_err(|source| io(path, source))
}

pub(super) fn sync_directory(path: &Path) -> Result<(), TargetError> {
    sync::directory(path).map_err(|source| io(path, source))
}

pub(super) fn io(path: &Path, source: io::Error) -> TargetError {
    TargetTrouble::Io { path: path.to_owned(), source }.into()
}
