//! The uncompressed tar as a stream of slices. Each byte is read once, hashed for the diff ID and
//! handed to the sink, whatever the tar reader makes of it.

use super::LayerError;
use crate::sha256::Sha256;
use std::io::{ErrorKind, Read, Write};

const BUFFER: usize = 128 << 10;

pub(super) struct Source<'a, R> {
    reader: R,
    sink: &'a mut dyn Write,
    hash: Sha256,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset in the tar of `buffer[start]`.
    offset: u64,
}

impl<'a, R: Read> Source<'a, R> {
    pub(super) fn new(reader: R, sink: &'a mut dyn Write) -> Self {
        let buffer = vec![0; BUFFER];
        Self { reader, sink, hash: Sha256::new(), buffer, start: 0, end: 0, offset: 0 }
    }

    /// Offset in the tar of the next byte.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next bytes, at most `max` of them; empty only at the end of the stream or for `max` 0.
    pub(super) fn chunk(&mut self, max: u64) -> Result<&[u8], LayerError> {
        if max > 0 && self.start == self.end {
            self.fill()?;
        }
        let have = self.end - self.start;
        let len = usize::try_from(max).unwrap_or(usize::MAX).min(have);
        let from = self.start;
        self.start += len;
        self.offset += len as u64;
        Ok(&self.buffer[from..from + len])
    }

    fn fill(&mut self) -> Result<(), LayerError> {
        let n = loop {
            match self.reader.read(&mut self.buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other.map_err(LayerError::Blob)?,
            }
        };
        (self.start, self.end) = (0, n);
        self.hash.update(&self.buffer[..n]);
        self.sink.write_all(&self.buffer[..n]).map_err(LayerError::Sink)
    }

    /// Fills `out`; fewer bytes only at the end of the stream.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize, LayerError> {
        let mut done = 0;
        while done < out.len() {
            let chunk = self.chunk((out.len() - done) as u64)?;
            if chunk.is_empty() {
                break;
            }
            out[done..done + chunk.len()].copy_from_slice(chunk);
            done += chunk.len();
        }
        Ok(done)
    }

    /// Gives exactly `len` bytes to `each`, in slices.
    pub(super) fn exactly(
        &mut self,
        mut len: u64,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), LayerError> {
        while len > 0 {
            let chunk = self.chunk(len)?;
            if chunk.is_empty() {
                return Err(LayerError::Truncated { offset: self.offset });
            }
            len -= chunk.len() as u64;
            each(chunk);
        }
        Ok(())
    }

    /// Reads to the end of the stream: its SHA-256 and length.
    pub(super) fn finish(mut self) -> Result<([u8; 32], u64), LayerError> {
        while !self.chunk(u64::MAX)?.is_empty() {}
        self.sink.flush().map_err(LayerError::Sink)?;
        Ok((self.hash.finish().0, self.offset))
    }
}
