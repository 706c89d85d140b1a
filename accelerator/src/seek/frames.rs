//! Zstd, decompressed as it comes, frame by frame (RFC 8878, section 3.1).

use super::index::Start;
use super::input::Input;
use super::marks::Marks;
use std::io::{self, ErrorKind, Read};
use zstd::stream::raw::{Decoder, Operation};

pub(super) struct Frames {
    decoder: Decoder<'static>,
    in_frame: bool,
}

impl Frames {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { decoder: Decoder::new()?, in_frame: false })
    }

    /// The next bytes; none only at the blob's end.
    pub(super) fn read<R: Read>(
        &mut self,
        input: &mut Input<R>,
        marks: &mut Marks,
        to: &mut [u8],
    ) -> io::Result<usize> {
        loop {
            let at_end = input.peek(1)?.is_empty();
            if !self.in_frame {
                if at_end {
                    return Ok(0);
                }
                marks.begin_free(input.offset(), Start::Frame);
                self.in_frame = true;
            }
            let step = self.decoder.run_on_buffers(input.peek(1)?, to)?;
            input.advance(step.bytes_read);
            // The decoder stops behind a frame once all of its bytes are out.
            self.in_frame = step.remaining != 0;
            if step.bytes_written > 0 {
                marks.bytes(&to[..step.bytes_written]);
                return Ok(step.bytes_written);
            }
            if self.in_frame && at_end {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
