//! The header and the trailer of a gzip member (RFC 1952, section 2.3).

use crc32fast::Hasher;
use std::io::{self, ErrorKind, Read};

/// Bytes of a trailer: CRC-32, and the size modulo 2³².
pub(super) const TRAILER: usize = 8;

const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
/// "Reserved bits must be zero", and a compliant decompressor must say so if they aren't.
const RESERVED: u8 = 0b1110_0000;

/// Reads a header up to the deflate stream.
pub(super) fn skip(reader: &mut impl Read) -> io::Result<()> {
    let mut reader = Summed { reader, crc: Hasher::new() };
    let [magic0, magic1, method, flags, ..] = reader.take::<10>()?;
    if [magic0, magic1, method] != super::format::GZIP || flags & RESERVED != 0 {
        return Err(io::Error::new(ErrorKind::InvalidData, "no gzip header"));
    }
    if flags & EXTRA != 0 {
        for _ in 0..u16::from_le_bytes(reader.take()?) {
            reader.take::<1>()?;
        }
    }
    for text in [NAME, COMMENT] {
        while flags & text != 0 && reader.take::<1>()? != [0] {}
    }
    if flags & HEADER_CRC != 0 {
        let [low, high, ..] = reader.crc.clone().finalize().to_le_bytes();
        if reader.take()? != [low, high] {
            return Err(io::Error::new(ErrorKind::InvalidData, "the gzip header is damaged"));
        }
    }
    Ok(())
}

/// Whether a trailer says what its member's bytes are.
pub(super) fn trailer_fits(trailer: [u8; TRAILER], crc: u32, len: u64) -> bool {
    let [a, b, c, d, size @ ..] = trailer;
    [a, b, c, d] == crc.to_le_bytes() && len.to_le_bytes().starts_with(&size)
}

struct Summed<'a, R> {
    reader: &'a mut R,
    crc: Hasher,
}

impl<R: Read> Summed<'_, R> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.crc.update(&bytes);
        Ok(bytes)
    }
}
