//! Sketches: which contents resemble each other.
//!
//! Of every sixteen bytes that follow each other in a content, a hash; of all hashes, one in thirty-two; of these, the
//! smallest in each of sixteen slots. Two contents have the same number in a slot about as often as they have bytes in
//! common, wherever those are: strings, tables and the code that has no addresses in it stay the same when a program
//! is built anew. It takes a pass over the bytes as they come, and 64 bytes to keep.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Numbers of a sketch.
pub const SLOTS: usize = 16;

/// A shorter content has no sketch.
pub const SHORTEST: u64 = 4096;

/// Slots that have to be equal.
pub const ENOUGH: usize = 2;

/// Contents that are remembered for one number.
const CROWD: usize = 64;

/// What one byte adds to the rolling hash, in which it stays for sixteen.
const GEAR: [u64; 256] = {
    let mut gear = [0; 256];
    let mut state = 0_u64;
    let mut at = 0;
    while at < 256 {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        gear[at] = mix(state);
        at += 1;
    }
    gear
};

const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// A content's sketch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sketch(pub [u32; SLOTS]);

impl Sketch {
    /// How many slots are equal; empty ones are not.
    pub fn shared(&self, other: &Self) -> usize {
        self.0.iter().zip(&other.0).filter(|(a, b)| a == b && **a != u32::MAX).count()
    }

    fn from_bytes(bytes: &[u8; 4 * SLOTS]) -> Self {
        let mut numbers = [0; SLOTS];
        for (number, from) in numbers.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *number = u32::from_le_bytes(*from);
        }
        Self(numbers)
    }
}

/// The sketches of some contents, by SHA-256.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sketched(BTreeMap<[u8; 32], Sketch>);

/// Bytes of a digest and its sketch.
const ROW: usize = 32 + 4 * SLOTS;

impl Sketched {
    /// Adds a content's.
    pub fn insert(&mut self, sha256: [u8; 32], sketch: Sketch) {
        self.0.insert(sha256, sketch);
    }

    /// Adds those of others.
    pub fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    /// The sketch of a content, if it has one.
    pub fn get(&self, sha256: &[u8; 32]) -> Option<&Sketch> {
        self.0.get(sha256)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For the database: 96 bytes for each.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * ROW);
        for (sha256, Sketch(numbers)) in &self.0 {
            bytes.extend_from_slice(sha256);
            numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        }
        bytes
    }

    /// What [`encode`](Self::encode) wrote. Any bytes are some sketches: a wrong one costs a patch that does not pay.
    pub fn decode(bytes: &[u8]) -> Self {
        let rows = bytes.as_chunks::<ROW>().0.iter();
        let row = |row: &[u8; ROW]| {
            let (sha256, sketch) = row.split_first_chunk::<32>()?;
            Some((*sha256, Sketch::from_bytes(sketch.first_chunk()?)))
        };
        Self(rows.filter_map(row).collect())
    }
}

/// Makes a sketch of bytes that stream by.
#[derive(Debug, Clone)]
pub struct Sketcher {
    hash: u64,
    seen: u64,
    least: [u32; SLOTS],
}

impl Default for Sketcher {
    fn default() -> Self {
        Self::new()
    }
}

impl Sketcher {
    /// No bytes yet.
    pub const fn new() -> Self {
        Self { hash: u64::MAX, seen: 0, least: [u32::MAX; SLOTS] }
    }

    /// The next bytes, however they are cut.
    pub fn update(&mut self, bytes: &[u8]) {
        self.seen += bytes.len() as u64;
        let mut hash = self.hash;
        for &byte in bytes {
            hash = (hash << 4).wrapping_add(GEAR[usize::from(byte)]);
            if hash >> 59 == 0 {
                let [a, b, c, d, slot, ..] = mix(hash).to_le_bytes();
                let least = &mut self.least[usize::from(slot) % SLOTS];
                *least = (*least).min(u32::from_le_bytes([a, b, c, d]));
            }
        }
        self.hash = hash;
    }

    /// The sketch; `None` of a content that is too short, or has too little in it.
    pub fn finish(&self) -> Option<Sketch> {
        let filled = self.least.iter().filter(|&&least| least != u32::MAX).count();
        (self.seen >= SHORTEST && filled >= ENOUGH).then_some(Sketch(self.least))
    }
}

/// The sketch of bytes that are there.
pub fn sketch(bytes: &[u8]) -> Option<Sketch> {
    let mut sketcher = Sketcher::new();
    sketcher.update(bytes);
    sketcher.finish()
}

/// Finds contents by their sketches. `T` is what the contents are known by.
#[derive(Debug, Clone)]
pub struct Sketches<T> {
    places: HashMap<(u8, u32), Vec<T>>,
}

impl<T> Default for Sketches<T> {
    fn default() -> Self {
        Self { places: HashMap::new() }
    }
}

impl<T: Copy + Ord + Hash> Sketches<T> {
    /// Adds a content. What very many have is no mark of any: only the first of them are found by it.
    pub fn insert(&mut self, sketch: &Sketch, content: T) {
        for place in places(sketch) {
            let there = self.places.entry(place).or_default();
            if there.len() < CROWD {
                there.push(content);
            }
        }
    }

    /// The contents that resemble this sketch's most, at most so many, and in how many slots. The best is first.
    pub fn nearest(&self, sketch: &Sketch, most: usize) -> Vec<(T, usize)> {
        let mut shared: HashMap<T, usize> = HashMap::new();
        for place in places(sketch) {
            for &content in self.places.get(&place).into_iter().flatten() {
                *shared.entry(content).or_default() += 1;
            }
        }
        let mut found: Vec<_> = shared.into_iter().filter(|found| found.1 >= ENOUGH).collect();
        found.sort_unstable_by_key(|&(content, shared)| (std::cmp::Reverse(shared), content));
        found.truncate(most);
        found
    }
}

fn places(sketch: &Sketch) -> impl Iterator<Item = (u8, u32)> + '_ {
    (0_u8..).zip(sketch.0).filter(|&(_, number)| number != u32::MAX)
}
