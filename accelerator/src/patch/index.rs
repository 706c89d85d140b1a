//! An index of the base's blocks: where in it the bytes that begin at a place of the target may be found.

/// Bytes of a block.
pub const BLOCK: usize = 16;

/// Blocks that are indexed, at most: those of a larger base have more than a byte between their beginnings.
const BLOCKS: usize = 8 << 20;

/// Blocks that are equal by their hashes and are looked at.
const MOST: usize = 8;

const NONE: u32 = u32::MAX;

/// Places of blocks, chained by hash, first ones first.
#[derive(Debug)]
pub struct Index {
    step: usize,
    shift: u32,
    heads: Vec<u32>,
    next: Vec<u32>,
}

fn hash(bytes: &[u8]) -> Option<u64> {
    let (first, rest) = bytes.split_first_chunk::<8>()?;
    let (second, _) = rest.split_first_chunk::<8>()?;
    let first = u64::from_le_bytes(*first).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let second = u64::from_le_bytes(*second).wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
    Some((first.rotate_left(31) ^ second).wrapping_mul(0xD6E8_FEB8_6659_FD93))
}

/// Bytes that the index of a base of so many takes at most.
pub fn memory(base: u64) -> u64 {
    // Places, and as many heads as half of them, or a little more.
    let blocks = base.min(BLOCKS as u64);
    4 * blocks + 4 * (blocks / 2).max(256).next_power_of_two()
}

impl Index {
    /// The blocks of `base`.
    pub fn new(base: &[u8]) -> Self {
        let step = (base.len() / BLOCKS + 1).next_power_of_two();
        let blocks = base.len().saturating_sub(BLOCK - 1).div_ceil(step);
        let bits = (blocks / 2).max(256).next_power_of_two().ilog2();
        let shift = 64 - bits;
        let mut heads = vec![NONE; 1 << bits];
        let mut next = vec![NONE; blocks];
        for number in (0..blocks).rev() {
            let at = number * step;
            // Of a run of one byte only the first block counts.
            if at >= step && base[at - step..at - step + BLOCK] == base[at..at + BLOCK] {
                continue;
            }
            let Some(hash) = base.get(at..).and_then(hash) else { continue };
            let head = &mut heads[usize::try_from(hash >> shift).unwrap_or(0)];
            next[number] = std::mem::replace(head, u32::try_from(number).unwrap_or(NONE));
        }
        Self { step, shift, heads, next }
    }

    /// Places in the base where a block may be equal to the first of `bytes`.
    pub fn candidates(&self, bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
        let head = hash(bytes)
            .and_then(|hash| self.heads.get(usize::try_from(hash >> self.shift).ok()?).copied());
        let follow = |number: &u32| self.next.get(usize::try_from(*number).ok()?).copied();
        std::iter::successors(head, follow)
            .take_while(|&number| number != NONE)
            .take(MOST)
            .filter_map(|number| Some(usize::try_from(number).ok()? * self.step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_no_more_memory_than_it_says() {
        for len in [0, 15, 1000, 1 << 20, BLOCKS - 1, BLOCKS, BLOCKS + 1, 3 * BLOCKS] {
            let index = Index::new(&vec![7; len]);
            let bytes = 4 * (index.heads.len() + index.next.len()) as u64;
            assert!(bytes <= memory(len as u64), "{len} bytes: {bytes}");
        }
    }
}
