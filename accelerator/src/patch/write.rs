//! Writes stretches as operations.

use super::align::{Stretch, common};
use super::stored::{Patch, Writer};

/// A shorter exact run inside a stretch is added as zeros.
const COPY: usize = 32;

/// The patch of these stretches; what is in none of them is inserted.
pub fn write(base: &[u8], target: &[u8], stretches: &[Stretch]) -> Patch {
    let mut writer = Writer::default();
    let mut done = 0;
    for stretch in stretches {
        writer.insert(&target[done..stretch.target]);
        done = stretch.target + stretch.len;
        let (new, old) =
            (&target[stretch.target..done], &base[stretch.base..stretch.base + stretch.len]);
        let (mut from, mut at) = (0, 0);
        while at < new.len() {
            let same = common(&new[at..], &old[at..]);
            if same >= COPY || (same == new.len() && same > 0) {
                writer.add(stretch.base + from, &new[from..at], &old[from..at]);
                writer.copy(stretch.base + at, same);
                from = at + same;
            }
            at += same.max(1);
        }
        writer.add(stretch.base + from, &new[from..], &old[from..]);
    }
    writer.insert(&target[done..]);
    writer.finish()
}
