//! What an ELF file asks for: its interpreter and the libraries that it needs.
//!
//! Of a library of 50 MB this takes some KiB, so that a file is read in pieces: the parser runs on what has
//! been read so far, and says which piece it missed.

use object::elf;
use object::read::elf::{Dyn as _, FileHeader, ProgramHeader};
use object::{Endianness, ReadRef};
use std::cell::Cell;
use std::ops::Range;

/// Most bytes of one piece; what wants more is no program.
const MAX_PIECE: u64 = 4 << 20;

/// The least that is read at once.
const LEAST: u64 = 4096;

/// The longest name.
const LONGEST: u64 = 1024;

/// What an ELF file asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asks {
    /// The program interpreter: the dynamic linker's path.
    pub(super) interpreter: Option<Vec<u8>>,
    /// Names of libraries.
    pub(super) needed: Vec<Vec<u8>>,
    /// Directories to look in first, as they stand there: a list with colons.
    pub(super) search: Vec<Vec<u8>>,
    /// Where its constants are in the file: text among them.
    pub(super) constants: Vec<Range<u64>>,
}

/// A file of which pieces were read.
#[derive(Debug)]
pub(super) struct Pieces {
    len: u64,
    read: Vec<(u64, Vec<u8>)>,
    missed: Cell<Option<(u64, u64)>>,
}

impl Pieces {
    /// A file of `len` bytes of which this is the beginning.
    pub(super) fn new(len: u64, head: Vec<u8>) -> Self {
        Self { len, read: vec![(0, head)], missed: Cell::new(None) }
    }

    /// Adds what was missed.
    pub(super) fn add(&mut self, offset: u64, bytes: Vec<u8>) {
        self.read.push((offset, bytes));
    }

    /// What it asks for; or what has to be read first; or nothing, if it is not understood.
    pub(super) fn asks(&self) -> Result<Asks, Option<Range<u64>>> {
        self.missed.set(None);
        let class = self.read_bytes_at(4, 1).map_err(|()| None)?;
        let asks = if class == [elf::ELFCLASS64] {
            asks::<elf::FileHeader64<Endianness>>(self)
        } else {
            asks::<elf::FileHeader32<Endianness>>(self)
        };
        asks.ok_or_else(|| self.missed.take().map(|(start, end)| start..end))
    }
}

impl<'a> ReadRef<'a> for &'a Pieces {
    fn len(self) -> Result<u64, ()> {
        Ok(self.len)
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        let end = offset.checked_add(size).filter(|end| *end <= self.len).ok_or(())?;
        for (start, bytes) in &self.read {
            let Some(from) = offset.checked_sub(*start) else { continue };
            let (from, len) = (usize::try_from(from), usize::try_from(size));
            let (Ok(from), Ok(len)) = (from, len) else { continue };
            if let Some(found) = bytes.get(from..).and_then(|bytes| bytes.get(..len)) {
                return Ok(found);
            }
        }
        if size <= MAX_PIECE {
            self.missed.set(Some((offset, end.max(offset.saturating_add(LEAST)).min(self.len))));
        }
        Err(())
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        let bytes = self.read_bytes_at(range.start, range.end.saturating_sub(range.start))?;
        let end = bytes.iter().position(|byte| *byte == delimiter).ok_or(())?;
        Ok(&bytes[..end])
    }
}

fn asks<E: FileHeader<Endian = Endianness>>(file: &Pieces) -> Option<Asks> {
    let header = E::parse(file).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, file).ok()?;
    let mut asks = Asks::default();
    for segment in segments {
        if let Some(path) = segment.interpreter(endian, file).ok()? {
            asks.interpreter = Some(path.to_vec());
        }
    }
    asks.constants = segments.iter().filter_map(|segment| constants(segment, endian)).collect();
    let mut dynamic = None;
    for segment in segments {
        dynamic = dynamic.or(segment.dynamic(endian, file).ok()?);
    }
    let Some(dynamic) = dynamic else { return Some(asks) };
    let entries =
        || dynamic.iter().map(|entry| (entry.d_tag(endian).into(), entry.d_val(endian).into()));
    let value = |tag: i64| entries().find(|entry: &(i64, u64)| entry.0 == tag).map(|entry| entry.1);
    let (Some(at), Some(len)) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) else {
        return Some(asks);
    };
    let offset = segments.iter().find_map(|segment| {
        let start: u64 = segment.p_vaddr(endian).into();
        let within =
            at.checked_sub(start).filter(|within| *within < segment.p_filesz(endian).into());
        let loaded = segment.p_type(endian) == elf::PT_LOAD;
        within.filter(|_| loaded)?.checked_add(segment.p_offset(endian).into())
    })?;
    for (tag, value) in entries() {
        let list = match tag {
            tag if tag == elf::DT_NEEDED => &mut asks.needed,
            tag if tag == elf::DT_RPATH || tag == elf::DT_RUNPATH => &mut asks.search,
            _ => continue,
        };
        // The table may have megabytes of other names.
        let Some(left) = len.checked_sub(value).filter(|left| *left > 0) else { continue };
        let text = file.read_bytes_at(offset.checked_add(value)?, left.min(LONGEST)).ok()?;
        list.extend(text.split(|byte| *byte == 0).next().map(<[u8]>::to_vec));
    }
    Some(asks)
}

/// Of a segment that can only be read. The first one has the tables for the dynamic linker.
fn constants<S: ProgramHeader<Endian = Endianness>>(
    segment: &S,
    endian: Endianness,
) -> Option<Range<u64>> {
    let start: u64 = segment.p_offset(endian).into();
    let kind = segment.p_flags(endian) & (elf::PF_R | elf::PF_W | elf::PF_X);
    let is_constant = segment.p_type(endian) == elf::PT_LOAD && kind == elf::PF_R && start > 0;
    is_constant.then_some(start..start.checked_add(segment.p_filesz(endian).into())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads what a file asks for, in pieces; gives the bytes that were read, too.
    fn read(bytes: &[u8]) -> (Option<Asks>, usize) {
        let head = bytes[..bytes.len().min(4096)].to_vec();
        let mut file = Pieces::new(bytes.len() as u64, head);
        for _ in 0..16 {
            match file.asks() {
                Ok(asks) => return (Some(asks), file.read.iter().map(|piece| piece.1.len()).sum()),
                Err(None) => break,
                Err(Some(piece)) => {
                    let start = piece.start;
                    let piece =
                        usize::try_from(start).unwrap()..usize::try_from(piece.end).unwrap();
                    file.add(start, bytes[piece].to_vec());
                }
            }
        }
        (None, 0)
    }

    #[test]
    fn a_real_program_is_read_in_pieces() {
        let bytes = std::fs::read("/bin/bash").unwrap();
        let (asks, read) = read(&bytes);
        let asks = asks.unwrap();
        let interpreter = asks.interpreter.unwrap();
        assert!(std::path::Path::new(std::str::from_utf8(&interpreter).unwrap()).exists());
        assert!(asks.needed.iter().any(|name| name.starts_with(b"libc.so")), "{:?}", asks.needed);
        assert!(read < bytes.len() / 4, "{read} of {} bytes", bytes.len());
    }

    proptest! {
        #[test]
        fn a_damaged_program_is_read_or_not(at in 0..4096_usize, by in 1..255_u8, len in 0..100_000_usize) {
            let mut bytes = std::fs::read("/bin/bash").unwrap();
            bytes[at] ^= by;
            let _ = read(&bytes);
            bytes.truncate(len);
            let _ = read(&bytes);
        }
    }
}
