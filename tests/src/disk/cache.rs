//! The medium: a base that is only read, what is durable over it, and the cache over that.
//!
//! What is durable stands in a sparse file, at the places it has on the disk; one bit per sector says
//! whether the file or the base counts. The cache is a list of the writes since the last flush, in
//! order, their bytes in a second file. So memory holds half a MiB for 2 GiB of disk, and a few words
//! for each write. Nothing is ever merged in the list, since each write may be the one that survives.
//!
//! A write with FUA stands in the list too, marked: a cut always keeps it. It has its place in the order,
//! so an earlier write that survives can't undo it, and a later one can.

use crate::random::SplitMix64;
use rustix::fs::{FallocateFlags, fallocate};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What is written whole or not at all, in bytes.
pub(super) const SECTOR: u64 = 512;
/// What most filesystems write at once.
const PAGE: u64 = ZEROS.len() as u64;
const ZEROS: [u8; 4096] = [0; 4096];
/// Bytes that are copied at once.
const CHUNK: usize = 1 << 20;

/// What a power cut takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Everything since the last flush.
    DropAll,
    /// A part of it. The same seed takes the same part of the same writes.
    Seeded(u64),
}

/// What a power cut did, in sectors that were written since the last flush. A sector counts once for
/// each time it was written; those written with FUA don't count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// They reached the medium.
    pub kept: u64,
    /// They did not.
    pub dropped: u64,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sectors kept, {} dropped", self.kept, self.dropped)
    }
}

/// What was asked of a disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Reads.
    pub reads: u64,
    /// Writes, those of zeros and trims among them.
    pub writes: u64,
    /// Those of the writes that had FUA set.
    pub forced: u64,
    /// Flushes.
    pub flushes: u64,
    /// Sectors that a cut could take now.
    pub unflushed: u64,
}

/// What a request puts on the disk.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change<'a> {
    Bytes(&'a [u8]),
    Zeros { length: u64, hole: bool },
}

/// A write in the cache.
struct Entry {
    /// Bytes of the disk.
    place: Range<u64>,
    source: Source,
    forced: bool,
}

#[derive(Clone, Copy)]
enum Source {
    /// From this place in the cache's file.
    Cache(u64),
    Zeros {
        hole: bool,
    },
}

/// All requests have been checked: they are of whole sectors, and within the disk.
pub(super) struct Medium {
    size: u64,
    base: File,
    durable: File,
    /// A bit for each sector: is it in `durable`?
    written: Vec<u64>,
    cache: File,
    /// How much of `cache` is in use.
    filled: u64,
    entries: Vec<Entry>,
    stats: Stats,
}

impl Medium {
    pub fn new(base: &Path, socket: &Path) -> io::Result<Self> {
        let base = File::open(base)?;
        let size = base.metadata()?.len();
        if size == 0 || !size.is_multiple_of(SECTOR) {
            return Err(io::Error::other("a disk's size is a multiple of 512 bytes"));
        }
        let mut medium = Self {
            size,
            base,
            durable: scratch(socket, ".durable")?,
            written: Vec::new(),
            cache: scratch(socket, ".cache")?,
            filled: 0,
            entries: Vec::new(),
            stats: Stats::default(),
        };
        medium.reset()?;
        Ok(medium)
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn stats(&self) -> Stats {
        let open = self.entries.iter().filter(|entry| !entry.forced);
        let unflushed = open.map(|entry| sectors(&entry.place)).sum();
        Stats { unflushed, ..self.stats }
    }

    pub fn reset(&mut self) -> io::Result<()> {
        self.forget()?;
        self.durable.set_len(0)?;
        self.durable.set_len(self.size)?;
        self.written.clear();
        self.written.resize(index(self.size / SECTOR).div_ceil(64), 0);
        self.stats = Stats::default();
        Ok(())
    }

    pub fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.stats.reads += 1;
        self.look(offset, buffer, |_| true)
    }

    pub fn write(&mut self, offset: u64, change: Change<'_>, forced: bool) -> io::Result<()> {
        self.stats.writes += 1;
        self.stats.forced += u64::from(forced);
        let (length, source) = match change {
            Change::Bytes(bytes) => {
                let at = self.filled;
                self.cache.write_all_at(bytes, at)?;
                self.filled += bytes.len() as u64;
                (bytes.len() as u64, Source::Cache(at))
            }
            Change::Zeros { length, hole } => (length, Source::Zeros { hole }),
        };
        self.entries.push(Entry { place: offset..offset + length, source, forced });
        Ok(())
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.stats.flushes += 1;
        // If the host fails, the list is still whole, and a second flush does all of it again.
        for number in 0..self.entries.len() {
            self.settle(number, self.entries[number].place.clone())?;
        }
        self.forget()
    }

    pub fn cut(&mut self, cut: Cut) -> io::Result<Lost> {
        let mut chance = Chance::new(cut);
        let mut lost = Lost::default();
        for number in 0..self.entries.len() {
            let Entry { place, source, forced } = &self.entries[number];
            let (place, forced) = (place.clone(), *forced);
            let grain = chance.grain(&place, matches!(source, Source::Zeros { .. }));
            let mut start = place.start;
            while start < place.end {
                // Pieces end where multiples of the grain are, as a disk's blocks do.
                let piece = start..place.end.min((start / grain + 1).saturating_mul(grain));
                start = piece.end;
                let keep = forced || chance.keeps();
                match (forced, keep) {
                    (true, _) => {}
                    (false, true) => lost.kept += sectors(&piece),
                    (false, false) => lost.dropped += sectors(&piece),
                }
                if keep {
                    self.settle(number, piece)?;
                }
            }
        }
        self.forget()?;
        Ok(lost)
    }

    pub fn save(&self, path: &Path) -> io::Result<()> {
        let file = File::create_new(path)?;
        file.set_len(self.size)?;
        let mut buffer = vec![0; CHUNK];
        let mut at = 0;
        while at < self.size {
            let length = index(self.size - at).min(CHUNK);
            self.look(at, &mut buffer[..length], |entry| entry.forced)?;
            for page in buffer[..length].chunks(ZEROS.len()) {
                if page != &ZEROS[..page.len()] {
                    file.write_all_at(page, at)?;
                }
                at += page.len() as u64;
            }
        }
        Ok(())
    }

    /// What stands at `offset`, with those entries of the cache that `counts` lets through.
    fn look(&self, offset: u64, buffer: &mut [u8], counts: fn(&Entry) -> bool) -> io::Result<()> {
        let sector = index(SECTOR);
        let mut from = 0;
        while from < buffer.len() {
            let first = index(offset / SECTOR) + from / sector;
            let written = self.is_written(first);
            let mut to = from + sector;
            while to < buffer.len() && self.is_written(first + (to - from) / sector) == written {
                to += sector;
            }
            let file = if written { &self.durable } else { &self.base };
            file.read_exact_at(&mut buffer[from..to], offset + from as u64)?;
            from = to;
        }
        let end = offset + buffer.len() as u64;
        for entry in self.entries.iter().filter(|entry| counts(entry)) {
            let both = entry.place.start.max(offset)..entry.place.end.min(end);
            if both.is_empty() {
                continue;
            }
            let part = &mut buffer[index(both.start - offset)..index(both.end - offset)];
            match entry.source {
                Source::Zeros { .. } => part.fill(0),
                Source::Cache(at) => {
                    self.cache.read_exact_at(part, at + (both.start - entry.place.start))?;
                }
            }
        }
        Ok(())
    }

    /// Makes a piece of one entry durable.
    fn settle(&mut self, number: usize, piece: Range<u64>) -> io::Result<()> {
        let Entry { place, source, .. } = &self.entries[number];
        let length = piece.end - piece.start;
        if length == 0 {
            return Ok(());
        }
        if let Source::Zeros { hole: true } = source {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(&self.durable, flags, piece.start, length)?;
        } else {
            let mut buffer = vec![0; index(length).min(CHUNK)];
            let mut done = 0;
            while done < length {
                let part = index(length - done).min(CHUNK);
                if let Source::Cache(at) = source {
                    let at = at + (piece.start - place.start) + done;
                    self.cache.read_exact_at(&mut buffer[..part], at)?;
                }
                self.durable.write_all_at(&buffer[..part], piece.start + done)?;
                done += part as u64;
            }
        }
        for sector in index(piece.start / SECTOR)..index(piece.end / SECTOR) {
            self.written[sector / 64] |= 1 << (sector % 64);
        }
        Ok(())
    }

    /// Empties the cache.
    fn forget(&mut self) -> io::Result<()> {
        self.entries.clear();
        self.filled = 0;
        self.cache.set_len(0)
    }

    fn is_written(&self, sector: usize) -> bool {
        self.written[sector / 64] >> (sector % 64) & 1 == 1
    }
}

/// How a cut chooses.
struct Chance {
    random: SplitMix64,
    /// Of ten pieces, so many are kept.
    keep: u64,
    /// Bytes of a piece, at most.
    grain: u64,
}

impl Chance {
    fn new(cut: Cut) -> Self {
        let Cut::Seeded(seed) = cut else {
            return Self { random: SplitMix64(0), keep: 0, grain: u64::MAX };
        };
        let mut random = SplitMix64(seed);
        let keep = [0, 5, 5, 9, 9][index(random.next() % 5)];
        let grain = [SECTOR, PAGE, u64::MAX][index(random.next() % 3)];
        Self { random, keep, grain }
    }

    /// A trim can be of the whole disk; it comes apart in a thousand pieces, not in millions.
    fn grain(&self, place: &Range<u64>, zeros: bool) -> u64 {
        let least = if zeros { (sectors(place) / 1000).max(1) * SECTOR } else { SECTOR };
        self.grain.max(least)
    }

    fn keeps(&mut self) -> bool {
        self.random.next() % 10 < self.keep
    }
}

fn sectors(place: &Range<u64>) -> u64 {
    (place.end - place.start) / SECTOR
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("the tests run on 64 bits")
}

/// A file beside the socket that loses its name at once, and so is gone when it is closed.
fn scratch(socket: &Path, suffix: &str) -> io::Result<File> {
    let mut path = socket.as_os_str().to_owned();
    path.push(suffix);
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}
