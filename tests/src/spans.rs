//! Where contents lie in a gzip layer: what a reader that can enter it anywhere would have to read.

use crate::compare::Tree;
use flate2::bufread::GzDecoder;
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::collections::HashSet;
use std::io::{BufRead, Read};
use std::ops::Range;
use std::rc::Rc;

/// Contents of a tree that another has not.
pub fn new_contents(old: &Tree, new: &Tree) -> HashSet<[u8; 32]> {
    let contents = |tree: &Tree| -> HashSet<[u8; 32]> {
        tree.nodes.values().filter_map(|node| node.content).collect()
    };
    contents(new).difference(&contents(old)).copied().collect()
}

/// The places of contents in a layer, in order; gaps of less than `gap` are closed. Takes what it finds out of
/// `wanted`. Gives the length of the tar, too.
pub fn of(blob: &[u8], wanted: &mut HashSet<[u8; 32]>, gap: u64) -> (Vec<Range<u64>>, u64) {
    let at = Rc::new(Cell::new(0));
    let mut tar = GzDecoder::new(Drip { rest: blob, at: at.clone() });
    let mut spans: Vec<Range<u64>> = Vec::new();
    let mut len = 0;
    let mut block = [0; 512];
    while tar.read_exact(&mut block).is_ok() {
        len += 512;
        let size = size(&block);
        let (from, mut hash, mut left) = (at.get(), Sha256::new(), size);
        while left > 0 {
            let mut data = [0; 512];
            tar.read_exact(&mut data).unwrap();
            let part = left.min(512);
            hash.update(&data[..usize::try_from(part).unwrap()]);
            left -= part;
            len += 512;
        }
        let found: [u8; 32] = hash.finalize().into();
        if size > 0 && matches!(block[156], b'0' | 0) && wanted.remove(&found) {
            match spans.last_mut() {
                Some(last) if from < last.end + gap => last.end = at.get(),
                _ => spans.push(from..at.get()),
            }
        }
    }
    (spans, len)
}

/// The size in a tar header, in octal digits.
fn size(header: &[u8; 512]) -> u64 {
    let digits = header[124..136].iter().filter(|byte| (b'0'..=b'7').contains(*byte));
    digits.fold(0, |size, digit| size * 8 + u64::from(digit - b'0'))
}

/// Gives a little at a time, so that it is known how far the decoder is.
struct Drip<'a> {
    rest: &'a [u8],
    at: Rc<Cell<u64>>,
}

impl Read for Drip<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let read = self.fill_buf()?.read(to)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Drip<'_> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        Ok(&self.rest[..self.rest.len().min(1024)])
    }

    fn consume(&mut self, amount: usize) {
        self.rest = &self.rest[amount..];
        self.at.set(self.at.get() + amount as u64);
    }
}
