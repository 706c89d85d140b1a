//! Cutting: which bytes a pack holds, its name in the cache, and the reading of those bytes.

use super::encoding::Encoding;
use super::framed::Pack;
use crate::mapped::Mapped;
use crate::plan::contents::Contents;
use crate::plan::space::Space;
use crate::sha256::Sha256;
use crate::tree::Content;
use futures_util::future::try_join_all;
use skiff_protocol::Digest;
use skiff_protocol::request::Codecs;
use skiff_protocol::response::Codec;
use std::sync::Arc;

/// Why a content can't be read.
pub type ReadError = Box<dyn std::error::Error + Send + Sync>;

/// Reads contents of the wanted images.
pub trait ReadContent: Send + Sync + 'static {
    /// Fills `into` with the content's bytes from `offset`. `image` is the index of a wanted image
    /// that has the content.
    fn read(
        &self,
        image: usize,
        content: &Content,
        offset: u64,
        into: &mut [u8],
    ) -> impl Future<Output = Result<(), ReadError>> + Send;
}

/// Why a pack can't be made.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A content can't be read.
    #[error("the content {content} can't be read from its layer")]
    Read {
        /// The content.
        content: Digest,
        /// Why.
        source: ReadError,
    },
    /// The pack cache fails.
    #[error("the pack cache fails")]
    Cache(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The system has no memory for it.
    #[error("there is no memory for a pack")]
    Memory(#[source] std::io::Error),
    /// The pack's maker panicked or was cancelled.
    #[error("the encoder of a pack ended early")]
    Encoder(#[source] tokio::task::JoinError),
}

/// The packs of one content space.
pub struct Cutter<R> {
    contents: Arc<Contents>,
    space: Arc<Space>,
    reader: Arc<R>,
    encoding: Encoding,
}

impl<R> std::fmt::Debug for Cutter<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cutter").field("packs", &self.space.packs()).finish_non_exhaustive()
    }
}

impl<R: ReadContent> Cutter<R> {
    /// The packs of `space`, whose numbers are those of `contents`.
    pub fn new(
        contents: Arc<Contents>,
        space: Arc<Space>,
        reader: Arc<R>,
        encoding: Encoding,
    ) -> Self {
        Self { contents, space, reader, encoding }
    }

    /// How a pack is encoded.
    pub fn codec(&self, _number: u32) -> Codec {
        self.encoding.codec
    }

    /// What a device has to decode to read all packs.
    pub fn codecs(&self) -> Codecs {
        self.encoding.codecs()
    }

    /// The space that is cut.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Content bytes of a pack.
    pub fn len(&self, number: u32) -> u32 {
        self.space.pack(number).iter().map(|piece| piece.len).sum()
    }

    /// A name for the encoded pack: a digest of what is in it and how it is encoded, so that equal
    /// packs of different plans are one in the cache.
    pub fn key(&self, number: u32) -> Digest {
        let mut hash = Sha256::new();
        hash.update(self.encoding.name());
        hash.update(self.encoding.level.to_le_bytes());
        for piece in self.space.pack(number) {
            let sha256 = self.contents.get(piece.content).map_or([0; 32], |c| c.content.sha256);
            hash.update(sha256);
            hash.update(piece.offset.to_le_bytes());
            hash.update(piece.len.to_le_bytes());
        }
        hash.finish()
    }

    /// Encodes what a pack holds. Blocks, for some 100 ms.
    pub fn encode(&self, bytes: &[u8]) -> Result<Pack, PackError> {
        let encoded = self.encoding.encode(bytes).map_err(PackError::Memory)?;
        Pack::new(&encoded).map_err(PackError::Memory)
    }

    /// Reads what a pack holds: all pieces at once, so that what has to be fetched is fetched in one
    /// round trip, as far as the reader allows.
    pub async fn fill(&self, number: u32) -> Result<Mapped, PackError> {
        let len = usize::try_from(self.len(number)).unwrap_or(0);
        let mut bytes = Mapped::zeroed(len).map_err(PackError::Memory)?;
        let mut rest = &mut bytes[..];
        let mut reads = Vec::new();
        for piece in self.space.pack(number) {
            let Some(needed) = self.contents.get(piece.content) else { continue };
            let len = usize::try_from(piece.len).unwrap_or(0);
            let (into, behind) = std::mem::take(&mut rest).split_at_mut(len);
            rest = behind;
            reads.push(async move {
                let read = self.reader.read(needed.image, &needed.content, piece.offset, into);
                read.await.map_err(|source| {
                    let content = Digest(needed.content.sha256);
                    PackError::Read { content, source }
                })
            });
        }
        try_join_all(reads).await?;
        Ok(bytes)
    }
}
