//! Tells the image's own files from others that a container opens.

use crate::apply::{Beneath, open_directory};
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::Result;
use skiff_protocol::Digest;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// An image whose container is traced.
#[derive(Debug)]
pub struct Image {
    /// The reference under which the device knows it.
    pub reference: String,
    /// Its manifest.
    pub manifest: Digest,
    layers: Vec<Beneath>,
}

impl Image {
    /// An image with these layers, top first.
    pub fn new(reference: String, manifest: Digest, layers: &[PathBuf]) -> Result<Self> {
        let open = |layer: &PathBuf| open_directory(layer).map(Beneath::new);
        let layers = layers.iter().map(open).collect::<Result<Vec<_>>>()?;
        Ok(Self { reference, manifest, layers })
    }

    /// Whether an opened file is the regular file that the image has at this path. What the container made there
    /// itself has an inode of its own; one of a lower layer shows through overlayfs with the number that it has
    /// there, also after it was copied up (all layers of a snapshotter are on one file system). Nothing is
    /// opened for that (`O_PATH`): the file may be cold.
    pub fn has(&self, path: &[u8], opened: impl AsFd) -> bool {
        let Some(number) = regular(opened) else { return false };
        let found = self.layers.iter().find_map(|layer| layer.open(path, OFlags::PATH).ok());
        found.is_some_and(|found| regular(found) == Some(number))
    }
}

/// The inode number, if it is a regular file's.
#[allow(clippy::useless_conversion, reason = "its type depends on the processor")]
fn regular(file: impl AsFd) -> Option<u64> {
    let stat = fstat(file).ok()?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    is_file.then_some(u64::from(stat.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    #[test]
    fn only_what_the_image_has() {
        let directory = tempfile::tempdir().unwrap();
        let layers = ["top", "low"].map(|name| directory.path().join(name));
        for layer in &layers {
            fs::create_dir_all(layer.join("d")).unwrap();
        }
        let [top, low] = &layers;
        for (layer, name) in [(top, "both"), (low, "both"), (low, "d/low")] {
            fs::write(layer.join(name), "").unwrap();
        }
        fs::write(directory.path().join("own"), "").unwrap();
        let image = Image::new("a:1".to_owned(), Digest([1; 32]), &layers).unwrap();
        let open = |path: PathBuf| File::open(path).unwrap();
        assert!(image.has(b"both", open(top.join("both"))));
        assert!(image.has(b"d/low", open(low.join("d/low"))));
        assert!(!image.has(b"both", open(low.join("both"))), "hidden by the layer above");
        assert!(!image.has(b"d/low", open(directory.path().join("own"))), "another inode");
        assert!(!image.has(b"d", open(low.join("d"))), "a directory");
        assert!(!image.has(b"none", open(top.join("both"))));
    }
}
