//! What a patched pack makes its bytes out of: files of held images, and contents that came before.
//!
//! A base is only a hint. If it is not there, is cold, is too short or is not what the accelerator believes, zeros stand in its
//! place, the content's digest is wrong, and the content is asked for again without patches ([`super::ContentWriter`]).
//! Files are opened as [`super::copy_held`] opens them.

use super::files::Tables;
use super::{Beneath, layer_of};
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, OFlags, fstat};
use skiff_protocol::script::Step;
use std::ops::Range;

/// Bytes of a base that are in memory.
const BUFFER: usize = 16 * 1024;
/// Bytes that are read at least: most steps are of a few dozen, and the next one is likely to go on close behind.
const AHEAD: usize = 4 * 1024;

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
    /// Bytes of it, and where the first of them is.
    buffer: Vec<u8>,
    from: u64,
    /// The part of the buffer that was read last.
    last: Range<usize>,
    sum: Vec<u8>,
}

impl Base {
    /// Opens what the step names for the content with this number.
    pub(super) fn name(&mut self, tables: &mut Tables<'_>, content: u32, step: &Step<'_>) {
        // The one before is not kept open for nothing.
        self.file = None;
        self.buffer.clear();
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
    pub(super) fn read(&mut self, at: u64, len: u64) -> &[u8] {
        let len = usize::try_from(len).unwrap_or(BUFFER).min(BUFFER);
        let place = |base: &Self| {
            let first = usize::try_from(at.checked_sub(base.from)?).ok()?;
            let place = first..first.checked_add(len)?;
            (place.end <= base.buffer.len()).then_some(place)
        };
        self.last = match place(self) {
            Some(place) => place,
            None => {
                self.load(at, len.max(AHEAD));
                0..len
            }
        };
        &self.buffer[self.last.clone()]
    }

    /// What was read last with these added, which are as many.
    pub(super) fn sum(&mut self, added: &[u8]) -> &[u8] {
        let pairs = self.buffer[self.last.clone()].iter().zip(added);
        self.sum.clear();
        self.sum.extend(pairs.map(|(byte, add)| byte.wrapping_add(*add)));
        &self.sum
    }

    fn load(&mut self, at: u64, len: usize) {
        self.from = at;
        self.buffer.resize(len, 0);
        let mut done = 0;
        while let (Some(file), true) = (&self.file, done < len) {
            match rustix::io::pread(file, &mut self.buffer[done..], at + done as u64) {
                Ok(read) if read > 0 => done += read,
                Ok(_) => break,
                Err(_) => self.file = None,
            }
        }
        self.buffer[done..].fill(0);
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
