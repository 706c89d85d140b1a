//! What must wait until every file is there: hard links, and then the times of directories, which
//! the making of their entries changed.

use super::metadata;
use super::{ApplyError, Beneath, layer_of};
use crate::spool::Entries;
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, OFlags, linkat};
use skiff_protocol::path;
use skiff_protocol::record::Kind;

/// Finishes all layers; after this they are what overlayfs may mount.
pub fn finish(entries: &mut Entries, layers: &mut [Beneath]) -> Result<(), ApplyError> {
    entries.each(|_, stored| match stored.entry.kind {
        Kind::HardLink { first } => {
            link(layer_of(layers, stored.layer)?, stored.entry.suffix, first)
        }
        _ => Ok(()),
    })?;
    entries.each(|_, stored| {
        let Kind::Directory { .. } = stored.entry.kind else { return Ok(()) };
        let (path, meta) = (stored.entry.suffix, &stored.entry.meta);
        let fd = layer_of(layers, stored.layer)?
            .open(path, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(|e| ApplyError::path("open", path, e))?;
        metadata::set_times(fd, path, meta)
    })
}

fn link(layer: &mut Beneath, path: &[u8], first: &[u8]) -> Result<(), ApplyError> {
    path::check(first).map_err(|_| ApplyError::refused(path, "its link target is not allowed"))?;
    let from = match first.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (
            Some(
                layer
                    .open(&first[..slash], OFlags::RDONLY | OFlags::DIRECTORY)
                    .map_err(|e| ApplyError::path("open the directory of", first, e))?,
            ),
            &first[slash + 1..],
        ),
        None => (None, first),
    };
    let root = layer
        .root()
        .try_clone_to_owned()
        .map_err(|_| ApplyError::path("open the directory of", path, rustix::io::Errno::MFILE))?;
    let (parent, name) =
        layer.parent(path).map_err(|e| ApplyError::path("open the directory of", path, e))?;
    let from_parent = from.0.as_ref().map_or(root.as_fd(), AsFd::as_fd);
    linkat(from_parent, from.1, parent, name, AtFlags::empty())
        .map_err(|e| ApplyError::path("make the hard link", path, e))
}
