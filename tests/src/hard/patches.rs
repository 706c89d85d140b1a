//! Contents that are much like what the device has, and such as only seem to be: what patches are made of.

use super::{Repository, noise};
use crate::tarball::{Entry, SparseStyle};

/// Bytes as of a program whose addresses have moved by `by`: every sixteenth place has one.
pub fn code(seed: u64, len: usize, by: u32) -> Vec<u8> {
    let mut bytes = noise(seed, len);
    for (number, place) in (0..).zip(bytes.chunks_exact_mut(16)) {
        let number: u32 = number;
        place[4..8].copy_from_slice(&(0x0040_0000 + number.wrapping_mul(37) + by).to_le_bytes());
    }
    bytes
}

/// `bytes` with `change` at some place of every stretch of `every` bytes.
pub fn touched(mut bytes: Vec<u8>, every: usize, change: u8) -> Vec<u8> {
    for place in bytes.chunks_mut(every) {
        let at = usize::from(place[0]) % place.len();
        place[at] = place[at].wrapping_add(change);
    }
    bytes
}

/// Every version is another's update.
pub(super) fn patches() -> Repository {
    let version = |number: u8| {
        let n = u64::from(number);
        let mut entries = ["p/", "lib/", "t/"].map(Entry::directory).to_vec();
        let mut add = |name: &str, bytes: Vec<u8>| entries.push(Entry::file(name, bytes));
        let shifted = noise(1, 1_500_000);
        add("p/shifted", [&vec![7; usize::from(number)][..], &shifted].concat());
        let (front, back) = shifted.split_at(if number == 2 { 0 } else { 700_000 });
        add("p/halves", [back, front, &[number]].concat());
        add("p/random", noise(100 + n, 300_000));
        add("p/zeros", vec![0; 2_500_000 + 1000 * usize::from(number)]);
        add("p/once-zeros", if number == 1 { vec![0; 90_000] } else { noise(200 + n, 90_000) });
        add("p/code", code(3, 2_200_000, 0x1230 * u32::from(number)));
        add("p/touched", touched(noise(4, 1_100_000), 4096, number));
        add("p/longer", noise(5, 400_000 * usize::from(number)));
        add("p/was-another", noise(6 + n, 60_000));
        add("p/one-byte", vec![number]);
        // As `p/was-another` was in the version before.
        add("p/another", noise(5 + n, 60_000));
        add(
            &format!("lib/libthing.so.{number}.{}", 10 * n),
            touched(noise(7, 800_000), 900, number),
        );
        for file in 0..150 {
            add(&format!("t/{file:03}"), touched(noise(1000 + file, 650), 300, number));
        }
        let piece = |seed: u64| noise(seed, 9_000);
        let pieces = vec![(0, piece(1)), (5 << 20, piece(2)), ((20 << 20) + n, piece(3))];
        entries.push(Entry::sparse("p/sparse", SparseStyle::Pax10, 24 << 20, pieces));
        // The mode alone is new: no bytes are to be sent.
        entries.push(Entry::file("p/moded", noise(8, 50_000)).mode(0o600 + u32::from(number)));
        vec![entries]
    };
    Repository::of("patches", (1..=3).map(version).collect())
}
