//! The metadata stream: images with their blobs, contents, layers with their entries.
//!
//! It is encoded in memory, because its exact length belongs into the answer's plan, which goes
//! before it; see [`super`] for how much that is.

use super::contents::{Contents, digest};
use super::delta::{Entry, EntryKind};
use super::{Layer, PlanError, Wanted, count};
use crate::mapped::Mapped;
use crate::packs::deflate;
use crate::sha256::sha256;
use crate::tree::{FileKind, Metadata};
use skiff_protocol::Digest;
use skiff_protocol::limits::{MAX_RECORD, MAX_TARGET, MAX_XATTRS};
use skiff_protocol::path;
use skiff_protocol::record::{self, Kind, Parent, Record, Source, Xattrs};

/// Bytes of a blob in one record.
const BLOB_STEP: usize = 32 * 1024;

/// Encodes and compresses the stream; gives the SHA-256 of what it inflates to, too.
pub(crate) fn encode(
    wanted: &[Wanted],
    layers: &[Layer<'_>],
    layers_of_images: &[Option<u16>],
    parents: &[Parent],
    contents: &Contents,
) -> Result<(Mapped, Digest), PlanError> {
    let mut writer = Writer { bytes: Vec::new(), buffer: vec![0; MAX_RECORD + 2] };
    for (want, layer) in wanted.iter().zip(layers_of_images) {
        images(&mut writer, want, *layer)?;
    }
    for (_, needed) in contents.iter() {
        let source = match &needed.held {
            None => Source::Pack,
            Some(place) => Source::Held { image: place.image, path: &place.path },
        };
        let (size, sha256) = (needed.content.size, digest(&needed.content));
        writer.push(&Record::Content(record::Content { size, sha256, source }))?;
    }
    for (layer, parent) in layers.iter().zip(parents) {
        let reference = &wanted[layer.image].reference;
        let entries = count(layer.entries.len(), "entries")?;
        if let Some(tree) = layer.base {
            writer.push(&Record::Base(record::Base { tree }))?;
        }
        writer.push(&Record::Layer(record::Layer { parent: *parent, entries }))?;
        let mut before: &[u8] = b"";
        for entry in &layer.entries {
            push_entry(&mut writer, reference, entry, before, contents)?;
            before = entry.path;
        }
    }
    writer.push(&Record::End)?;
    let digest = sha256(&writer.bytes);
    Ok((deflate::encode(&writer.bytes, deflate::BEST).map_err(PlanError::Memory)?, digest))
}

fn images(writer: &mut Writer, want: &Wanted, layer: Option<u16>) -> Result<(), PlanError> {
    let reference = &want.reference;
    writer.push(&Record::Image(record::Image { reference, target: want.target, layer }))?;
    for blob in &want.blobs {
        writer.push(&Record::Blob(record::Blob {
            role: blob.role,
            digest: blob.digest,
            size: count(blob.bytes.len(), "bytes of an index, manifest or config")?,
            media_type: &blob.media_type,
        }))?;
        for bytes in blob.bytes.chunks(BLOB_STEP) {
            writer.push(&Record::BlobData(bytes))?;
        }
    }
    Ok(())
}

fn push_entry(
    writer: &mut Writer,
    reference: &str,
    entry: &Entry<'_>,
    before: &[u8],
    contents: &Contents,
) -> Result<(), PlanError> {
    let unfit = |what| PlanError::Entry {
        reference: reference.to_owned(),
        path: String::from_utf8_lossy(entry.path).into_owned(),
        what,
    };
    path::check(entry.path).map_err(|_| unfit("path"))?;
    let shared = path::shared_prefix(before, entry.path);
    let prefix = u16::try_from(shared).map_err(|_| unfit("path"))?;
    let xattrs;
    let (kind, meta) = match entry.kind {
        EntryKind::Whiteout => (Kind::Whiteout, record::Metadata::default()),
        EntryKind::HardLink { first } => (Kind::HardLink { first }, record::Metadata::default()),
        EntryKind::Node { node, opaque } => {
            xattrs = xattr_list(&node.meta).ok_or_else(|| unfit("list of attributes"))?;
            let kind = match &node.kind {
                FileKind::Directory => Kind::Directory { opaque },
                FileKind::File(content) if content.size == 0 => Kind::EmptyFile,
                FileKind::File(content) => {
                    let number = contents.number(&content.sha256);
                    Kind::File { content: number.ok_or(PlanError::TooMany { what: "contents" })? }
                }
                FileKind::Symlink(target) => {
                    if target.is_empty() || target.len() > MAX_TARGET || target.contains(&0) {
                        return Err(unfit("link target"));
                    }
                    Kind::Symlink { target }
                }
                FileKind::CharDevice(major, minor) => {
                    Kind::CharDevice { major: *major, minor: *minor }
                }
                FileKind::BlockDevice(major, minor) => {
                    Kind::BlockDevice { major: *major, minor: *minor }
                }
                FileKind::Fifo => Kind::Fifo,
            };
            (kind, metadata(&node.meta, &xattrs))
        }
    };
    let suffix = &entry.path[shared..];
    writer.push(&Record::Entry(record::Entry { prefix, suffix, kind, meta }))
}

fn metadata<'a>(meta: &Metadata, xattrs: &'a [u8]) -> record::Metadata<'a> {
    record::Metadata {
        mode: meta.mode,
        uid: meta.uid,
        gid: meta.gid,
        mtime: meta.mtime,
        mtime_nanos: meta.mtime_nanos,
        xattrs: Xattrs(xattrs),
    }
}

fn xattr_list(meta: &Metadata) -> Option<Vec<u8>> {
    let mut list = Vec::new();
    for (name, value) in &meta.xattrs {
        list.extend_from_slice(&Xattrs::head(name, value).ok()?);
        list.extend_from_slice(name);
        list.extend_from_slice(value);
    }
    (list.len() <= MAX_XATTRS).then_some(list)
}

struct Writer {
    bytes: Vec<u8>,
    buffer: Vec<u8>,
}

impl Writer {
    fn push(&mut self, record: &Record<'_>) -> Result<(), PlanError> {
        let bytes = record
            .encode(&mut self.buffer)
            .map_err(|_| PlanError::TooMany { what: "bytes in a record" })?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}
