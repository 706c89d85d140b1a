//! Copies contents from files of held images, and checks them on the way.
//!
//! Files are opened with `O_NONBLOCK`: a held file that is not hydrated yet is under a lease of
//! the agent itself, and a plain open would wait for itself. `EAGAIN` then means "cold, no source".

use super::copy::copy_bytes;
use super::entry::create_file;
use super::files::{Tables, complete};
use super::hash::{PIECE, hash_file};
use super::{ApplyError, Beneath, layer_of};
use crate::spool::{ContentRow, Origin, State};
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::Errno;

/// Makes every file whose content is held. `held` has, for each image of the request, its
/// overlay layers, top first. Sources that are missing or changed are marked as damaged in the
/// contents; gives how many.
pub fn copy_held(tables: &mut Tables<'_>, held: &[Vec<Beneath>]) -> Result<u32, ApplyError> {
    let mut damaged = 0;
    let mut path = Vec::new();
    let mut buffer = vec![0; PIECE];
    for number in 0..tables.contents.count() {
        let Some(row) = tables.contents.get(number)? else { break };
        let Origin::Held { image, path: place } = row.origin else { continue };
        let layers = held
            .get(usize::from(image))
            .ok_or_else(|| ApplyError::contradiction("a source is in an image that is not held"))?;
        let first =
            row.first.ok_or_else(|| ApplyError::contradiction("a content belongs to no file"))?;
        if place.1 == 0 {
            path.clear();
            path.extend_from_slice(tables.entries.get(first)?.entry.suffix);
        } else {
            tables.entries.path(place, &mut path)?;
        }
        skiff_protocol::path::check(&path)
            .map_err(|_| ApplyError::refused(&path, "a source's path is not allowed"))?;
        if !copy_one(tables, number, row, layers, &path, &mut buffer)? {
            damaged += 1;
            tables.contents.put(number, &ContentRow { state: State::Damaged, ..row })?;
        }
    }
    Ok(damaged)
}

/// Looks for the file in the held image's layers, top first. Whiteouts are not looked at: what
/// counts is the digest, and a file that is hidden but has the right bytes will do.
fn copy_one(
    tables: &mut Tables<'_>,
    number: u32,
    row: ContentRow,
    layers: &[Beneath],
    path: &[u8],
    buffer: &mut [u8],
) -> Result<bool, ApplyError> {
    for layer in layers {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let Ok(from) = layer.open(path, flags) else { continue };
        let right = fstat(&from).is_ok_and(|stat| {
            FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                && u64::try_from(stat.st_size) == Ok(row.size)
        });
        if right && copy_checked(tables, number, row, &from, buffer)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Copies to the first entry's file, hashing what stands there; removes it again if it is wrong.
fn copy_checked(
    tables: &mut Tables<'_>,
    number: u32,
    row: ContentRow,
    from: &OwnedFd,
    buffer: &mut [u8],
) -> Result<bool, ApplyError> {
    let first =
        row.first.ok_or_else(|| ApplyError::contradiction("a content belongs to no file"))?;
    let stored = tables.entries.get(first)?;
    let target = stored.entry.suffix;
    let layer = layer_of(tables.layers, stored.layer)?;
    let to = create_file(layer, target)?;
    let copied = copy_bytes(from, &to, row.size);
    match copied {
        Ok(()) => {}
        // The source can't be read; what can't be written is an error of this device.
        Err(Errno::IO) => {}
        Err(e) => return Err(ApplyError::path("copy to", target, e)),
    }
    if copied.is_ok() && hash_file(&to, buffer).is_ok_and(|found| found == row.sha256) {
        complete(tables, number, row, first, to)?;
        return Ok(true);
    }
    let (parent, name) =
        layer.parent(target).map_err(|e| ApplyError::path("open the directory of", target, e))?;
    rustix::fs::unlinkat(parent, name, rustix::fs::AtFlags::empty())
        .map_err(|e| ApplyError::path("remove", target, e))?;
    Ok(false)
}
