//! What a patched pack makes its bytes out of: files of held images, and contents that came before.
//!
//! A base is only a hint. If it is not there, is cold, is too short or is not what the accelerator believes, zeros stand in its
//! place, the content's digest is wrong, and the content is asked for again without patches ([`super::ContentWriter`]).
//! Files are opened as [`super::copy_held`] opens them.

use super::content::Tables;
use super::{Beneath, layer_of};
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, OFlags, fstat};
use skiff_protocol::script::Step;

/// Bytes of a base that are in memory.
const BUFFER: usize = 16 * 1024;

/// The layers of the held images that patches may refer to, top first; none of an image that they don't refer to.
#[derive(Debug, Default)]
pub struct Bases(Vec<Vec<Beneath>>);

impl Bases {
    /// Those of these images, which are in the order of the request.
    pub fn new(images: Vec<Vec<Beneath>>) -> Self {
        Self(images)
    }

    /// The file that the image shows under this path. As the accelerator knows its tree, there is one, and whiteouts are not
    /// looked at.
    fn open(&self, image: u16, path: &[u8]) -> Option<OwnedFd> {
        let layers = self.0.get(usize::from(image))?;
        layers.iter().find_map(|layer| open(layer, path))
    }
}

/// The base that was named last.
#[derive(Debug, Default)]
pub(super) struct Base {
    file: Option<OwnedFd>,
    buffer: Vec<u8>,
}

impl Base {
    /// Opens what the step names for the content with this number.
    pub(super) fn name(&mut self, tables: &mut Tables<'_>, content: u32, step: &Step<'_>) {
        // The one before is not kept open for nothing.
        self.file = None;
        self.file = match *step {
            Step::BaseHeld { image, path: b"" } => {
                first_entry(tables, content).and_then(|(_, path)| tables.bases.open(image, &path))
            }
            Step::BaseHeld { image, path } => tables.bases.open(image, path),
            Step::BaseContent { content: base } => earlier(tables, base),
            _ => None,
        };
    }

    /// At most so many of its bytes from `at` on, or zeros.
    pub(super) fn read(&mut self, at: u64, len: u64) -> &mut [u8] {
        self.buffer.resize(BUFFER, 0);
        let len = usize::try_from(len).unwrap_or(BUFFER).min(BUFFER);
        let bytes = &mut self.buffer[..len];
        let mut done = 0;
        while let (Some(file), true) = (&self.file, done < len) {
            match rustix::io::pread(file, &mut bytes[done..], at + done as u64) {
                Ok(read) if read > 0 => done += read,
                _ => self.file = None,
            }
        }
        bytes[done..].fill(0);
        bytes
    }
}

/// A content that is in its files, by the first of them.
fn earlier(tables: &mut Tables<'_>, content: u32) -> Option<OwnedFd> {
    if tables.contents.get(content).ok()??.state.is_missing() {
        return None;
    }
    let (layer, path) = first_entry(tables, content)?;
    open(layer_of(tables.layers, layer).ok()?, &path)
}

fn first_entry(tables: &mut Tables<'_>, content: u32) -> Option<(u16, Vec<u8>)> {
    let first = tables.contents.get(content).ok()??.first?;
    let stored = tables.entries.get(first).ok()?;
    Some((stored.layer, stored.entry.suffix.to_vec()))
}

fn open(layer: &Beneath, path: &[u8]) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = layer.open(path, flags).ok()?;
    let stat = fstat(&file).ok()?;
    (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then_some(file)
}
