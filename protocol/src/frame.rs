//! Frames: the units of a response body.
//!
//! ```text
//!  0        1        2        4            8
//! ┌────────┬────────┬────────┬────────────┬───────────────┐
//! │ magic  │ kind   │ length │ CRC-32     │ payload       │
//! │ 0xA5   │ u8     │ u16 LE │ u32 LE     │ length bytes  │
//! └────────┴────────┴────────┴────────────┴───────────────┘
//! ```
//!
//! The CRC-32 (IEEE 802.3) is over the first four header bytes and the payload. Whoever finds a
//! fault stops reading: there is no resynchronisation, and what was finished before stays good.
//!
//! [`Header::parse`] and [`Header::check`] are pure; [`read`] and [`write`] add the I/O.

use crate::Error;
use crate::limits::MAX_PAYLOAD;
use core::fmt;
use embedded_io::ReadExactError;

/// First byte of every frame.
pub const MAGIC: u8 = 0xA5;

/// Bytes of a frame's header.
pub const HEADER_LEN: usize = 8;

/// Room for one payload; the agent has one of them.
pub type Buffer = heapless::Vec<u8, MAX_PAYLOAD>;

/// What a frame's payload is. Messages are in [`crate::response`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// [`crate::response::Plan`]: what will be sent.
    Plan = 1,
    /// [`crate::response::Progress`]: the accelerator is busy; nothing to do but wait.
    Progress = 2,
    /// [`crate::response::Notice`]: something that an operator may want to know.
    Notice = 3,
    /// A slice of the metadata stream (see [`crate::record`]).
    Metadata = 4,
    /// [`crate::response::Pack`]: a pack's head.
    Pack = 5,
    /// A slice of the current pack's encoded bytes.
    PackData = 6,
    /// Empty: every pack of the hot set has been sent.
    HotComplete = 7,
    /// [`crate::response::Complete`]: the last frame of an answer that holds everything.
    Complete = 8,
    /// [`crate::response::Failure`]: the last frame of an answer that does not.
    Failure = 9,
    /// [`crate::response::Signature`]: who vouches for the metadata, which it follows. Since version 1.4.
    Signature = 10,
}

impl Kind {
    fn from_byte(byte: u8) -> Result<Self, Error> {
        Ok(match byte {
            1 => Self::Plan,
            2 => Self::Progress,
            3 => Self::Notice,
            4 => Self::Metadata,
            5 => Self::Pack,
            6 => Self::PackData,
            7 => Self::HotComplete,
            8 => Self::Complete,
            9 => Self::Failure,
            10 => Self::Signature,
            _ => return Err(Error::UnknownKind),
        })
    }
}

/// A frame's header, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the payload is.
    pub kind: Kind,
    /// Bytes of the payload, at most [`MAX_PAYLOAD`].
    pub len: u16,
    crc: u32,
}

impl Header {
    /// The header of a frame with this payload.
    pub fn new(kind: Kind, payload: &[u8]) -> Result<Self, Error> {
        if payload.len() > MAX_PAYLOAD {
            return Err(Error::FrameTooLong);
        }
        let len = u16::try_from(payload.len()).map_err(|_| Error::FrameTooLong)?;
        let mut header = Self { kind, len, crc: 0 };
        header.crc = header.crc_of(payload);
        Ok(header)
    }

    /// The header's bytes.
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let [a, b, c, d] = self.head();
        let [e, f, g, h] = self.crc.to_le_bytes();
        [a, b, c, d, e, f, g, h]
    }

    /// Takes a header apart: magic, kind and length are checked, the CRC is not yet.
    pub fn parse(bytes: [u8; HEADER_LEN]) -> Result<Self, Error> {
        let [magic, kind, l0, l1, c0, c1, c2, c3] = bytes;
        if magic != MAGIC {
            return Err(Error::BadMagic);
        }
        let kind = Kind::from_byte(kind)?;
        let len = u16::from_le_bytes([l0, l1]);
        if usize::from(len) > MAX_PAYLOAD {
            return Err(Error::FrameTooLong);
        }
        Ok(Self { kind, len, crc: u32::from_le_bytes([c0, c1, c2, c3]) })
    }

    /// Checks the CRC against the payload.
    pub fn check(&self, payload: &[u8]) -> Result<(), Error> {
        if self.crc_of(payload) == self.crc { Ok(()) } else { Err(Error::BadCrc) }
    }

    fn head(&self) -> [u8; 4] {
        let [l0, l1] = self.len.to_le_bytes();
        [MAGIC, self.kind as u8, l0, l1]
    }

    fn crc_of(&self, payload: &[u8]) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        // One call: then a compiler sees which of its two ways the hasher takes, and leaves the other one out, with its tables.
        for bytes in [&self.head()[..], payload] {
            crc.update(bytes);
        }
        crc.finalize()
    }
}

/// A frame that was read and checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the payload is.
    pub kind: Kind,
    /// The payload.
    pub payload: &'a [u8],
}

/// Why a frame could not be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError<E> {
    /// The reader or writer failed.
    Io(E),
    /// The bytes are not a frame.
    Protocol(Error),
}

impl<E: fmt::Display> fmt::Display for FrameError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Protocol(error) => error.fmt(f),
        }
    }
}

impl<E: core::error::Error> core::error::Error for FrameError<E> {}

impl<E> From<ReadExactError<E>> for FrameError<E> {
    fn from(error: ReadExactError<E>) -> Self {
        match error {
            ReadExactError::UnexpectedEof => Self::Protocol(Error::Truncated),
            ReadExactError::Other(error) => Self::Io(error),
        }
    }
}

/// Reads one frame. A stream that ends here is [`Error::Truncated`]: an answer ends with
/// [`Kind::Complete`] or [`Kind::Failure`], never by a mere end of bytes.
pub async fn read<'b, R: embedded_io_async::Read>(
    reader: &mut R,
    buffer: &'b mut Buffer,
) -> Result<Frame<'b>, FrameError<R::Error>> {
    let mut begun = Begun::default();
    begun.read_on(reader, buffer).await?;
    begun.finish(buffer).map_err(FrameError::Protocol)
}

/// How far a frame has been read, by one who may give up waiting for the rest of it, and go on later with the same buffer.
#[derive(Debug, Default)]
pub struct Begun {
    header: [u8; HEADER_LEN],
    /// Bytes of the header, and then of the payload.
    have: usize,
}

impl Begun {
    /// Reads until the frame is whole. May be dropped at any time, if the reader's `read` may.
    pub async fn read_on<R: embedded_io_async::Read>(
        &mut self,
        reader: &mut R,
        buffer: &mut Buffer,
    ) -> Result<(), FrameError<R::Error>> {
        loop {
            let missing = match self.header.get_mut(self.have..).filter(|rest| !rest.is_empty()) {
                Some(rest) => rest,
                None => {
                    let header = Header::parse(self.header).map_err(FrameError::Protocol)?;
                    fit(buffer, header.len)?;
                    match buffer.get_mut(self.have - HEADER_LEN..) {
                        Some(rest) if !rest.is_empty() => rest,
                        _ => return Ok(()),
                    }
                }
            };
            match reader.read(missing).await.map_err(FrameError::Io)? {
                0 => return Err(FrameError::Protocol(Error::Truncated)),
                read => self.have += read,
            }
        }
    }

    /// The frame, which is whole. The next one may begin.
    pub fn finish<'b>(&mut self, buffer: &'b Buffer) -> Result<Frame<'b>, Error> {
        let Self { header, .. } = core::mem::take(self);
        let header = Header::parse(header)?;
        header.check(buffer)?;
        Ok(Frame { kind: header.kind, payload: buffer })
    }
}

/// [`read`] for a reader that blocks.
pub fn read_blocking<'b, R: embedded_io::Read>(
    reader: &mut R,
    buffer: &'b mut Buffer,
) -> Result<Frame<'b>, FrameError<R::Error>> {
    let mut header = [0; HEADER_LEN];
    reader.read_exact(&mut header)?;
    let header = Header::parse(header).map_err(FrameError::Protocol)?;
    fit(buffer, header.len)?;
    reader.read_exact(buffer)?;
    header.check(buffer).map_err(FrameError::Protocol)?;
    Ok(Frame { kind: header.kind, payload: buffer })
}

fn fit<E>(buffer: &mut Buffer, len: u16) -> Result<(), FrameError<E>> {
    buffer.resize(usize::from(len), 0).map_err(|_| FrameError::Protocol(Error::FrameTooLong))
}

/// Writes one frame.
pub fn write<W: embedded_io::Write>(
    writer: &mut W,
    kind: Kind,
    payload: &[u8],
) -> Result<(), FrameError<W::Error>> {
    let header = Header::new(kind, payload).map_err(FrameError::Protocol)?;
    writer.write_all(&header.to_bytes()).map_err(FrameError::Io)?;
    writer.write_all(payload).map_err(FrameError::Io)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn written(kind: Kind, payload: &[u8]) -> Vec<u8> {
        let mut bytes = [0; 2 * MAX_PAYLOAD];
        let mut rest = &mut bytes[..];
        write(&mut rest, kind, payload).unwrap();
        let used = 2 * MAX_PAYLOAD - rest.len();
        bytes[..used].to_vec()
    }

    fn read_back(mut bytes: &[u8]) -> Result<(Kind, Vec<u8>), Error> {
        match read_blocking(&mut bytes, &mut Buffer::new()) {
            Ok(frame) => Ok((frame.kind, frame.payload.to_vec())),
            Err(FrameError::Protocol(error)) => Err(error),
            Err(FrameError::Io(never)) => match never {},
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let good = written(Kind::Metadata, b"hello");
        assert_eq!(read_back(&good), Ok((Kind::Metadata, b"hello".to_vec())));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(read_back(&bad).is_err(), "bit {bit}");
        }
        for len in 0..good.len() {
            assert_eq!(read_back(&good[..len]), Err(Error::Truncated), "{len} bytes");
        }
    }

    #[test]
    fn each_fault_has_its_name() {
        let good = written(Kind::HotComplete, b"");
        let with = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            read_back(&bad)
        };
        assert_eq!(with(0, 0), Err(Error::BadMagic));
        assert_eq!(with(1, 0), Err(Error::UnknownKind));
        assert_eq!(with(1, 11), Err(Error::UnknownKind));
        assert_eq!(with(3, 0xFF), Err(Error::FrameTooLong));
        assert_eq!(with(4, !good[4]), Err(Error::BadCrc));
    }

    #[test]
    fn the_longest_payload_fits_and_a_longer_one_does_not() {
        let payload = [7; MAX_PAYLOAD + 1];
        assert!(read_back(&written(Kind::PackData, &payload[..MAX_PAYLOAD])).is_ok());
        assert_eq!(Header::new(Kind::PackData, &payload), Err(Error::FrameTooLong));
    }
}
