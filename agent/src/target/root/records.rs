//! The small files of a plain directory: lines of a word, a space and a value.

use crate::sync;
use crate::target::{SnapshotName, TargetError};
use skiff_protocol::Digest;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// The name that a file has until it is whole.
pub(super) const UNFINISHED: &str = "unfinished";

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
        let damaged = || TargetError::Damaged { path: path.clone() };
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

/// An image record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) target: Digest,
    pub(super) size: u64,
    pub(super) media_type: String,
    pub(super) manifest: Digest,
    pub(super) chain_id: Digest,
}

impl Record {
    /// Nothing if there is no such file.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, TargetError> {
        let Some(text) = read(path)? else { return Ok(None) };
        let record = Self::parse(&text);
        record.map(Some).ok_or_else(|| TargetError::Damaged { path: path.to_owned() })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut value = |word: &str| lines.next()?.strip_prefix(word)?.strip_prefix(' ');
        Some(Self {
            name: value("name")?.to_owned(),
            target: Digest::parse(value("target")?)?,
            size: value("size")?.parse().ok()?,
            media_type: value("type")?.to_owned(),
            manifest: Digest::parse(value("manifest")?)?,
            chain_id: Digest::parse(value("chain")?)?,
        })
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), TargetError> {
        write_atomically(path, |file| {
            let Self { name, target, size, media_type, manifest, chain_id } = self;
            if name.contains('\n') || media_type.contains('\n') {
                return Err(ErrorKind::InvalidInput.into());
            }
            write!(file, "name {name}\ntarget {target}\nsize {size}\ntype {media_type}\n")?;
            write!(file, "manifest {manifest}\nchain {chain_id}\n")
        })
    }
}

fn read(path: &Path) -> Result<Option<String>, TargetError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Err(TargetError::Damaged { path: path.to_owned() })
        }
        Err(source) => Err(io(path, source)),
    }
}

/// Writes a file so that after a power cut either the old or the new one is there.
pub(super) fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), TargetError> {
    let unfinished = path.with_file_name(UNFINISHED);
    let written = File::create(&unfinished).and_then(|mut file| {
        write(&mut file)?;
        sync::file(&file)?;
        fs::rename(&unfinished, path)
    });
    if let Err(source) = written {
        // It would be overwritten by the next one anyway.
        let _ = fs::remove_file(&unfinished);
        return Err(io(path, source));
    }
    path.parent().map_or(Ok(()), sync_directory)
}

pub(super) fn sync_directory(path: &Path) -> Result<(), TargetError> {
    sync::directory(path).map_err(|source| io(path, source))
}

pub(super) fn io(path: &Path, source: io::Error) -> TargetError {
    TargetError::Io { path: path.to_owned(), source }
}
