//! Where content goes, and copies within it.
//!
//! Most copies are of a few bytes. Those are done in steps of [`STEP`] bytes, which are a load and a store, and may write a bit
//! more than they should: what is behind the content so far is written later, or is slack.

use crate::Corrupt;

const STEP: usize = 16;
/// Bytes behind the content that may be written.
pub(crate) const SLACK: usize = STEP;
/// From how many bytes on a copy is the standard library's.
const LONG: usize = 4 * STEP;

/// The content.
pub(crate) struct Out<'o> {
    bytes: &'o mut [u8],
    made: usize,
    most: usize,
}

impl<'o> Out<'o> {
    /// Content of `most` bytes, of which so many are there; behind it is slack.
    pub(crate) fn new(bytes: &'o mut [u8], made: usize, most: usize) -> Self {
        Self { bytes, made, most }
    }

    pub(crate) fn made(&self) -> usize {
        self.made
    }

    /// Where so many more bytes end.
    #[inline(always)]
    fn end(&self, len: usize) -> Result<usize, Corrupt> {
        if len > self.most - self.made { Err(Corrupt) } else { Ok(self.made + len) }
    }

    fn room(&mut self, len: usize) -> Result<&mut [u8], Corrupt> {
        let end = self.end(len)?;
        let room = self.bytes.get_mut(self.made..end).ok_or(Corrupt)?;
        self.made = end;
        Ok(room)
    }

    /// Appends these bytes.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Corrupt> {
        self.room(bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    /// Appends a byte, so many times.
    pub(crate) fn fill(&mut self, byte: u8, len: usize) -> Result<(), Corrupt> {
        self.room(len)?.fill(byte);
        Ok(())
    }

    /// Appends so many bytes off the front of these.
    #[inline(always)]
    pub(crate) fn take(&mut self, from: &mut &[u8], len: usize) -> Result<(), Corrupt> {
        let end = self.end(len)?;
        let (some, rest) = from.split_at_checked(len).ok_or(Corrupt)?;
        let step = from.first_chunk::<STEP>().filter(|_| len <= STEP);
        match (step, chunk(self.bytes, self.made)) {
            (Some(step), Some(to)) => {
                *to = *step;
                self.made = end;
            }
            _ => self.append(some)?,
        }
        *from = rest;
        Ok(())
    }

    /// Appends so many bytes that stand this far back; they may reach into themselves.
    #[inline(always)]
    pub(crate) fn repeat(&mut self, back: usize, len: usize) -> Result<(), Corrupt> {
        let end = self.end(len)?;
        let from = self.made.checked_sub(back).filter(|_| back > 0).ok_or(Corrupt)?;
        if back >= STEP && len <= LONG {
            let mut done = 0;
            while done < len {
                let step = *chunk(self.bytes, from + done).ok_or(Corrupt)?;
                *chunk(self.bytes, self.made + done).ok_or(Corrupt)? = step;
                done += STEP;
            }
        } else {
            self.repeat_slowly(from, end)?;
        }
        self.made = end;
        Ok(())
    }

    /// Fills up to `end` with what is from `from` on.
    fn repeat_slowly(&mut self, from: usize, end: usize) -> Result<(), Corrupt> {
        let bytes = self.bytes.get_mut(from..end).ok_or(Corrupt)?;
        let mut there = self.made - from;
        if there == 1 {
            bytes.fill(bytes[0]);
            return Ok(());
        }
        // What is there doubles each time.
        while there < bytes.len() {
            let len = there.min(bytes.len() - there);
            bytes.copy_within(..len, there);
            there += len;
        }
        Ok(())
    }
}

#[inline(always)]
fn chunk(bytes: &mut [u8], at: usize) -> Option<&mut [u8; STEP]> {
    bytes.get_mut(at..)?.first_chunk_mut()
}
