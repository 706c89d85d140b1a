//! A plan's name: the SHA-256 of everything that it was made from.
//!
//! ```text
//! "skiff plan" · order version · codec · pack length
//! wanted images: count, each: length of its reference · reference · target · manifest · tree
//! held images:   count, each: manifest · depth · known · tree
//! layers:        count, each: parent (held: its index; a layer: 2^16 + its index; none: 2^32 - 1) ·
//!                whether it is a base · the base's tree
//! files that can be cold: their number, 0 if all are fetched first; if not 0,
//!                hot items: count, each: image · length of its path · path · whole · offset · length
//! ```
//!
//! Numbers are u16, u32 or u64, little-endian. The level of compression is not an input: a pack is
//! decoded the same way whatever it was.

use super::order::{self, Cold};
use super::{Held, Wanted};
use crate::sha256::Sha256;
use skiff_protocol::Digest;
use skiff_protocol::limits::MAX_PACK;
use skiff_protocol::record::Parent;

/// Name of the codec in plans: raw deflate.
const DEFLATE: u8 = 1;

/// The ID of the plan with these inputs, and with these layers: each one's parent, and its tree if it is a base.
pub fn of(
    wanted: &[Wanted],
    held: &[Held],
    layers: &[(Parent, Option<Digest>)],
    cold: Option<&Cold>,
) -> Digest {
    let mut hash = Sha256::new();
    hash.update(b"skiff plan");
    hash.update([order::VERSION, DEFLATE]);
    hash.update(MAX_PACK.to_le_bytes());
    length(&mut hash, wanted.len());
    for want in wanted {
        length(&mut hash, want.reference.len());
        hash.update(&want.reference);
        hash.update(want.target.0);
        hash.update(want.manifest.0);
        hash.update(want.tree_digest.0);
    }
    length(&mut hash, held.len());
    for held in held {
        hash.update(held.manifest.0);
        hash.update(held.depth.to_le_bytes());
        hash.update([u8::from(held.tree.is_some())]);
        hash.update(held.tree.as_ref().map_or([0; 32], |(_, digest)| digest.0));
    }
    length(&mut hash, layers.len());
    for (parent, base) in layers {
        let number = match parent {
            Parent::Held(held) => u32::from(*held),
            Parent::Layer(layer) => 1 << 16 | u32::from(*layer),
            _ => u32::MAX,
        };
        hash.update(number.to_le_bytes());
        hash.update([u8::from(base.is_some())]);
        hash.update(base.map_or([0; 32], |tree| tree.0));
    }
    hash.update(cold.map_or(0, |cold| cold.files).to_le_bytes());
    if let Some(cold) = cold {
        length(&mut hash, cold.hot.len());
        for item in &cold.hot {
            hash.update(item.image.to_le_bytes());
            length(&mut hash, item.path.len());
            hash.update(&item.path);
            let (offset, len) = item.part.unwrap_or_default();
            hash.update([u8::from(item.part.is_none())]);
            hash.update(offset.to_le_bytes());
            hash.update(len.to_le_bytes());
        }
    }
    hash.finish()
}

fn length(hash: &mut Sha256, len: usize) {
    hash.update((len as u64).to_le_bytes());
}
