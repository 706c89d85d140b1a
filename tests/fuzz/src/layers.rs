//! Tars of an image's layers: read, applied one by one, merged as overlayfs does.
//!
//! Each layer is its length (u32 LE) and its blob.
//!
//! Must hold, whatever the bytes are:
//! - Every byte of the tar goes to the sink, once, and has the diff ID.
//! - What a layer holds can be in a tree: paths that stay inside, parents that are directories of the same layer,
//!   names, targets and attributes within their limits, no `trusted.*` attribute.
//! - A content's extents lie in the tar, in order, and its digest is that of the bytes there.
//! - Layers and trees come back from their encoding.
//! - The merged tree shows at each path what a look-up from the topmost layer downwards finds.
//!
//! The planted fault: a merge that does not see whiteouts and opaque marks.

use crate::chance::Chance;
use crate::table::check_path;
use crate::{Planted, Target};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};
use skiff_accelerator::layer::{AppliedLayer, Entries, Entry, merge, read_layer};
use skiff_accelerator::tree::{Content, FileKind, Metadata, Path, Tree};
use skiff_protocol::limits::{MAX_TARGET, MAX_XATTRS};
use skiff_tests::tarball::{self, SparseStyle, archive};
use std::collections::BTreeSet;
use std::io::Write;

/// The target.
pub const TARGET: Target = Target { name: "layers", check, generate, inputs: 8_000 };

/// Most layers that are looked at.
const LAYERS: usize = 4;
/// More bytes of a tar are not kept.
const KEPT: usize = 8 << 20;

/// Its body.
pub fn check(input: &[u8], planted: Planted) {
    let mut layers = Vec::new();
    let mut rest = input;
    while let (Some((len, behind)), true) = (rest.split_first_chunk::<4>(), layers.len() < LAYERS) {
        let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
        let (blob, next) = behind.split_at(len.min(behind.len()));
        rest = next;
        if let Some(layer) = one(blob) {
            layers.push(layer);
        }
    }
    let merged = merge(layers.iter().cloned().map(|layer| match planted {
        Planted::Nothing => layer,
        Planted::Fault => blind(layer),
    }));
    let again = Tree::decode(&merged.encode());
    assert_eq!(again.ok().as_ref(), Some(&merged), "a tree after it was encoded");
    compare(&layers, &merged);
}

/// A layer, if it can be read.
fn one(blob: &[u8]) -> Option<AppliedLayer> {
    let mut tar = Sink::default();
    let read = read_layer(blob, &mut tar).ok()?;
    assert_eq!(read.uncompressed_len, tar.len, "bytes of the tar");
    assert_eq!(read.diff_id, <[u8; 32]>::from(tar.hash.finalize()), "the diff ID");
    let layer = read.applied;
    for entries in [Some(&layer.entries), layer.base.as_ref()].into_iter().flatten() {
        entries.keys().for_each(|path| look(path, entries, &tar.kept, tar.len));
    }
    let again = AppliedLayer::decode(&layer.encode());
    assert_eq!(again.ok().as_ref(), Some(&layer), "a layer after it was encoded");
    Some(layer)
}

/// Counts, hashes and keeps.
#[derive(Default)]
struct Sink {
    len: u64,
    hash: Sha256,
    kept: Vec<u8>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.len += bytes.len() as u64;
        self.hash.update(bytes);
        let room = KEPT - self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn look(path: &Path, entries: &Entries, tar: &[u8], tar_len: u64) {
    check_path(path);
    if let Some(slash) = path.iter().rposition(|&byte| byte == b'/') {
        let parent = entries.get(&path[..slash]);
        let directory = matches!(parent, Some(Entry::Directory { .. }));
        assert!(directory, "{}: above it is {parent:?}", path.escape_ascii());
    }
    let entry = &entries[path];
    let Some(node) = entry.node() else { return };
    let directory = matches!(entry, Entry::Directory { .. });
    assert_eq!(directory, node.kind == FileKind::Directory, "{}", path.escape_ascii());
    metadata(&node.meta);
    match &node.kind {
        FileKind::Symlink(target) => {
            assert!(!target.is_empty() && target.len() <= MAX_TARGET, "{} bytes", target.len());
        }
        FileKind::CharDevice(0, 0) => unreachable!("a whiteout is no node"),
        FileKind::File(content) => check_content(content, tar, tar_len),
        _ => {}
    }
}

fn metadata(meta: &Metadata) {
    assert!(meta.mode <= 0o7777 && meta.mtime >= 0 && meta.mtime_nanos < 1_000_000_000, "{meta:?}");
    let len: usize = meta.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(len <= MAX_XATTRS, "{len} bytes of attributes");
    let known = |name: &Vec<u8>| {
        ["user.", "security.", "system.posix_acl_"].iter().any(|p| name.starts_with(p.as_bytes()))
    };
    assert!(meta.xattrs.keys().all(known), "{:?}", meta.xattrs.keys());
}

fn check_content(content: &Content, tar: &[u8], tar_len: u64) {
    let (mut at, mut from) = (0, 0);
    for extent in &content.extents {
        assert!(extent.len > 0 && extent.offset >= at, "{content:?}");
        assert!(extent.tar_offset >= from, "{content:?}");
        (at, from) = (extent.offset + extent.len, extent.tar_offset + extent.len);
    }
    assert!(at <= content.size && from <= tar_len, "an extent outside: {content:?}");
    let (Ok(size), Ok(end)) = (usize::try_from(content.size), usize::try_from(from)) else {
        return;
    };
    if size > KEPT || end > tar.len() {
        return;
    }
    let mut bytes = vec![0; size];
    for extent in &content.extents {
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let (to, from, len) = (place(extent.offset), place(extent.tar_offset), place(extent.len));
        bytes[to..to + len].copy_from_slice(&tar[from..from + len]);
    }
    assert_eq!(content.sha256, <[u8; 32]>::from(Sha256::digest(&bytes)), "other bytes than hashed");
}

fn blind(layer: AppliedLayer) -> AppliedLayer {
    let blind = |entries: Entries| {
        let seen = |(path, mut entry): (Path, Entry)| {
            if let Entry::Directory { opaque, .. } = &mut entry {
                *opaque = false;
            }
            (!matches!(entry, Entry::Whiteout)).then_some((path, entry))
        };
        entries.into_iter().filter_map(seen).collect()
    };
    AppliedLayer { entries: blind(layer.entries), base: layer.base.map(blind) }
}

/// Looks every path of any layer up.
fn compare(layers: &[AppliedLayer], merged: &Tree) {
    let lowest = |number| number == 0;
    let stack: Vec<&Entries> = layers
        .iter()
        .enumerate()
        .map(|(number, layer)| {
            layer.base.as_ref().filter(|_| lowest(number)).unwrap_or(&layer.entries)
        })
        .collect();
    let paths: BTreeSet<&Path> = stack.iter().flat_map(|entries| entries.keys()).collect();
    for path in &paths {
        let found = look_up(&stack, path).map(|kind| strip(kind.clone()));
        let shown = merged.nodes.get(*path).map(|node| strip(node.kind.clone()));
        assert_eq!(found, shown, "{}", path.escape_ascii());
    }
    assert!(merged.nodes.keys().all(|path| paths.contains(path)), "a path of no layer");
}

/// Without the number of the layer that a content is of.
fn strip(mut kind: FileKind) -> FileKind {
    if let FileKind::File(content) = &mut kind {
        content.layer = 0;
    }
    kind
}

fn look_up<'l>(stack: &[&'l Entries], path: &[u8]) -> Option<&'l FileKind> {
    for entries in stack.iter().rev() {
        if let Some(entry) = entries.get(path) {
            return entry.node().map(|node| &node.kind);
        }
        let above = (0..path.len()).filter(|&at| path[at] == b'/');
        for end in above {
            match entries.get(&path[..end]) {
                Some(Entry::Directory { opaque: false, .. }) | None => {}
                Some(_) => return None,
            }
        }
    }
    None
}

fn generate(chance: &mut Chance) -> Vec<u8> {
    let mut input = Vec::new();
    for _ in 0..1 + chance.below(3) {
        let tar = archive(&entries(chance));
        let blob = match chance.below(6) {
            0 => gzip(&tar),
            1 => zstd::encode_all(tar.as_slice(), 1).unwrap_or_default(),
            _ => tar,
        };
        input.extend(u32::try_from(blob.len()).unwrap_or(0).to_le_bytes());
        input.extend(blob);
    }
    input
}

/// One gzip member.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}

const NAMES: [&str; 7] = ["a", "b", "a/b", "a/b/c", "b/d", "../a", "/b/./d/../e"];

fn entries(chance: &mut Chance) -> Vec<tarball::Entry> {
    use tarball::Entry as Made;
    (0..chance.below(9))
        .map(|_| {
            let name = *chance.pick(&NAMES);
            let other = *chance.pick(&NAMES);
            let len = chance.below(700);
            let made = match chance.below(13) {
                0..=2 => Made::directory(format!("{name}/")),
                3 | 4 => Made::file(name, chance.bytes(len)),
                5 => Made::symlink(name, other),
                6 => Made::hardlink(name, other),
                7 => Made::character(name, 1, 3),
                8 => Made::fifo(name),
                9 => Made::whiteout(name),
                10 => Made::opaque(name),
                11 => {
                    let style = *chance.pick(&[
                        SparseStyle::OldGnu,
                        SparseStyle::Pax01,
                        SparseStyle::Pax10,
                    ]);
                    let piece = chance.bytes(len);
                    return Made::sparse(name, style, 5000, vec![(1000, piece)]);
                }
                _ => Made::character(name, 0, 0),
            };
            if chance.one_in(5) {
                return made.xattr("user.x", chance.bytes(9));
            }
            let formats = [tarball::Format::Ustar, tarball::Format::Gnu, tarball::Format::Pax];
            made.format(*chance.pick(&formats))
        })
        .collect()
}
