//! Damages inputs: bits, bytes, lengths, cuts, repetitions, pieces of other inputs.

use crate::chance::Chance;

/// Longest input.
const MOST: usize = 1 << 20;

/// Numbers at the edges of what fields hold.
const EDGES: [u32; 16] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0x8001,
    0xffff,
    0x10000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
];

/// Damages `input` in one to four ways. `other` lends pieces.
pub fn mutate(input: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
    for _ in 0..=chance.below(4) {
        once(input, other, chance);
    }
    input.truncate(MOST);
}

fn once(input: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
    if input.is_empty() {
        input.extend_from_slice(other);
        return;
    }
    let at = place(input.len(), chance);
    match chance.below(10) {
        0 | 1 => input[at] ^= 1 << chance.below(8),
        2 => input[at] = chance.byte(),
        3 => edge(&mut input[at..], chance),
        4 => input.truncate(at),
        5 => drop(input.drain(at..(at + piece(chance)).min(input.len()))),
        6 => {
            let again = input[at..(at + piece(chance)).min(input.len())].to_vec();
            let to = place(input.len(), chance);
            input.splice(to..to, again);
        }
        7 => {
            let len = piece(chance);
            let new = chance.bytes(len);
            input.splice(at..at, new);
        }
        8 if !other.is_empty() => {
            let from = chance.below(other.len());
            let lent = other[from..(from + piece(chance)).min(other.len())].to_vec();
            let end = (at + chance.below(lent.len() + 1)).min(input.len());
            input.splice(at..end, lent);
        }
        _ => {
            // A text's length or digit, one more or less.
            input[at] = input[at].wrapping_add(*chance.pick(&[1, 0xff]));
        }
    }
}

/// A place: heads and tails are where the fields are.
fn place(len: usize, chance: &mut Chance) -> usize {
    match chance.below(4) {
        0 => chance.below(len.min(64)),
        1 => len - 1 - chance.below(len.min(64)),
        _ => chance.below(len),
    }
}

fn piece(chance: &mut Chance) -> usize {
    1 + match chance.below(3) {
        0 => chance.below(4),
        1 => chance.below(64),
        _ => chance.below(1024),
    }
}

/// Writes a number of one, two or four bytes over what stands there.
fn edge(to: &mut [u8], chance: &mut Chance) {
    let number = *chance.pick(&EDGES);
    let width = *chance.pick(&[1, 2, 4]);
    let bytes = if chance.one_in(2) {
        number.to_le_bytes()
    } else {
        number.rotate_right(8 * width).to_be_bytes()
    };
    for (to, byte) in to.iter_mut().zip(bytes).take(width as usize) {
        *to = byte;
    }
}
