//! Patches: how a new file is made out of an old one.
//!
//! ```text
//! base ──index──▶ blocks ─┐
//! target ────────────────align──▶ stretches ──write──▶ Patch ──slice──▶ the script of a pack
//! ```

mod align;
mod index;
mod stored;
mod worth;
mod write;

pub use stored::Patch;

/// Of what is cached under a name: another maker makes other patches.
pub const MAKER: u32 = 1;

/// The patch that makes `target` out of `base`; `None` if it would not pay.
pub fn make(base: &[u8], target: &[u8]) -> Option<Patch> {
    let mut work = 0;
    let patch = write::write(base, target, &align::align(base, target, &mut work));
    worth::pays(&patch, target).then_some(patch)
}
