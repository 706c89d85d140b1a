//! What a later process needs to hydrate a deployment: `STATE/hydrating/ID/journal`.
//!
//! Beside it lie the table of contents of the pull (`spool`): the rows of contents say which of them are in
//! their files. A row is `Filled` when its files are whole, and `Done` only when they are known to be on the disk,
//! so that a power cut at worst fetches a content again.

use crate::json;
use crate::pull::Holding;
use crate::state::StateError;
use crate::sync;
use serde::{Deserialize, Serialize};
use skiff_protocol::Digest;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

const NAME: &str = "journal";

/// A deployment that can be started and is not all there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Journal {
    /// The ID of its pull.
    pub id: String,
    /// Base address of the accelerator.
    pub accelerator: String,
    /// The length of its packs, if the accelerator takes requests for the rest of them.
    pub pack_len: Option<u32>,
    /// Names the deployment to the accelerator.
    pub deployment: [u8; 16],
    /// The plan whose contents are numbered here.
    pub plan: [u8; 32],
    /// The images, in the order of the plan.
    pub images: Vec<JournalImage>,
    /// What was held when the plan was made.
    pub held: Vec<Holding>,
    /// For each layer the directories that it may be in: it is moved at most once, and that is written
    /// down before.
    pub layers: Vec<Vec<PathBuf>>,
    /// Whether all image records were made.
    pub visible: bool,
}

/// An image of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JournalImage {
    /// The reference, as it was asked for.
    pub reference: String,
    /// What it named.
    pub target: [u8; 32],
}

impl JournalImage {
    /// The same image, whatever the reference names by now.
    pub fn pinned(&self) -> String {
        let name = self.reference.split_once('@').map_or(&*self.reference, |(name, _)| name);
        format!("{name}@{}", Digest(self.target))
    }
}

impl Journal {
    /// Writes it down in this directory, durably.
    pub fn write(&self, directory: &Path) -> Result<(), StateError> {
        let path = directory.join(NAME);
        let text = json::text(self).map_err(|e| StateError::io(&path, e.into()))?;
        sync::replace(&path, |file| file.write_all(text.as_bytes()))
            .map_err(|e| StateError::io(&path, e))
    }

    /// Reads that of this directory.
    pub fn read(directory: &Path) -> Result<Self, StateError> {
        let path = directory.join(NAME);
        let mut file = File::open(&path).map_err(|e| StateError::io(&path, e))?;
        json::read(&mut file).map_err(|_| StateError::damaged(&path))
    }

    /// A layer is about to be moved.
    pub fn moves(&mut self, layer: usize, to: &Path) {
        if let Some(directories) = self.layers.get_mut(layer) {
            directories.push(to.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_pinned_to_what_it_was() {
        let digest = "0707070707070707070707070707070707070707070707070707070707070707";
        for reference in ["host:5000/app:1", "host:5000/app:1@sha256:aa"] {
            let image = JournalImage { reference: reference.to_owned(), target: [7; 32] };
            assert_eq!(image.pinned(), format!("host:5000/app:1@sha256:{digest}"));
        }
    }
}
