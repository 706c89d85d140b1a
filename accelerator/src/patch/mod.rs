//! Patches: how a file's new bytes are made out of old ones that a device has.
//!
//! ```text
//! base ────index────▶ blocks ─┐
//! target ───────────────────align──▶ stretches ──write──▶ Patch ──slice──▶ script of a pack
//! ```
//!
//! `align` finds stretches of the target that are in the base, exactly or nearly: it looks the bytes at hand up in an
//! index of the base's blocks, and extends what it finds to both sides as long as most bytes are equal, as bsdiff
//! does. So a program whose addresses moved is one long stretch with a few other bytes in it. `write` makes operations
//! of that (`skiff_protocol::script`): exact runs are copied, the rest is added, and what is in no stretch is
//! inserted. A [`Patch`] is the script of the whole target, and gives that of any part of it, since packs cut files.
//! `worth` says whether it pays. [`sketch`] finds out which old file resembles a new one when their names do not say it.
//!
//! Of living crates none does it within our bounds: bidiff and qbsdiff sort the base's suffixes, 5 to 9 bytes of memory for
//! each of its bytes, and their patches can't be cut.
//!
//! Memory: 12 bytes for each byte of a base below 8 MiB, 6 below 32 MiB, 2 to 3 of a larger one, and the patch. A base
//! beyond 1 GiB is looked at in windows of that size, around the place where each half as large window of the target is.

mod align;
mod index;
pub mod sketch;
mod stored;
#[cfg(test)]
mod tests;
mod worth;
mod write;

pub use stored::Patch;
use write::Operations;

/// Of what is cached under a name: another maker makes other patches.
pub const MAKER: u32 = 1;

/// The largest part of a base that is indexed at once.
const WINDOW: usize = 1 << 30;

/// The patch that makes `target` out of `base`; `None` if it would not pay. Equal bytes give equal patches.
pub fn make(base: &[u8], target: &[u8]) -> Option<Patch> {
    let patch = make_in(base, target, WINDOW, &mut 0)?;
    worth::pays(&patch, target).then_some(patch)
}

/// The same without a doubt, in windows of this size. `work` counts the bytes that are compared.
fn make_in(base: &[u8], target: &[u8], window: usize, work: &mut u64) -> Option<Patch> {
    let mut operations = Operations::new(base, target);
    let part = if base.len() > window { (window / 2).max(1) } else { target.len().max(1) };
    for (number, piece) in target.chunks(part).enumerate() {
        let at = number * part;
        // As far from the beginning as the piece is, in proportion, and as much again on both sides.
        let middle = (at + piece.len() / 2) as u128 * base.len() as u128 / target.len() as u128;
        let middle = usize::try_from(middle).unwrap_or(0);
        let last = base.len().saturating_sub(window);
        let first = middle.saturating_sub(window / 2).min(last);
        let around = &base[first..base.len().min(first + window)];
        align::align(around, piece, work, |mut stretch| {
            stretch.target += at;
            stretch.base += first;
            operations.stretch(stretch);
        });
    }
    operations.finish()
}
