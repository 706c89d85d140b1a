//! Finds what of the target is in the base, exactly or nearly.
//!
//! It goes along the target. While the stretch at hand goes on exactly, so does it, without a look at the index. Else
//! it looks the next block up, and takes the longest of what it finds if that is better by some bytes than to go
//! on nearly. The gap between what was exact in the old stretch and in the new one goes to both as far as most bytes
//! are equal, and is cut where they meet.
//!
//! All is linear: a gap is looked at once, and what is compared to choose among candidates is bounded, as are they.

use super::index::{BLOCK, Index};

/// A stretch of the target that resembles one of the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Where it begins in the target.
    pub target: usize,
    /// Where it begins in the base.
    pub base: usize,
    /// Bytes, in both.
    pub len: usize,
}

/// Most bytes that are compared to choose among candidates.
const LOOK: usize = 256;
/// By so many bytes another place has to match better than the one at hand.
const BETTER: usize = 6;

/// Bytes that are equal at the beginning of both.
pub fn common(a: &[u8], b: &[u8]) -> usize {
    let len = a.len().min(b.len());
    let (a, b) = (&a[..len], &b[..len]);
    let (wa, wb) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
    for (at, (x, y)) in wa.iter().zip(wb).enumerate() {
        let differs = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if differs != 0 {
            return at * 8 + usize::try_from(differs.trailing_zeros() / 8).unwrap_or(0);
        }
    }
    let from = wa.len() * 8;
    from + a[from..].iter().zip(&b[from..]).take_while(|(x, y)| x == y).count()
}

fn equal(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).filter(|(x, y)| x == y).count()
}

/// How far the resemblance goes that bytes in this order have: where twice the equal ones less all is highest.
fn reach<'a>(pairs: impl Iterator<Item = (&'a u8, &'a u8)>) -> usize {
    let (mut score, mut best, mut reach) = (0_isize, 0, 0);
    for (at, (x, y)) in pairs.enumerate() {
        score += if x == y { 1 } else { -1 };
        if score > best {
            (best, reach) = (score, at + 1);
        }
    }
    reach
}

/// Parts a gap: how much of its beginning is nearly as what follows the stretch before it, and how much of its end as
/// what precedes the one behind it.
fn split(gap: &[u8], follows: &[u8], precedes: &[u8]) -> (usize, usize) {
    let forward = reach(gap.iter().zip(follows));
    let back = reach(gap.iter().rev().zip(precedes.iter().rev()));
    if forward + back <= gap.len() {
        return (forward, back);
    }
    // Both want the middle: it is cut where most bytes are equal.
    let first = gap.len() - back;
    let middle = gap[first..forward].iter().zip(&follows[first..]);
    let precedes = &precedes[precedes.len() - back..];
    let (mut score, mut best, mut cut) = (0_isize, 0, first);
    for (at, ((byte, old), new)) in middle.zip(precedes).enumerate() {
        score += isize::from(old == byte) - isize::from(new == byte);
        if score > best {
            (best, cut) = (score, first + at + 1);
        }
    }
    (cut, gap.len() - cut)
}

/// Gives stretches in the order of the target. They do not overlap there. `work` counts bytes that are compared.
pub fn align(base: &[u8], target: &[u8], work: &mut u64, mut give: impl FnMut(Stretch)) {
    let index = Index::new(base);
    // The stretch at hand, of which the first `len` bytes are settled.
    let mut now = Stretch { target: 0, base: 0, len: 0 };
    let mut at = 0;
    while at + BLOCK <= target.len() {
        let here = base.get(now.base + (at - now.target)..).unwrap_or_default();
        let same = common(&target[at..], here);
        *work += same as u64 + 1;
        if same >= BLOCK {
            at += same;
            now.len = at - now.target;
            continue;
        }
        let mut best: Option<(usize, usize)> = None;
        for place in index.candidates(&target[at..]) {
            let until = (at + LOOK).min(target.len());
            let len = common(&target[at..until], &base[place..]);
            *work += len as u64 + 1;
            if len >= BLOCK && best.is_none_or(|(_, most)| len > most) {
                best = Some((place, len));
            }
        }
        let Some((place, len)) = best else {
            at += 1;
            continue;
        };
        *work += len as u64;
        if len < equal(&target[at..at + len], here) + BETTER {
            // What begins a little further on is not better either.
            at += (len / 8).max(1);
            continue;
        }
        let settled = now.target + now.len;
        *work += 3 * (at - settled) as u64;
        let old = &base[(now.base + now.len).min(base.len())..];
        let (forward, back) = split(&target[settled..at], old, &base[..place]);
        now.len += forward;
        if now.len > 0 {
            give(now);
        }
        let exact = common(&target[at..], &base[place..]);
        *work += exact as u64;
        now = Stretch { target: at - back, base: place - back, len: back + exact };
        at += exact;
    }
    let settled = now.target + now.len;
    let old = &base[(now.base + now.len).min(base.len())..];
    now.len += reach(target[settled..].iter().zip(old));
    if now.len > 0 {
        give(now);
    }
}
