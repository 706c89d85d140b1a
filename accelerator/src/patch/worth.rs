//! Whether a patch pays: packs of it have to be shorter than packs of the target. Both are compressed in the
//! cheapest way, of a large target only some samples.

use super::stored::Patch;
use crate::packs::deflate;

/// Bytes of the target in a sample.
const SAMPLE: usize = 64 << 10;
/// Most samples.
const SAMPLES: usize = 8;
/// What it costs to name a base, in each sample.
const NAME: usize = 64;

/// Whether it does.
pub fn pays(patch: &Patch, target: &[u8]) -> bool {
    // Without memory nothing is shorter.
    let len = |bytes: &[u8]| deflate::encode(bytes, 1).map_or(bytes.len(), |encoded| encoded.len());
    let samples = target.chunks(SAMPLE);
    let every = samples.len().div_ceil(SAMPLES).max(1);
    let (mut own, mut patched) = (0, 0);
    let mut script = Vec::new();
    for (number, bytes) in samples.enumerate().step_by(every) {
        let from = (number * SAMPLE) as u64;
        script.clear();
        patch.slice(from, from + bytes.len() as u64, 0, &mut script);
        own += len(bytes);
        patched += len(&script) + NAME;
    }
    patched < own
}
