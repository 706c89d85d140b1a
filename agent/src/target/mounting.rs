//! The tree of an image, read-only, on a directory.
//!
//! The layers are the lower layers of an overlay. One layer alone is, too, with an empty directory below it: an overlay
//! without an upper layer needs two. Were it bound instead, whoever executes a file that was cold a moment ago could
//! meet `ETXTBSY`, since its bytes are written through a descriptor that stays open until after the waiting open went on. The
//! kernel looks for writers in the overlay's own inode, which has none.
//!
//! The options of a mount must fit into one page. So the layers are named relative to the directory that all of them lie in
//! (`12/fs:11/fs:…`), which becomes the working directory meanwhile, as containerd does it: more
//! than 300 layers fit. (`fsconfig` with `lowerdir+` has no such limit, but needs Linux 6.5.)
//!
//! The mount refers to the layers, not to a snapshot: it stays when the image is removed, and is
//! ended with `umount`.

use super::{TargetError, TargetTrouble};
use crate::apply::open_directory;
use rustix::fd::OwnedFd;
use rustix::mount::{MountFlags, UnmountFlags, mount as mount_at, unmount};
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Mounts layers, top first. `empty` is where the empty directory is, or is made.
pub(super) fn mount(layers: &[PathBuf], empty: &Path, directory: &Path) -> Result<(), TargetError> {
    let failed = |source: io::Error| TargetTrouble::Mount { path: directory.to_owned(), source };
    // The working directory changes below.
    let directory = directory.canonicalize().map_err(failed)?;
    let base = common_base(layers)?;
    let options = if layers.len() == 1 {
        std::fs::create_dir_all(empty).map_err(failed)?;
        let empty = empty.canonicalize().map_err(failed)?;
        options([layers, &[empty]].concat().as_slice(), base)?
    } else {
        options(layers, base)?
    };
    let before = std::env::current_dir();
    std::env::set_current_dir(base).map_err(failed)?;
    let mounted =
        mount_at("overlay", &directory, "overlay", MountFlags::RDONLY, Some(options.as_c_str()));
    if let Ok(before) = before {
        // If it was removed meanwhile, there is none to go back to.
        let _ = std::env::set_current_dir(before);
    }
    Ok(mounted.map_err(|errno| failed(errno.into()))?)
}

/// The same tree as a descriptor: it is mounted on a directory of ours only until that is open, so nothing is left of it whatever
/// becomes of this process.
pub(super) fn open(
    layers: &[PathBuf],
    empty: &Path,
    directory: &Path,
) -> Result<OwnedFd, TargetError> {
    let failed = |source: io::Error| TargetTrouble::Mount { path: directory.to_owned(), source };
    std::fs::create_dir_all(directory).map_err(failed)?;
    mount(layers, empty, directory)?;
    let tree = open_directory(directory);
    unmount(directory, UnmountFlags::DETACH).map_err(|errno| failed(errno.into()))?;
    Ok(tree.map_err(|errno| failed(errno.into()))?)
}

/// The directory above `N/fs` of all layers.
fn common_base(layers: &[PathBuf]) -> Result<&Path, TargetError> {
    let base = |layer: &'_ PathBuf| layer.parent().and_then(Path::parent).map(Path::to_owned);
    let first = layers.first().and_then(|layer| layer.parent()).and_then(Path::parent);
    let Some(first) = first else {
        return Err(TargetError::scattered(Path::new("")));
    };
    match layers.iter().find(|layer| base(layer).as_deref() != Some(first)) {
        Some(other) => Err(TargetError::scattered(other)),
        None => Ok(first),
    }
}

fn options(layers: &[PathBuf], base: &Path) -> Result<CString, TargetError> {
    let mut options = b"lowerdir=".to_vec();
    for (number, layer) in layers.iter().enumerate() {
        if number > 0 {
            options.push(b':');
        }
        let name = layer.strip_prefix(base).unwrap_or(layer).as_os_str().as_bytes();
        if name.iter().any(|byte| b":,\\".contains(byte)) {
            return Err(TargetError::scattered(layer));
        }
        options.extend_from_slice(name);
    }
    CString::new(options).map_err(|_| TargetError::scattered(base))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_named_in_short() {
        let layers: Vec<_> = (0..64)
            .map(|n| PathBuf::from(format!("/var/lib/c/snapshots/{}/fs", 9999 - n)))
            .collect();
        let base = common_base(&layers).unwrap();
        assert_eq!(base, Path::new("/var/lib/c/snapshots"));
        let options = options(&layers, base).unwrap();
        assert!(options.as_bytes().starts_with(b"lowerdir=9999/fs:9998/fs:"));
        assert!(options.as_bytes().len() < 4000);
        let scattered = [PathBuf::from("/a/1/fs"), PathBuf::from("/b/2/fs")];
        assert!(common_base(&scattered).is_err());
    }
}
