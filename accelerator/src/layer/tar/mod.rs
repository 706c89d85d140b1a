//! Reads a tar stream entry by entry, with the semantics of Go's `archive/tar`, which containerd
//! uses: ustar, PAX, GNU. A file's content is hashed and sketched while it passes; the entry says where it lies.
//!
//! Unlike Go's, this reader takes the old GNU sparse type `S` for a file (containerd refuses it).

mod header;
mod pax;
mod sparse;

use super::{LayerError, limits, source::Source};
use crate::sha256::Sha256;
use crate::sketch::{SHORTEST, Sketched, Sketcher};
use crate::tree::{Content, Extent};
use header::{BLOCK, Header};
use pax::Records;
use sparse::{Map, Notation};
use std::{collections::BTreeMap, io::Read};

/// One entry, as its headers say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// As written: may be absolute, hold `..`, end in a slash.
    pub name: Vec<u8>,
    /// 12 bits.
    pub mode: u16,
    /// `None` for −1, which `chown` takes for "as it is".
    pub uid: Option<u32>,
    /// As `uid`.
    pub gid: Option<u32>,
    /// Seconds and nanoseconds since 1970; not bounded.
    pub mtime: (i64, u32),
    /// All of them, `trusted.*` too.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File(Content),
    HardLink(Vec<u8>),
    Symlink(Vec<u8>),
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
    /// A PAX global header; its values apply to nothing here, but containerd makes its parents.
    Global,
}

/// The reader. After an error it is of no further use.
pub(super) struct Reader<'s, 'a, R> {
    source: &'s mut Source<'a, R>,
    /// What the next header overrides: PAX records, GNU long name and long link.
    records: Records,
    long_name: Vec<u8>,
    long_link: Vec<u8>,
    /// Bytes of padding before the next header.
    pad: u64,
    /// Bytes of sparse files so far.
    sparse: u64,
    sketches: Sketched,
}

impl<'s, 'a, R: Read> Reader<'s, 'a, R> {
    pub(super) fn new(source: &'s mut Source<'a, R>) -> Self {
        Self {
            source,
            records: Records::new(),
            long_name: Vec::new(),
            long_link: Vec::new(),
            pad: 0,
            sparse: 0,
            sketches: Sketched::default(),
        }
    }

    /// The sketches of all contents so far.
    pub(super) fn into_sketches(self) -> Sketched {
        self.sketches
    }

    /// The next entry, its content read; `None` at the end marker or the end of the stream.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, LayerError> {
        loop {
            let Some((block, mut header)) = self.header()? else { return Ok(None) };
            match header.kind {
                b'x' => {
                    let bytes = self.special(&header)?;
                    self.records = pax::parse(&bytes).map_err(|what| self.bad(what))?;
                }
                b'g' => {
                    let bytes = self.special(&header)?;
                    let records = pax::parse(&bytes).map_err(|what| self.bad(what))?;
                    pax::merge(&mut header, &records).map_err(|what| self.bad(what))?;
                    self.forget();
                    return Ok(Some(Self::entry(header, Kind::Global, BTreeMap::new())));
                }
                b'L' => self.long_name = header::string(&self.special(&header)?).to_vec(),
                b'K' => self.long_link = header::string(&self.special(&header)?).to_vec(),
                _ => {
                    pax::merge(&mut header, &self.records).map_err(|what| self.bad(what))?;
                    if !self.long_name.is_empty() {
                        header.name = std::mem::take(&mut self.long_name);
                    }
                    if !self.long_link.is_empty() {
                        header.link = std::mem::take(&mut self.long_link);
                    }
                    let records = std::mem::take(&mut self.records);
                    self.forget();
                    return self.finish(&block, header, &records).map(Some);
                }
            }
        }
    }

    /// The next header block that isn't the end marker.
    fn header(&mut self) -> Result<Option<([u8; BLOCK], Header)>, LayerError> {
        let mut block = [0; BLOCK];
        let pad = usize::try_from(std::mem::take(&mut self.pad)).unwrap_or(0);
        if self.source.read(&mut block[..pad])? < pad || !self.block(&mut block)? {
            return Ok(None);
        }
        if block == [0; BLOCK] {
            if self.block(&mut block)? && block != [0; BLOCK] {
                return Err(self.bad("a single zero block stands between entries"));
            }
            return Ok(None);
        }
        let header = header::parse(&block).map_err(|what| self.bad(what))?;
        Ok(Some((block, header)))
    }

    /// Reads a block; `false` at the end of the stream.
    fn block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, LayerError> {
        match self.source.read(block)? {
            0 => Ok(false),
            BLOCK => Ok(true),
            _ => Err(LayerError::Truncated { offset: self.source.offset() }),
        }
    }

    /// The content of a PAX header or a GNU long name.
    fn special(&mut self, header: &Header) -> Result<Vec<u8>, LayerError> {
        let size = self.size(header)?;
        if size > limits::SPECIAL {
            return Err(LayerError::limit(&header.name, "an extended header over 1 MiB"));
        }
        let mut bytes = Vec::new();
        self.source.exactly(size, |chunk| bytes.extend_from_slice(chunk))?;
        self.pad = padding(size);
        Ok(bytes)
    }

    /// Reads what belongs to the entry behind its header.
    fn finish(
        &mut self,
        block: &[u8; BLOCK],
        mut header: Header,
        records: &Records,
    ) -> Result<Entry, LayerError> {
        if header.kind == 0 {
            header.kind = if header.name.ends_with(b"/") { b'5' } else { b'0' };
        }
        let kind = match header.kind {
            b'0' | b'S' => Kind::File(self.file(block, &mut header, records)?),
            other => {
                match sparse::from_pax(&mut header, records) {
                    Ok(Notation::None) => {}
                    Ok(_) => return Err(self.bad("an entry that is no file has a sparse map")),
                    Err(what) => return Err(self.bad(what)),
                }
                self.other(other, &header)?
            }
        };
        Ok(Self::entry(header, kind, pax::xattrs(records)))
    }

    fn other(&self, kind: u8, header: &Header) -> Result<Kind, LayerError> {
        // Linux has 12 bits of major and 20 of minor number.
        let dev = |number: i64, mask| u32::try_from(number & mask).unwrap_or(0);
        let (major, minor) = (dev(header.dev.0, 0xfff), dev(header.dev.1, 0xf_ffff));
        Ok(match kind {
            b'1' => Kind::HardLink(header.link.clone()),
            b'2' => Kind::Symlink(header.link.clone()),
            b'3' => Kind::CharDevice(major, minor),
            b'4' => Kind::BlockDevice(major, minor),
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            _ => return Err(LayerError::unpack(&header.name, "its tar entry type is unknown")),
        })
    }

    /// Reads a file's content, sparse or not.
    fn file(
        &mut self,
        block: &[u8; BLOCK],
        header: &mut Header,
        records: &Records,
    ) -> Result<Content, LayerError> {
        let mut stored = self.size(header)?;
        self.pad = padding(stored);
        let map = if header.kind == b'S' {
            Some(self.old_gnu_map(block, header)?)
        } else {
            match sparse::from_pax(header, records).map_err(|what| self.bad(what))? {
                Notation::None => None,
                Notation::Map(map) => Some(map),
                Notation::Ahead => Some(self.map_ahead(&mut stored)?),
            }
        };
        let size = self.size(header)?;
        match map {
            None => self.content(size, &vec![(0, size)]),
            Some(map) => {
                sparse::check(&map, size, stored).map_err(|what| self.bad(what))?;
                self.sparse = self.sparse.saturating_add(size);
                if self.sparse > limits::SPARSE {
                    let what = "the layer's sparse files are over 64 GiB";
                    return Err(LayerError::limit(&header.name, what));
                }
                self.content(size, &map)
            }
        }
    }

    fn old_gnu_map(&mut self, block: &[u8; BLOCK], header: &mut Header) -> Result<Map, LayerError> {
        if !header.gnu {
            return Err(self.bad("a sparse file's header isn't in the GNU format"));
        }
        header.size = sparse::old_gnu_size(block).map_err(|what| self.bad(what))?;
        let mut map = Map::new();
        let mut block = *block;
        let (mut first, mut read) = (true, 0);
        while sparse::old_gnu(&block, first, &mut map).map_err(|what| self.bad(what))? {
            first = false;
            read += BLOCK as u64;
            if read > limits::SPECIAL {
                return Err(LayerError::limit(&header.name, "a sparse map over 1 MiB"));
            }
            if !self.block(&mut block)? {
                return Err(LayerError::Truncated { offset: self.source.offset() });
            }
        }
        Ok(map)
    }

    fn map_ahead(&mut self, stored: &mut u64) -> Result<Map, LayerError> {
        let mut ahead = sparse::Ahead::default();
        let mut block = [0; BLOCK];
        let end = stored.saturating_sub(limits::SPECIAL);
        loop {
            if *stored < BLOCK as u64 || *stored <= end {
                return Err(self.bad("a sparse file's map doesn't end"));
            }
            if !self.block(&mut block)? {
                return Err(LayerError::Truncated { offset: self.source.offset() });
            }
            *stored -= BLOCK as u64;
            if let Some(map) = ahead.feed(&block).map_err(|what| self.bad(what))? {
                return Ok(map);
            }
        }
    }

    /// Reads `size` bytes of a file of which the tar holds those in `map`.
    fn content(&mut self, size: u64, map: &Map) -> Result<Content, LayerError> {
        let mut hash = Sha256::new();
        let mut sketcher = (size >= SHORTEST).then(Sketcher::new);
        let mut extents = Vec::new();
        let mut at = 0;
        for &(offset, len) in map.iter().filter(|(_, len)| *len > 0) {
            zeros(&mut hash, offset - at);
            extents.push(Extent { offset, tar_offset: self.source.offset(), len });
            self.source.exactly(len, |chunk| {
                hash.update(chunk);
                if let Some(sketcher) = &mut sketcher {
                    sketcher.update(chunk);
                }
            })?;
            at = offset + len;
        }
        zeros(&mut hash, size - at);
        let sha256 = hash.finish().0;
        // Holes have nothing in them that could resemble anything.
        if let Some(sketch) = sketcher.and_then(|sketcher| sketcher.finish()) {
            self.sketches.insert(sha256, sketch);
        }
        Ok(Content { sha256, size, layer: 0, extents })
    }

    fn entry(header: Header, kind: Kind, xattrs: BTreeMap<Vec<u8>, Vec<u8>>) -> Entry {
        // The system call takes the low 32 bits, whatever the tar holds.
        let id = |id: i64| {
            Some(u32::try_from(id & 0xffff_ffff).unwrap_or(0)).filter(|id| *id != u32::MAX)
        };
        Entry {
            mode: u16::try_from(header.mode & 0o7777).unwrap_or(0),
            uid: id(header.uid),
            gid: id(header.gid),
            mtime: header.mtime,
            name: header.name,
            xattrs,
            kind,
        }
    }

    fn size(&self, header: &Header) -> Result<u64, LayerError> {
        u64::try_from(header.size).map_err(|_| self.bad("an entry's size is negative"))
    }

    fn forget(&mut self) {
        self.records.clear();
        self.long_name.clear();
        self.long_link.clear();
    }

    fn bad(&self, what: &'static str) -> LayerError {
        LayerError::Header { offset: self.source.offset(), what }
    }
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn zeros(hash: &mut Sha256, mut len: u64) {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    while len > 0 {
        let n = usize::try_from(len).unwrap_or(usize::MAX).min(ZEROS.len());
        hash.update(&ZEROS[..n]);
        len -= n as u64;
    }
}

#[cfg(test)]
mod tests;
