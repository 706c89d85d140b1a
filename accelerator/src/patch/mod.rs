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
//! `worth` says whether it pays. [`crate::sketch`] finds out what resembles a file when names do not say it.
//!
//! Of living crates none does it within our bounds: bidiff and qbsdiff sort the base's suffixes, 5 to 9 bytes of memory for
//! each of its bytes, and their patches can't be cut.
//!
//! What packs of 1 MiB take (MB, contents in the order of their paths; `examples/patches.rs` measures that):
//!
//! | update | changed | `zstd -19` | `zstd -19 --patch-from` | 6 | 9 | 12 | zstd 19 |
//! |---|---|---|---|---|---|---|---|
//! | nginx | 29.2 | 8.9 | 1.4 | 1.05 | 1.02 | 0.97 | 0.95 |
//! | gateway, arm64 | 5.9 | | | 1.18 | 1.17 | 1.14 | 1.06 |
//! | node-red | 120.1 | 33.7 | 6.7 | 7.10 | | | 5.80 |
//! | mariadb | 232.2 | 22.7 | 12.0 | 7.27 | | | 6.28 |
//!
//! zstd's own columns are of an earlier measurement. The last two rows are of a maker that inserted nothing inside a stretch. Scripts
//! in sections (all heads of a pack, then all that is added, then all that is inserted) were 4 to 7 % shorter for the first two, by
//! encoder, and 4 % for the others; groups of operations that fit 32 KiB, 1 to 2 %. Sections would have an agent keep the script of
//! a pack in memory, up to 2 MiB and more, where it now keeps nothing.
//!
//! Memory: 6 to 8 bytes for each byte of a base below 8 MiB, 3 to 4 below 32 MiB, 1.5 to 2 of a larger one, and the patch. A base
//! beyond 1 GiB is looked at in windows of that size, around the place where each half as large window of the target is.

mod align;
mod index;
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

/// Bytes of memory that [`make`] takes for contents of these sizes, with the two.
pub fn memory(base: u64, target: u64) -> u64 {
    let index = match base >> 20 {
        0..8 => 8,
        8..32 => 4,
        _ => 2,
    };
    // A patch is hardly longer than its target.
    base.saturating_mul(1 + index).saturating_add(target.saturating_mul(5) / 2)
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
