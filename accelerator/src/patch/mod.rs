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
//! | update | changed | 6 | 9 | zstd 7 | zstd 19 |
//! |---|---|---|---|---|---|
//! | nginx | 29.2 | 1.03 | 0.97 | 1.02 | 0.88 |
//! | gateway, arm64 | 5.9 | 1.16 | 1.14 | 1.14 | 1.04 |
//! | gateway, ARMv7 | 5.8 | 1.25 | 1.24 | 1.24 | 1.13 |
//! | node-red | 120.1 | 6.60 | 6.25 | 6.24 | 5.38 |
//! | mariadb | 232.2 | 6.88 | 6.57 | 6.72 | 5.75 |
//!
//! What `write` and `align` know of when a run is worth an operation was tried on these: heads are noise to a compressor, and zeros
//! are nothing, so that only long runs are copied, and those that begin or end a stretch. Scripts in sections (all heads of a
//! pack, then all that is added, then all that is inserted) were 4 to 7 % shorter for the first two, by encoder, and 4 % for the others; groups of operations that fit
//! 32 KiB, 1 to 2 %. Sections would have an agent keep the script of a pack in memory, up to 2 MiB and more, where it now keeps
//! nothing.
//!
//! Of a large base not every block is in the index. That costs no bytes (mariadb's packs got 0.7 % shorter), and takes less time, since more of
//! the index is in the processor's cache: 1.3 to 1.8 times as many bytes a second. A large content is patched in parts
//! ([`Window`]), each as if it were a content of its own. Memory for one: the two, the index (48 MiB at most), and the script, which is
//! hardly longer than the target: never more than three times the larger and 64 MiB.

mod align;
mod index;
mod stored;
#[cfg(test)]
mod tests;
mod window;
mod worth;
mod write;

pub use stored::Patch;
pub use window::Window;
use write::Operations;

/// Of what is cached under a name: another maker makes other patches.
pub const MAKER: u32 = 4;

/// The patch that makes `target` out of `base`; `None` if it would not pay. Equal bytes give equal patches.
pub fn make(base: &[u8], target: &[u8]) -> Option<Patch> {
    let patch = make_in_any_case(base, target, &mut 0)?;
    worth::pays(&patch, target).then_some(patch)
}

/// Bytes of memory that [`make`] takes for contents of these sizes, with the two.
pub fn memory(base: u64, target: u64) -> u64 {
    let script = stored::most(target);
    [base, target, index::memory(base), script].into_iter().fold(0, u64::saturating_add)
}

/// The same without a doubt; `None` only if the script is longer than a target by far. `work` counts the bytes that are compared.
fn make_in_any_case(base: &[u8], target: &[u8], work: &mut u64) -> Option<Patch> {
    let mut operations = Operations::new(base, target);
    align::align(base, target, work, |stretch| operations.stretch(stretch));
    operations.finish()
}
