//! Cutting: which bytes a pack holds, its name in the cache, and the reading of those bytes.

use super::encoding::Encoding;
use super::framed::{Form, Pack};
use crate::mapped::Mapped;
use crate::patch::{self, Patch, Window};
use crate::plan::contents::Contents;
use crate::plan::patch_base::PatchBase;
use crate::plan::space::{Piece, Space};
use crate::sha256::Sha256;
use crate::tree::Content;
use futures_util::future::try_join_all;
use skiff_protocol::Digest;
use skiff_protocol::limits::MAX_SCRIPT;
use skiff_protocol::request::Codecs;
use skiff_protocol::response::Codec;
use skiff_protocol::script::Operation;
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
    with_patches: bool,
}

/// What is encoded to be a pack.
#[derive(Debug)]
pub enum Filling {
    /// The content bytes.
    Plain(Mapped),
    /// A script that makes them.
    Script(Vec<u8>),
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
        Self { contents, space, reader, encoding, with_patches: false }
    }

    /// Packs may be patches.
    #[must_use]
    pub fn with_patches(self) -> Self {
        Self { with_patches: true, ..self }
    }

    /// How a pack is encoded.
    pub fn codec(&self, is_script: bool) -> Codec {
        match is_script {
            true => self.encoding.codec.of_script(),
            false => self.encoding.codec,
        }
    }

    /// What a device has to decode to read all packs.
    pub fn codecs(&self) -> Codecs {
        match self.with_patches {
            true => self.encoding.codecs().and(Codecs::PATCHES),
            false => self.encoding.codecs(),
        }
    }

    /// The space that is cut.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Content bytes of a pack.
    pub fn len(&self, number: u32) -> u32 {
        self.space.pack(number).iter().map(|piece| piece.len).sum()
    }

    /// For each piece of a pack its content and the part of it that has the piece, if there may be a patch that makes that.
    pub fn may_be_patched(&self, number: u32) -> Vec<Option<(u32, Window)>> {
        let pieces = self.space.pack(number);
        let part = |piece: &Piece| {
            let (_, window) = self.base(&pieces, piece)?;
            Some((piece.content, window))
        };
        pieces.iter().map(part).collect()
    }

    /// Whether a pack may have patches.
    pub fn has_patches(&self, number: u32) -> bool {
        self.with_patches && self.may_be_patched(number).iter().any(Option::is_some)
    }

    /// What a patch for a piece of a pack is put on, and between which parts of both. An earlier content has to be there before the
    /// pack.
    fn base(&self, pack: &[Piece], piece: &Piece) -> Option<(&PatchBase, Window)> {
        let needed = self.contents.get(piece.content)?;
        let base = needed.base.as_ref()?;
        if let PatchBase::Earlier(number) = base
            && *number >= pack.first()?.content
        {
            return None;
        }
        let bytes = piece.offset..piece.offset + u64::from(piece.len);
        let size = self.contents.base_of(needed)?.size;
        Some((base, Window::of(size, needed.content.size, bytes)?))
    }

    fn sha256(&self, number: u32) -> [u8; 32] {
        self.contents.get(number).map_or([0; 32], |needed| needed.content.sha256)
    }

    /// A name for the encoded pack: a digest of what is in it and how it is encoded, so that equal
    /// packs of different plans are one in the cache. With patches it has another.
    pub fn key(&self, number: u32, with_patches: bool) -> Digest {
        let mut hash = Sha256::new();
        hash.update(self.encoding.name());
        hash.update(self.encoding.level.to_le_bytes());
        let pieces = self.space.pack(number);
        for piece in &pieces {
            hash.update(self.sha256(piece.content));
            hash.update(piece.offset.to_le_bytes());
            hash.update(piece.len.to_le_bytes());
            let base = self.base(&pieces, piece).filter(|_| with_patches);
            if base.is_some() {
                hash.update(b"or by patch");
                hash.update(patch::MAKER.to_le_bytes());
            }
            match base.map(|(base, _)| base) {
                Some(PatchBase::Held { place, content }) => {
                    hash.update(content.sha256);
                    hash.update(place.image.to_le_bytes());
                    hash.update((place.path.len() as u64).to_le_bytes());
                    hash.update(&place.path);
                }
                Some(PatchBase::Earlier(number)) => {
                    hash.update(b"of");
                    hash.update(self.sha256(*number));
                    hash.update(number.to_le_bytes());
                }
                None => {}
            }
        }
        hash.finish()
    }

    /// Encodes what a pack holds. Blocks, for some 100 ms.
    pub fn encode(&self, filling: &Filling) -> Result<Pack, PackError> {
        let (bytes, is_script): (&[u8], _) = match filling {
            Filling::Plain(bytes) => (bytes, false),
            Filling::Script(script) => (script, true),
        };
        let encoded = self.encoding.encode(bytes).map_err(PackError::Memory)?;
        let form = Form { is_script, is_quick: self.encoding.codec == Codec::Zstd };
        Pack::new(&encoded, form).map_err(PackError::Memory)
    }

    /// Brings together what a pack holds, with the patches that there are for each of its [pieces](Self::may_be_patched). What no
    /// patch makes is read, all pieces at once, so that what has to be fetched is fetched in one round trip, as far as the
    /// reader allows.
    pub async fn fill(
        &self,
        number: u32,
        patches: &[Option<Arc<Patch>>],
    ) -> Result<Filling, PackError> {
        let pieces = self.space.pack(number);
        let patch = |place: usize| patches.get(place).and_then(Option::as_ref);
        if (0..pieces.len()).all(|place| patch(place).is_none()) {
            return Ok(Filling::Plain(self.read(&pieces).await?));
        }
        let plain = pieces.iter().enumerate().filter(|(place, _)| patch(*place).is_none());
        let plain: Vec<Piece> = plain.map(|(_, piece)| *piece).collect();
        let bytes = self.read(&plain).await?;
        let mut bytes = &bytes[..];
        let mut script = Vec::new();
        for (place, piece) in pieces.iter().enumerate() {
            let mut write = |operation: Operation<'_>| {
                operation.write(|bytes| script.extend_from_slice(bytes));
            };
            match (patch(place), self.base(&pieces, piece)) {
                (Some(patch), Some((base, window))) => {
                    write(match base {
                        PatchBase::Held { place, .. } => {
                            Operation::BaseHeld { image: place.image, path: &place.path }
                        }
                        PatchBase::Earlier(number) => Operation::BaseContent(*number),
                    });
                    let from = piece.offset - window.target.start;
                    patch.slice(from, from + u64::from(piece.len), window.base.start, &mut script);
                }
                _ => {
                    let len = usize::try_from(piece.len).unwrap_or(0).min(bytes.len());
                    let (now, later) = bytes.split_at(len);
                    write(Operation::Insert(now));
                    bytes = later;
                }
            }
        }
        // A longer script is none: what it is decoded in has no room for it.
        match script.len() <= MAX_SCRIPT as usize {
            true => Ok(Filling::Script(script)),
            false => Ok(Filling::Plain(self.read(&pieces).await?)),
        }
    }

    async fn read(&self, pieces: &[Piece]) -> Result<Mapped, PackError> {
        let len: u32 = pieces.iter().map(|piece| piece.len).sum();
        let mut bytes =
            Mapped::zeroed(usize::try_from(len).unwrap_or(0)).map_err(PackError::Memory)?;
        let mut rest = &mut bytes[..];
        let mut reads = Vec::new();
        for piece in pieces {
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
