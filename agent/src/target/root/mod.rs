//! A plain directory as a target: what containerd keeps, without containerd.
//!
//! ```text
//! DIR/
//!   snapshots/N/fs/                one overlayfs layer, as containerd's overlayfs snapshotter has it
//!   snapshots/N/about              `key KEY` while it is written, `chain NAME` once committed, and
//!                                  `parent NAME` if it has one (NAME: `target/name.rs`)
//!   content/blobs/sha256/HEX       indexes, manifests, configs (an OCI layout's blobs; no layers)
//!   images/HEX                     an image record; HEX is the SHA-256 of its name
//! ```
//!
//! The small files are lines of a word and a value (`records`). Each is written beside its place,
//! synced and renamed, and the directory synced: a power cut leaves the old one or the new one. So
//! a commit is one rename. A snapshot without `about`, or with a `key`, is unfinished; one that no
//! image record leads to, directly or as a parent, is of no use; blobs likewise (`sweep`).
//!
//! Callers hold the agent's lock while they change something.

mod records;
mod sweep;

use super::{
    HeldImage, ImageRecord, ListedImage, PREFIX, SnapshotName, TargetError, TargetTrouble,
    add_bases, is_previous, reference,
};
use crate::containerd::metadata;
use crate::sha256::{Sha256, sha256};
use records::{About, io, read_record, write_atomically};
use skiff_protocol::Digest;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// A plain directory.
#[derive(Debug)]
pub struct RootTarget {
    snapshots: PathBuf,
    blobs: PathBuf,
    images: PathBuf,
}

impl RootTarget {
    /// This directory; what is missing of it is made.
    pub(super) fn open(directory: &Path) -> Result<Self, TargetError> {
        let target = Self {
            snapshots: directory.join("snapshots"),
            blobs: directory.join("content/blobs/sha256"),
            images: directory.join("images"),
        };
        for path in [&target.snapshots, &target.blobs, &target.images] {
            fs::create_dir_all(path).map_err(|source| io(path, source))?;
        }
        Ok(Self {
            snapshots: fs::canonicalize(&target.snapshots).map_err(|e| io(directory, e))?,
            ..target
        })
    }

    pub(super) fn name(&self) -> String {
        self.snapshots.display().to_string()
    }

    pub(super) fn held(&self, limit: usize) -> Result<Vec<HeldImage>, TargetError> {
        let snapshots = self.all_snapshots()?;
        let (mut held, mut bases) = (Vec::new(), Vec::new());
        let mut records = self.records()?;
        // Where there is no room for all, what is current counts more.
        records.sort_by_key(|record| is_previous(&record.name));
        for record in records {
            // An application's previous deployment may have the same.
            let known = |image: &HeldImage| image.target_digest == record.target.0;
            if held.iter().any(known) {
                continue;
            }
            if held.len() == limit {
                break;
            }
            if let Some(image) = self.complete(&snapshots, record) {
                bases.extend(bases_below(&snapshots, image.snapshot));
                held.push(image);
            }
        }
        add_bases(&mut held, bases, limit);
        Ok(held)
    }

    /// Nothing if a layer or a blob is missing.
    fn complete(&self, snapshots: &[Snapshot], record: ImageRecord) -> Option<HeldImage> {
        let snapshot = record.snapshot();
        let stack = stack(snapshots, snapshot)?;
        let blobs = [record.target, record.manifest];
        if !blobs.iter().all(|digest| self.blob_path(digest).is_file()) {
            return None;
        }
        Some(HeldImage {
            name: reference(&record.name).to_owned(),
            target_digest: record.target.0,
            manifest_digest: record.manifest.0,
            snapshot,
            depth: u16::try_from(stack.len()).ok()?,
        })
    }

    pub(super) fn layer_dirs(&self, name: SnapshotName) -> Result<Vec<PathBuf>, TargetError> {
        let snapshots = self.all_snapshots()?;
        let stack =
            stack(&snapshots, name).ok_or_else(|| TargetError::no_snapshot(&name.to_string()))?;
        Ok(stack.iter().map(|snapshot| self.layer_path(snapshot.number)).collect())
    }

    pub(super) fn image(&self, name: &str) -> Result<HeldImage, TargetError> {
        let path = self.record_path(name);
        let Some(record) = read_record(&path)? else {
            return Err(TargetError::unknown(name));
        };
        let held = self.complete(&self.all_snapshots()?, record);
        held.ok_or_else(|| TargetError::incomplete(name))
    }

    pub(super) fn record(&self, name: &str) -> Result<Option<ImageRecord>, TargetError> {
        let Some(record) = read_record(&self.record_path(name))? else { return Ok(None) };
        Ok(self.holds(&record)?.then_some(record))
    }

    pub(super) fn snapshot_exists(&self, name: SnapshotName) -> Result<bool, TargetError> {
        Ok(stack(&self.all_snapshots()?, name).is_some())
    }

    pub(super) fn depth(&self, name: SnapshotName) -> Result<Option<u16>, TargetError> {
        let snapshots = self.all_snapshots()?;
        Ok(stack(&snapshots, name).and_then(|stack| u16::try_from(stack.len()).ok()))
    }

    pub(super) fn prepare(
        &self,
        key: &str,
        parent: Option<SnapshotName>,
    ) -> Result<PathBuf, TargetError> {
        let snapshots = self.all_snapshots()?;
        if let Some(parent) = parent
            && stack(&snapshots, parent).is_none()
        {
            return Err(TargetError::no_snapshot(&parent.to_string()));
        }
        let number = snapshots.iter().map(|snapshot| snapshot.number).max().unwrap_or(0) + 1;
        let layer = self.layer_path(number);
        let directory = self.snapshots.join(number.to_string());
        fs::create_dir(&directory).map_err(|source| io(&directory, source))?;
        fs::create_dir(&layer).map_err(|source| io(&layer, source))?;
        About { key: Some(key.to_owned()), chain: None, parent }.write(&directory)?;
        records::sync_directory(&self.snapshots)?;
        Ok(layer)
    }

    pub(super) fn prepared(&self, key: &str) -> Result<Option<PathBuf>, TargetError> {
        let snapshots = self.all_snapshots()?;
        Ok(with_key(&snapshots, key).map(|ours| self.layer_path(ours.number)))
    }

    pub(super) fn commit(&self, key: &str, name: SnapshotName) -> Result<(), TargetError> {
        let snapshots = self.all_snapshots()?;
        let Some(ours) = with_key(&snapshots, key) else {
            return Err(TargetError::no_snapshot(key));
        };
        let directory = self.snapshots.join(ours.number.to_string());
        if stack(&snapshots, name).is_some() {
            return fs::remove_dir_all(&directory).map_err(|source| io(&directory, source));
        }
        About { key: None, chain: Some(name), parent: ours.about.parent }.write(&directory)
    }

    pub(super) fn abort(&self, key: &str) -> Result<(), TargetError> {
        let Some(number) = with_key(&self.all_snapshots()?, key).map(|found| found.number) else {
            return Ok(());
        };
        let directory = self.snapshots.join(number.to_string());
        fs::remove_dir_all(&directory).map_err(|source| io(&directory, source))
    }

    /// Removes the snapshots that a dead pull was writing.
    pub(super) fn discard(&self, pull: &str) -> Result<(), TargetError> {
        let prefix = format!("{PREFIX}{pull}-");
        for snapshot in self.all_snapshots()? {
            if snapshot.about.key.is_some_and(|key| key.starts_with(&prefix)) {
                let directory = self.snapshots.join(snapshot.number.to_string());
                fs::remove_dir_all(&directory).map_err(|source| io(&directory, source))?;
            }
        }
        Ok(())
    }

    /// Copies a blob into its place; what arrives is checked once more.
    pub(super) fn put_blob(&self, digest: Digest, from: &Path) -> Result<(), TargetError> {
        let path = self.blob_path(&digest);
        if path.is_file() {
            return Ok(());
        }
        let mut source = File::open(from).map_err(|source| io(from, source))?;
        let mut hash = Sha256::new();
        write_atomically(&path, |file| {
            let mut buffer = [0; 8192];
            loop {
                let len = source.read(&mut buffer)?;
                if len == 0 {
                    break;
                }
                hash.update(&buffer[..len]);
                std::io::Write::write_all(file, &buffer[..len])?;
            }
            if std::mem::replace(&mut hash, Sha256::new()).finish() == digest {
                return Ok(());
            }
            Err(ErrorKind::InvalidData.into())
        })
    }

    pub(super) fn put_image(&self, record: &ImageRecord) -> Result<(), TargetError> {
        write_atomically(&self.record_path(&record.name), |file| record.write(file))
    }

    pub(super) fn holds(&self, record: &ImageRecord) -> Result<bool, TargetError> {
        Ok(self.complete(&self.all_snapshots()?, record.clone()).is_some())
    }

    pub(super) fn list(&self) -> Result<Vec<ListedImage>, TargetError> {
        let listed = |record: ImageRecord| ListedImage {
            digest: record.target.to_string(),
            name: record.name,
        };
        Ok(self.records()?.into_iter().map(listed).collect())
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), TargetError> {
        let path = self.record_path(name);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(TargetError::unknown(name));
            }
            Err(source) => return Err(io(&path, source)),
        }
        records::sync_directory(&self.images)?;
        self.sweep().map(drop)
    }

    /// All image records, by name.
    fn records(&self) -> Result<Vec<ImageRecord>, TargetError> {
        let mut records = Vec::new();
        for name in names(&self.images)? {
            if name.len() == 64 {
                records.extend(read_record(&self.images.join(name))?);
            }
        }
        records.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(records)
    }

    fn all_snapshots(&self) -> Result<Vec<Snapshot>, TargetError> {
        let mut snapshots = Vec::new();
        for name in names(&self.snapshots)? {
            if let Ok(number) = name.parse() {
                let about = About::read(&self.snapshots.join(name))?;
                snapshots.push(Snapshot { number, about });
            }
        }
        Ok(snapshots)
    }

    fn config_of(&self, manifest: &Digest) -> Result<Option<Digest>, TargetError> {
        let path = self.blob_path(manifest);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io(&path, source)),
        };
        let summary = metadata::read_manifest(&mut file)
            .map_err(|source| TargetTrouble::Manifest { digest: *manifest, source })?;
        Ok(Some(summary.config))
    }

    fn record_path(&self, name: &str) -> PathBuf {
        self.images.join(sha256(name).hex().to_string())
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex().to_string())
    }

    fn layer_path(&self, number: u32) -> PathBuf {
        self.snapshots.join(number.to_string()).join("fs")
    }
}

/// A directory below `snapshots`.
#[derive(Debug)]
struct Snapshot {
    number: u32,
    about: About,
}

fn with_key<'a>(snapshots: &'a [Snapshot], key: &str) -> Option<&'a Snapshot> {
    snapshots.iter().find(|snapshot| snapshot.about.key.as_deref() == Some(key))
}

/// A committed snapshot and its parents, top first; nothing if one is missing.
fn stack(snapshots: &[Snapshot], name: SnapshotName) -> Option<Vec<&Snapshot>> {
    let mut stack = Vec::new();
    let mut next = Some(name);
    while let Some(name) = next {
        let found = snapshots.iter().find(|found| found.about.chain == Some(name))?;
        // A circle can't come from here, but from a damaged disk.
        if stack.len() == snapshots.len() {
            return None;
        }
        next = found.about.parent;
        stack.push(found);
    }
    Some(stack)
}

/// The bases that a committed snapshot lies on.
fn bases_below(snapshots: &[Snapshot], name: SnapshotName) -> Vec<HeldImage> {
    let stack = stack(snapshots, name).unwrap_or_default();
    let depths = (1..).zip(stack.iter().rev());
    let base = |(depth, snapshot): (u16, &&Snapshot)| {
        Some(HeldImage::base(snapshot.about.chain?.base()?, depth))
    };
    depths.filter_map(base).collect()
}

/// Names in a directory that are text: all that were made here are.
fn names(directory: &Path) -> Result<Vec<String>, TargetError> {
    let failed = |source| io(directory, source);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
