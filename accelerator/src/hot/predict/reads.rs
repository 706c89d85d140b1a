//! Reads of an image's files, bounded in number, bytes and time. Each stage of a prediction has bounds of its own, so
//! that an odd one takes nothing from the others.

use crate::packs::cut::ReadContent;
use crate::tree::{Content, Path, Tree};
use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

/// Files that are read at once.
const AT_ONCE: usize = 64;

/// What a stage may still read.
#[derive(Debug)]
pub(super) struct Reads<'a, R> {
    tree: &'a Tree,
    reader: &'a R,
    until: Instant,
    /// Files.
    files: usize,
    /// Bytes.
    bytes: u64,
}

impl<'a, R: ReadContent> Reads<'a, R> {
    pub(super) fn new(tree: &'a Tree, reader: &'a R, until: Instant) -> Self {
        Self { tree, reader, until, files: 0, bytes: 0 }
    }

    /// The same, with so much to read.
    pub(super) fn with(&self, files: usize, bytes: u64) -> Self {
        Self { files, bytes, ..*self }
    }

    /// Whether there is no more time. Lets others run in between, since names are looked up without a pause.
    pub(super) async fn is_over(&self) -> bool {
        tokio::task::yield_now().await;
        Instant::now() >= self.until
    }

    /// The beginning of a file.
    pub(super) async fn head(&mut self, content: &Content, most: u64) -> Option<Vec<u8>> {
        self.files = self.files.checked_sub(1)?;
        self.piece(content, 0, most.min(content.size)).await
    }

    /// A piece of a file.
    pub(super) async fn piece(
        &mut self,
        content: &Content,
        offset: u64,
        len: u64,
    ) -> Option<Vec<u8>> {
        self.bytes = self.bytes.checked_sub(len)?;
        read(self.reader, self.until, content, offset, len).await
    }

    /// Whole files that have at most so many bytes; nothing for the others, and for what is too much. They are read
    /// in the order in which they lie in the image, since what is near each other there is had together.
    pub(super) async fn texts(&mut self, paths: &[Path], most: u64) -> Vec<Option<Vec<u8>>> {
        let mut wanted: Vec<(usize, &Content)> = Vec::new();
        for (index, path) in paths.iter().enumerate() {
            let Some(content) = self.tree.content(path).filter(|c| c.size <= most) else {
                continue;
            };
            let left = (self.files.checked_sub(1), self.bytes.checked_sub(content.size));
            let (Some(files), Some(bytes)) = left else { break };
            (self.files, self.bytes) = (files, bytes);
            wanted.push((index, content));
        }
        wanted.sort_by_key(|(_, content)| {
            (content.layer, content.extents.first().map_or(0, |extent| extent.tar_offset))
        });
        let mut texts = vec![None; paths.len()];
        for some in wanted.chunks(AT_ONCE) {
            let reads = some
                .iter()
                .map(|(_, content)| read(self.reader, self.until, content, 0, content.size));
            for ((index, _), text) in some.iter().zip(join_all(reads).await) {
                texts[*index] = text;
            }
        }
        texts
    }
}

async fn read<R: ReadContent>(
    reader: &R,
    until: Instant,
    content: &Content,
    offset: u64,
    len: u64,
) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len).ok()?];
    match timeout_at(until, reader.read(0, content, offset, &mut bytes)).await {
        Ok(Ok(())) => Some(bytes),
        Ok(Err(error)) => {
            tracing::warn!("a file can't be looked into for what its image starts with: {error}");
            None
        }
        Err(_) => None,
    }
}
