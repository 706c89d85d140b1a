//! Gzip, decompressed as it comes, with a look at the boundaries of its deflate blocks.

use super::header::{self, TRAILER};
use super::index::Start;
use super::input::Input;
use super::marks::Marks;
use super::window::{REACH, Trim};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY,
    TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use std::io::{self, ErrorKind, Read};

/// Output that is decompressed at once, beside the window.
const BUFFER: usize = 128 << 10;

pub(super) struct Gzip {
    decoder: Box<DecompressorOxide>,
    /// The last output of this member: its last 32 KiB at least (if there were so many), which the
    /// decoder copies from. `taken..end` has still to be given to the reader.
    out: Box<[u8]>,
    taken: usize,
    end: usize,
    at: At,
    trim: Option<Trim>,
}

#[derive(Clone, Copy)]
enum At {
    Header,
    Body,
    Trailer,
    End,
}

impl Gzip {
    pub(super) fn new() -> Self {
        Self {
            decoder: Box::default(),
            out: vec![0; REACH + BUFFER].into_boxed_slice(),
            taken: 0,
            end: 0,
            at: At::Header,
            trim: None,
        }
    }

    /// The next bytes; none only at the blob's end.
    pub(super) fn read<R: Read>(
        &mut self,
        input: &mut Input<R>,
        marks: &mut Marks,
        to: &mut [u8],
    ) -> io::Result<usize> {
        while self.taken == self.end {
            match self.at {
                At::Header => {
                    marks.begin_free(input.offset(), Start::Member);
                    header::skip(input)?;
                    self.decoder.init();
                    (self.taken, self.end, self.at) = (0, 0, At::Body);
                }
                At::Body => self.body(input, marks)?,
                At::Trailer => {
                    let mut trailer = [0; TRAILER];
                    input.read_exact(&mut trailer)?;
                    let (crc, len) = marks.member();
                    if !header::trailer_fits(trailer, crc, len) {
                        let what = "a gzip member does not have its trailer's checksum and length";
                        return Err(io::Error::new(ErrorKind::InvalidData, what));
                    }
                    // Whatever follows has to be a member, as it is for flate2 and for Go.
                    self.at = if input.peek(1)?.is_empty() { At::End } else { At::Header };
                }
                At::End => return Ok(0),
            }
        }
        let len = to.len().min(self.end - self.taken);
        to[..len].copy_from_slice(&self.out[self.taken..self.taken + len]);
        self.taken += len;
        Ok(len)
    }

    /// Decompresses on, up to a place where something is to be done.
    fn body<R: Read>(&mut self, input: &mut Input<R>, marks: &mut Marks) -> io::Result<()> {
        if self.out.len() - self.end < BUFFER / 2 {
            self.out.copy_within(self.end - REACH..self.end, 0);
            (self.taken, self.end) = (REACH, REACH);
        }
        let mut flags = TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let until = match &self.trim {
            Some(trim) => trim.missing(),
            None => usize::try_from(marks.until_costly()).unwrap_or(usize::MAX),
        };
        if until == 0 {
            flags |= TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY;
        }
        let room = if until == 0 { self.out.len() } else { self.end.saturating_add(until) };
        let room = room.min(self.out.len());
        let compressed = input.peek(1)?;
        let at_end = compressed.is_empty();
        let (status, read, written) =
            decompress(&mut self.decoder, compressed, &mut self.out[..room], self.end, flags);
        let output = &self.out[self.end..self.end + written];
        marks.bytes(output);
        if let Some(trim) = &mut self.trim {
            trim.add(&compressed[..read], output);
        }
        input.advance(read);
        self.end += written;
        match status {
            TINFLStatus::Done => self.at = At::Trailer,
            TINFLStatus::BlockBoundary => self.boundary(input.offset(), marks),
            TINFLStatus::HasMoreOutput => {}
            TINFLStatus::NeedsMoreInput if !at_end || written > 0 => {}
            TINFLStatus::NeedsMoreInput => return Err(ErrorKind::UnexpectedEof.into()),
            _ => {
                return Err(io::Error::new(ErrorKind::InvalidData, "a deflate stream is damaged"));
            }
        }
        let ready = |trim: &mut Trim| trim.missing() == 0 || matches!(status, TINFLStatus::Done);
        if let Some(trim) = self.trim.take_if(ready) {
            marks.window(trim.finish()?);
        }
        Ok(())
    }

    /// A block ends before `offset`, and a segment begins.
    fn boundary(&mut self, offset: u64, marks: &mut Marks) {
        if let Some(state) = self.decoder.block_boundary_state() {
            let shared = u64::from(state.num_bits > 0);
            let start = Start::Deflate { bits: state.num_bits, window: Box::default() };
            marks.begin(offset - shared, start);
            self.trim = Some(Trim::new(&state, &self.out[..self.end]));
        }
    }
}
