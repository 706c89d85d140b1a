//! Follows the chunks of an answer (RFC 9112, section 7.1) far enough to see trailers, which Skiff has no use for, and
//! of which `http-types` panics at some.

use std::io;

/// Where in the chunks the next byte is.
#[derive(Debug, Default)]
pub enum Chunks {
    /// In the digits of a length.
    #[default]
    Start,
    /// Behind some of them.
    Length(u64),
    /// Behind all of them.
    Extension(u64),
    /// So many bytes, the line's end included, before the next length.
    Data(u64),
    /// Behind the last chunk.
    End,
}

impl Chunks {
    /// Passes bytes; refuses trailers.
    pub fn pass(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = rest;
            *self = match *self {
                Self::Data(left) => {
                    // This byte is one of them.
                    let skipped = (left - 1).min(rest.len() as u64);
                    bytes = rest.get(usize::try_from(skipped).unwrap_or(0)..).unwrap_or_default();
                    if left - 1 == skipped { Self::Start } else { Self::Data(left - 1 - skipped) }
                }
                Self::End if matches!(byte, b'\r' | b'\n') => Self::End,
                Self::End => return Err(refused("the answer has trailers")),
                Self::Start | Self::Length(_) | Self::Extension(_) => self.length(byte)?,
            };
        }
        Ok(())
    }

    fn length(&self, byte: u8) -> io::Result<Self> {
        let so_far = match *self {
            Self::Length(length) | Self::Extension(length) => length,
            _ => 0,
        };
        let digit = char::from(byte).to_digit(16).filter(|_| !matches!(self, Self::Extension(_)));
        Ok(match (digit, byte) {
            (Some(digit), _) => {
                let longer = so_far.checked_mul(16).and_then(|l| l.checked_add(digit.into()));
                Self::Length(longer.ok_or_else(|| refused("the answer has an endless chunk"))?)
            }
            (None, b'\n') if so_far == 0 => Self::End,
            (None, b'\n') => Self::Data(so_far.saturating_add(2)),
            _ => Self::Extension(so_far),
        })
    }
}

fn refused(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_are_seen_however_the_chunks_are_cut() {
        let plain = b"5\r\n0\r\nx:\r\nA;q=0\r\n0123456789\r\n0\r\n\r\n".as_slice();
        let with = b"5\r\n0\r\nx:\r\n0\r\nx: y\r\n\r\n".as_slice();
        for cut in 1..plain.len() {
            for (text, taken) in [(plain, true), (with, false)] {
                let mut chunks = Chunks::default();
                let passed = text.chunks(cut).try_for_each(|piece| chunks.pass(piece));
                assert_eq!(passed.is_ok(), taken, "cut {cut}");
            }
        }
        assert!(Chunks::default().pass(b"fffffffffffffffff\r\n").is_err());
    }
}
