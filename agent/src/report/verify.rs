//! What `skiff verify` says.

use super::{Event, Report, size};
use serde::Serialize;

/// An image that was compared with its table of contents.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verified {
    /// Its name.
    pub image: String,
    /// What its record points to.
    pub digest: String,
    /// Paths that were compared.
    pub paths: u64,
    /// Bytes that were hashed.
    pub bytes: u64,
    /// Files that are cold.
    pub cold_files: u64,
    /// Paths at which something was not as it should be.
    pub different: u64,
    /// How many of them are mended.
    pub mended: u64,
    /// Bytes received over the network.
    pub bytes_received: u64,
}

impl Report {
    /// Something is not as it should be at this path of an image.
    pub fn different(&self, image: &str, path: &str, what: &[&str]) {
        self.event(&Event::Different { image, path, what });
        self.clear();
        if !self.json {
            self.out(format!("{image}: /{path} {}\n", what.join(", ")));
        }
    }

    /// An image was verified.
    pub fn verified(&self, verified: &Verified) {
        self.event(&Event::Verified(verified));
        self.clear();
        if self.json {
            return;
        }
        let Verified { image, paths, bytes, cold_files, different, mended, .. } = verified;
        let how = match (*different, *different - *mended) {
            (0, _) => "all is as it should be".to_owned(),
            (_, 0) => {
                format!("{different} paths were not as they should be; all of them are mended")
            }
            (_, left) if *mended == 0 => {
                format!("{left} paths are not as they should be; skiff verify --repair mends them")
            }
            (_, left) => format!(
                "{different} paths were not as they should be, and {left} can't be mended; remove the images that share \
                 them (skiff rm) and pull them again"
            ),
        };
        let cold = match cold_files {
            0 => String::new(),
            _ => format!("; {cold_files} files are still to come"),
        };
        self.out(format!("{image}: {paths} paths, {}: {how}{cold}\n", size(*bytes)));
    }

    /// An image can't be verified.
    pub fn unverified(&self, image: &str, reason: &str) {
        self.event(&Event::Unverified { image, reason });
        self.line(&format!("{image} can't be verified: {reason}"));
    }
}
