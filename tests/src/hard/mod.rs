//! Hard images: every corner of a layer that containerd unpacks, in images of a few kilobytes.
//!
//! Each [`Repository`] has one theme and versions `v1`, `v2`, … that turn much of it over, so that
//! every ordered pair of them is an update worth testing.
//!
//! Only what stock containerd unpacks is here, since its result is the yardstick. So there is none of: a
//! hard link whose target is in a lower layer (containerd's overlay unpack looks for it in the
//! layer itself and fails), an old GNU sparse file ("unhandled tar header type 83"), a directory's entry that a
//! later whiteout of the layer removes (setting its time fails), a whiteout *after* an entry of its name in one layer (`mknod` fails),
//! and a device 0:0 (the kernel takes it for a whiteout).

mod contents;
mod kinds;
mod layers;
mod names;
mod packaging;
mod patches;
mod random;

pub use patches::{code, touched};
pub use random::random;

use crate::layout::{Image, Layer, Layout};
use crate::tarball::Entry;
use std::path::Path;

/// One repository to be: its name and its versions.
#[derive(Debug, Clone)]
pub struct Repository {
    /// Name.
    pub name: &'static str,
    /// Tag and what it stands for: one image, or several for an index.
    pub versions: Vec<(String, Vec<Image>)>,
}

impl Repository {
    /// Versions `v1`, `v2`, … of one image each, from the layers' entries.
    fn of(name: &'static str, versions: Vec<Vec<Vec<Entry>>>) -> Self {
        let image = |layers: Vec<Vec<Entry>>| {
            vec![Image::new(layers.iter().map(|entries| Layer::new(entries)).collect())]
        };
        Self::from_images(name, versions.into_iter().map(image).collect())
    }

    fn from_images(name: &'static str, versions: Vec<Vec<Image>>) -> Self {
        let tagged = |(index, images)| (format!("v{}", index + 1), images);
        Self { name, versions: versions.into_iter().enumerate().map(tagged).collect() }
    }

    /// Writes it as a layout below `directory`.
    pub fn write(&self, directory: &Path) -> Layout {
        let layout = Layout::create(directory, self.name);
        for (tag, images) in &self.versions {
            match images.as_slice() {
                [image] => layout.add(tag, image),
                images => layout.add_index(tag, images),
            };
        }
        layout
    }
}

/// All hard images.
pub fn repositories() -> Vec<Repository> {
    vec![
        names::names(),
        names::prefixes(),
        kinds::metadata(),
        kinds::times(),
        kinds::types(),
        kinds::xattrs(),
        kinds::hard_links(),
        contents::sparse(),
        contents::moved(),
        patches::patches(),
        layers::whiteouts(),
        layers::opaque(),
        layers::replaced(),
        layers::duplicates(),
        layers::parents(),
        packaging::compressions(),
        packaging::docker(),
        packaging::index(),
        packaging::docker_list(),
    ]
}

/// A made-up image of `count` small files in directories of a hundred, in one layer. `version` changes
/// every seventh of them.
pub fn many_files(count: u32, version: u32) -> Image {
    let mut entries = Vec::new();
    for number in 0..count {
        if number.is_multiple_of(100) {
            entries.push(Entry::directory(format!("data/{:05}/", number / 100)));
        }
        let salt = if number.is_multiple_of(7) { version } else { 0 };
        let name = format!("data/{:05}/file-{number:07}.txt", number / 100);
        entries.push(Entry::file(name, format!("file {number}, version {salt}\n")));
    }
    Image::new(vec![Layer::new(&entries)])
}

pub use skiff_cold::noise;
