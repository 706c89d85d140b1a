//! What was used first, noted once.

use super::TraceError;
use super::image::Image;
use super::sink::Sink;
use skiff_protocol::limits::MAX_TRACED;
use skiff_protocol::path;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::AsFd;
use std::time::Instant;

/// The notes of one trace.
#[derive(Debug)]
pub struct Notes {
    /// The images whose containers were traced; files name them by their place.
    pub images: Vec<Image>,
    /// Takes the files.
    pub sink: Sink,
    /// When the first container was about to start.
    pub started: Option<Instant>,
    /// Whether events were dropped, by the kernel or for want of room here.
    pub gaps: bool,
    /// Whether lines must tell images from each other.
    several: bool,
    /// Hashes of images and paths, since a path may be 4 KiB long: at most 65,536 of eight bytes.
    seen: HashSet<u64>,
    hasher: RandomState,
}

impl Notes {
    /// No notes yet.
    pub fn new(sink: Sink, several: bool) -> Self {
        let (images, seen) = (Vec::new(), HashSet::new());
        Self { images, sink, started: None, gaps: false, several, seen, hasher: RandomState::new() }
    }

    /// How many files were noted.
    pub fn files(&self) -> usize {
        self.seen.len()
    }

    /// Notes that a file was opened under this path, if the image has it and it is the first time.
    pub fn opened(&mut self, image: usize, path: &[u8], file: impl AsFd) -> Result<(), TraceError> {
        let hash = self.hasher.hash_one((image, path));
        let (Some(of), Ok(number)) = (self.images.get(image), u16::try_from(image)) else {
            return Ok(());
        };
        if self.seen.contains(&hash) || path::check(path).is_err() || !of.has(path, file) {
            return Ok(());
        }
        let since = self.started.map(|started| started.elapsed().as_millis()).unwrap_or_default();
        let millis = u32::try_from(since).unwrap_or(u32::MAX);
        let room = self.seen.len() < MAX_TRACED
            && self.sink.take((number, &of.reference), millis, path, self.several)?;
        if room {
            self.seen.insert(hash);
        } else {
            self.gaps = true;
        }
        Ok(())
    }
}
