//! Unpacks tar entries into a directory that exists in memory only, step by step as containerd
//! 1.6 does it with the overlayfs snapshotter (`archive/tar.go`, `applyNaive`; whiteouts as in
//! `tar_opts_linux.go`).
//!
//! Names and inodes are apart, as in a file system: a hard link's header changes the inode that
//! all its names share. A whiteout is a character device 0:0, whether the tar spells it `.wh.x`
//! or holds the device itself.

use super::path::{clean, over_limit, push, resolve, split};
use super::tar::{Entry as TarEntry, Kind};
use super::{AppliedLayer, Entries, Entry, Inherit, LayerError, limits};
use crate::tree::{FileKind, Metadata, Node, Path};
use std::collections::{BTreeMap, HashMap};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const CAPABILITY: &[u8] = b"security.capability";

/// A layer while it is unpacked: above others, and from its first mark on as the lowest, too.
/// Without marks the two are the same.
#[derive(Debug, Default)]
pub(super) struct Layer {
    upper: Directory,
    marked: bool,
    base: Option<Directory>,
}

impl Layer {
    /// Unpacks one entry.
    pub(super) fn apply(&mut self, entry: TarEntry) -> Result<(), LayerError> {
        if !self.marked && split(&clean(&entry.name)).1.starts_with(WHITEOUT) {
            self.marked = true;
            self.base = Some(Directory { lowest: true, ..self.upper.clone() });
        }
        if let Some(base) = &mut self.base
            && base.apply(entry.clone()).is_err()
        {
            self.base = None;
        }
        self.upper.apply(entry)
    }

    /// The finished layer.
    pub(super) fn finish(self) -> Result<AppliedLayer, LayerError> {
        let entries = self.upper.finish()?;
        let nodes = |entries: &Entries| {
            entries.iter().filter_map(|(p, e)| Some((p.clone(), e.node()?.clone()))).collect()
        };
        let seen: Vec<_> = nodes(&entries);
        let base = self.base.and_then(|base| base.finish().ok());
        Ok(AppliedLayer { base: base.filter(|base| nodes(base) != seen), entries })
    }
}

/// A layer's directory while it fills.
#[derive(Debug, Clone, Default)]
struct Directory {
    /// Whether it is unpacked as the lowest layer: marks act at once and leave nothing.
    lowest: bool,
    names: BTreeMap<Path, usize>,
    inodes: Vec<Inode>,
    /// Names and times of directory entries: times are set once all else is done.
    times: Vec<(Path, (i64, u32))>,
    entries: usize,
    metadata: usize,
}

#[derive(Debug, Clone)]
struct Inode {
    meta: Metadata,
    kind: FileKind,
    opaque: bool,
    inherit: Inherit,
}

impl Inode {
    fn new(kind: FileKind, mode: u16) -> Self {
        let xattrs = BTreeMap::new();
        let meta = Metadata { mode, uid: 0, gid: 0, mtime: 0, mtime_nanos: 0, xattrs };
        Self { meta, kind, opaque: false, inherit: Inherit::Nothing }
    }

    fn is_directory(&self) -> bool {
        self.kind == FileKind::Directory
    }

    fn set_time(&mut self, time: (i64, u32)) {
        (self.meta.mtime, self.meta.mtime_nanos) = bound_time(time);
    }
}

impl Directory {
    /// Unpacks one entry.
    fn apply(&mut self, entry: TarEntry) -> Result<(), LayerError> {
        self.count(&entry)?;
        let name = clean(&entry.name);
        let (parent, base) = split(&name);
        if base.is_empty() {
            return Ok(());
        }
        if name.contains(&0) {
            return Err(LayerError::unpack(&name, "its name holds a NUL"));
        }
        let parent = self.resolve(parent, &name)?;
        self.make_parents(&parent, &name)?;
        if base == OPAQUE {
            self.set_opaque(&parent);
            return Ok(());
        }
        if let Some(hidden) = base.strip_prefix(WHITEOUT) {
            return self.white_out(parent, hidden, &name);
        }
        let mut path = parent;
        push(&mut path, base);
        if let Some(what) = over_limit(&path) {
            return Err(LayerError::limit(&path, what));
        }
        let directory = entry.kind == Kind::Directory;
        if !(directory && self.at(&path).is_some_and(Inode::is_directory)) {
            self.remove(&path);
        }
        self.create(path, &name, entry)
    }

    /// The finished directory, its inodes numbered by their first path.
    fn finish(mut self) -> Result<Entries, LayerError> {
        for (name, time) in std::mem::take(&mut self.times) {
            let path = self.resolve(&name, &name)?;
            if let Some(inode) = self.at_mut(&path) {
                inode.set_time(time);
            }
        }
        let mut numbers = HashMap::new();
        let entry = |(path, id): (Path, usize)| {
            let inode = self.inodes.get(id)?;
            if inode.kind == FileKind::CharDevice(0, 0) {
                return Some((path, Entry::Whiteout));
            }
            let (meta, kind) = (inode.meta.clone(), inode.kind.clone());
            let next = numbers.len() as u64;
            let node = Node { meta, kind, inode: *numbers.entry(id).or_insert(next) };
            let entry = if inode.is_directory() {
                Entry::Directory { node, opaque: inode.opaque, inherit: inode.inherit }
            } else {
                Entry::Node(node)
            };
            Some((path, entry))
        };
        Ok(self.names.into_iter().filter_map(entry).collect())
    }

    fn count(&mut self, entry: &TarEntry) -> Result<(), LayerError> {
        let xattrs: usize = entry.xattrs.iter().map(|(k, v)| k.len() + v.len()).sum();
        let link = match &entry.kind {
            Kind::Symlink(target) | Kind::HardLink(target) => target.len(),
            _ => 0,
        };
        self.entries += 1;
        self.metadata += entry.name.len() + link + xattrs;
        let what = if self.entries > limits::ENTRIES {
            "the layer has over a million entries"
        } else if self.metadata > limits::METADATA {
            "the layer has over 512 MiB of names and attributes"
        } else if xattrs > limits::XATTRS {
            "over 48 KiB of extended attributes"
        } else if entry.xattrs.keys().any(|key| key.len() > limits::XATTR_NAME) {
            "an extended attribute's name over 255 bytes"
        } else {
            return Ok(());
        };
        Err(LayerError::limit(&entry.name, what))
    }

    fn at(&self, path: &[u8]) -> Option<&Inode> {
        self.inodes.get(*self.names.get(path)?)
    }

    fn at_mut(&mut self, path: &[u8]) -> Option<&mut Inode> {
        self.inodes.get_mut(*self.names.get(path)?)
    }

    fn resolve(&self, path: &[u8], name: &[u8]) -> Result<Path, LayerError> {
        resolve(path, |path| match &self.at(path)?.kind {
            FileKind::Symlink(target) => Some(target.as_slice()),
            _ => None,
        })
        .ok_or_else(|| LayerError::unpack(name, "too many symlinks lead to it"))
    }

    /// Makes the missing directories down to `path`.
    fn make_parents(&mut self, path: &[u8], name: &[u8]) -> Result<(), LayerError> {
        if path.is_empty() || self.at(path).is_some_and(Inode::is_directory) {
            return Ok(());
        }
        if let Some(what) = over_limit(path) {
            return Err(LayerError::limit(path, what));
        }
        let ends = (1..path.len()).filter(|&i| path[i] == b'/').chain([path.len()]);
        for end in ends {
            match self.at(&path[..end]) {
                Some(inode) if inode.is_directory() => {}
                Some(_) => {
                    let what = "something above it is no directory in this layer";
                    return Err(LayerError::unpack(name, what));
                }
                None => {
                    // One entry can make 2047 directories, so they count as entries too.
                    self.entries += 1;
                    self.metadata += end;
                    let mut inode = Inode::new(FileKind::Directory, 0o755);
                    inode.inherit = Inherit::All;
                    self.add(path[..end].to_vec(), inode);
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, path: Path, inode: Inode) {
        self.names.insert(path, self.inodes.len());
        self.inodes.push(inode);
    }

    fn remove(&mut self, path: &[u8]) {
        if self.at(path).is_some_and(Inode::is_directory) {
            for path in crate::tree::below(&self.names, path) {
                self.names.remove(&path);
            }
        }
        self.names.remove(path);
    }

    fn set_opaque(&mut self, path: &[u8]) {
        if self.lowest {
            // What has no entry of its own goes, with all below it, which may have entries.
            for path in crate::tree::below(&self.names, path) {
                if self.at(&path).is_some_and(|inode| inode.inherit == Inherit::All) {
                    self.remove(&path);
                }
            }
            return;
        }
        // overlayfs never looks at the root's mark, so it is dropped.
        if let Some(inode) = self.at_mut(path) {
            inode.opaque = true;
        }
    }

    fn white_out(&mut self, parent: Path, hidden: &[u8], name: &[u8]) -> Result<(), LayerError> {
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(LayerError::unpack(name, "it is a whiteout of nothing"));
        }
        let mut path = parent;
        push(&mut path, hidden);
        if let Some(what) = over_limit(&path) {
            return Err(LayerError::limit(&path, what));
        }
        if self.lowest {
            self.remove(&path);
            return Ok(());
        }
        match self.at_mut(&path) {
            // containerd fails here; the specification lets whiteouts hide lower layers only.
            Some(inode) => inode.opaque = inode.is_directory(),
            None => self.add(path, Inode::new(FileKind::CharDevice(0, 0), 0)),
        }
        Ok(())
    }

    fn create(&mut self, path: Path, name: &[u8], entry: TarEntry) -> Result<(), LayerError> {
        let inode = match entry.kind {
            Kind::Global => return Ok(()),
            Kind::HardLink(ref target) => {
                let id = self.link_target(target, name)?;
                self.names.insert(path.clone(), id);
                return self.set_attributes(&path, name, entry);
            }
            Kind::Directory => {
                self.times.push((name.to_vec(), entry.mtime));
                if self.at(&path).is_some() {
                    return self.set_attributes(&path, name, entry);
                }
                Inode::new(FileKind::Directory, 0)
            }
            Kind::Symlink(ref target) => {
                if target.is_empty() {
                    return Err(LayerError::unpack(name, "its symlink target is empty"));
                }
                if target.len() > limits::SYMLINK {
                    return Err(LayerError::limit(name, "a symlink target over 4095 bytes"));
                }
                Inode::new(FileKind::Symlink(target.clone()), 0o777)
            }
            Kind::File(ref content) => Inode::new(FileKind::File(content.clone()), 0),
            Kind::CharDevice(major, minor) => Inode::new(FileKind::CharDevice(major, minor), 0),
            Kind::BlockDevice(major, minor) => Inode::new(FileKind::BlockDevice(major, minor), 0),
            Kind::Fifo => Inode::new(FileKind::Fifo, 0),
        };
        self.add(path.clone(), inode);
        self.set_attributes(&path, name, entry)
    }

    /// The inode of a hard link's target, whose last component's symlink isn't followed.
    fn link_target(&self, target: &[u8], name: &[u8]) -> Result<usize, LayerError> {
        let (parent, base) = split(target);
        let mut path = self.resolve(&clean(parent), name)?;
        if !matches!(base, b"" | b"." | b"..") {
            push(&mut path, base);
            if let Some(&id) = self.names.get(&path) {
                if self.inodes.get(id).is_some_and(|inode| !inode.is_directory()) {
                    return Ok(id);
                }
            } else {
                return Err(LayerError::unpack(name, "its hard link's target isn't in this layer"));
            }
        }
        Err(LayerError::unpack(name, "its hard link's target is a directory"))
    }

    /// Owner, extended attributes, mode and time, in containerd's order, on what is at `path`.
    fn set_attributes(
        &mut self,
        path: &[u8],
        name: &[u8],
        entry: TarEntry,
    ) -> Result<(), LayerError> {
        let Some(inode) = self.at_mut(path) else { return Ok(()) };
        let (directory, symlink) =
            (inode.is_directory(), matches!(inode.kind, FileKind::Symlink(_)));
        let file = matches!(inode.kind, FileKind::File(_));
        if inode.inherit == Inherit::All {
            inode.inherit = Inherit::Xattrs;
        }
        let meta = &mut inode.meta;
        meta.uid = entry.uid.unwrap_or(meta.uid);
        meta.gid = entry.gid.unwrap_or(meta.gid);
        if !directory {
            // A change of owner takes capabilities away, even for root.
            meta.xattrs.remove(CAPABILITY);
        }
        for (key, value) in entry.xattrs {
            let settable = if key.starts_with(b"user.") {
                file || directory
            } else {
                // Others give ENOTSUP, which containerd ignores.
                key.starts_with(b"security.") || (!symlink && key.starts_with(b"system.posix_acl_"))
            };
            if settable {
                if let Some(what) = refused_xattr(&key, &value) {
                    return Err(LayerError::unpack(name, what));
                }
                meta.xattrs.insert(key, value);
            }
        }
        let total: usize = meta.xattrs.iter().map(|(k, v)| k.len() + v.len()).sum();
        if total > limits::XATTRS {
            return Err(LayerError::limit(name, "over 48 KiB of extended attributes"));
        }
        if !symlink {
            meta.mode = entry.mode;
        }
        inode.set_time(entry.mtime);
        Ok(())
    }
}

/// Why Linux refuses an attribute: nothing after the namespace, or a capability that has neither
/// of the sizes of `struct vfs_cap_data` (version 2) and `vfs_ns_cap_data` (version 3).
fn refused_xattr(key: &[u8], value: &[u8]) -> Option<&'static str> {
    if matches!(key, b"user." | b"security.") {
        Some("an extended attribute has no name")
    } else if key == CAPABILITY && !matches!(value.len(), 20 | 24) {
        Some("its file capability is malformed")
    } else {
        None
    }
}

/// Times before 1970 or after the last that fits 64 bits of nanoseconds become 1970
/// (containerd's `boundTime`).
fn bound_time((seconds, nanos): (i64, u32)) -> (i64, u32) {
    const LAST: (i64, u32) = (9_223_372_036, 854_775_807);
    if seconds < 0 || (seconds, nanos) > LAST { (0, 0) } else { (seconds, nanos) }
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
