//! Contents: holes, and bytes that the device has elsewhere.

use super::{Repository, noise};
use crate::tarball::{Entry, SparseStyle};

/// Sparse files in the three encodings that containerd unpacks.
pub(super) fn sparse() -> Repository {
    use SparseStyle::{Pax00, Pax01, Pax10};
    let version = |number: u64| {
        let mut entries = vec![Entry::directory("s/")];
        for (letter, style) in [("0", Pax00), ("1", Pax01), ("2", Pax10)] {
            let piece = |seed: u64| noise(seed, 700);
            let mut add = |name: &str, size: u64, pieces: Vec<(u64, Vec<u8>)>| {
                entries.push(Entry::sparse(format!("s/{letter}-{name}"), style, size, pieces));
            };
            add("hole-at-end", 20_000, vec![(0, piece(number))]);
            add("hole-at-start", 20_700, vec![(20_000, piece(1))]);
            add("in-the-middle", 9_700, vec![(0, piece(1)), (9_000, piece(number))]);
            add("only-a-hole", 4_096 * number, vec![]);
            let comb = (0..30).map(|tooth| (tooth * 4_096, noise(tooth + number, 512))).collect();
            add("comb", 30 * 4_096, comb);
        }
        let long = format!("s/{}", "l".repeat(150));
        entries.push(Entry::sparse(long, Pax10, 5_000, vec![(1_000, noise(number, 100))]));
        // The same bytes, written in full.
        let mut full = noise(1, 700);
        full.resize(20_000, 0);
        entries.push(Entry::file("s/written-in-full", full));
        vec![entries]
    };
    Repository::of("sparse", vec![version(1), version(2), version(3)])
}

/// Same contents under other names, with other metadata, many times over; small and large.
pub(super) fn moved() -> Repository {
    let version = |number: u64| {
        let mut entries = vec![Entry::directory("c/")];
        for index in 0..40 {
            // Content wanders from name to name; every fifth is new in each version.
            let seed = if index % 5 == 0 { index + 1000 * number } else { index };
            let length = [0, 1, 511, 512, 513, 4_096, 70_000][usize::try_from(index % 7).unwrap()];
            let name = format!("c/{:02}", (index + 3 * number) % 40);
            let mode = if (index + number).is_multiple_of(3) { 0o755 } else { 0o644 };
            entries.push(Entry::file(name, noise(seed, length)).mode(mode));
        }
        for copy in 0..number {
            entries.push(Entry::file(format!("c/copy{copy}"), noise(9, 30_000)));
        }
        // Larger than a pack (1 MiB), and than a frame.
        entries.push(Entry::file("c/large", noise(5 + number / 2, 1_300_000)));
        entries.push(Entry::file(format!("c/stays{number}"), noise(77, 1_100_000)));
        vec![entries]
    };
    Repository::of("moved", vec![version(1), version(2), version(3)])
}
