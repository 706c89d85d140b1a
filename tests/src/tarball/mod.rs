//! A tar writer with nothing between the test and the bytes.
//!
//! Ordinary tar libraries refuse, or quietly repair, just what the hard images need: two entries
//! of one name, names that aren't UTF-8, times before 1970, a sparse map of 1999. Here an
//! [`Entry`] says what stands in the archive and in which dialect; `encode` writes headers and `sparse` the
//! four ways of leaving out zeros. Formats: POSIX pax(1), GNU tar's "Basic Tar Format" and
//! "Storing Sparse Files" chapters.

mod encode;
mod sparse;

pub use sparse::SparseStyle;

/// Seconds and nanoseconds since 1970. For times before it, `sec` is negative and `nsec` counts
/// forward from it, as in `struct timespec`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// Seconds.
    pub sec: i64,
    /// Nanoseconds, 0 to 999,999,999.
    pub nsec: u32,
}

/// The dialect of an entry's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// No magic at all: names to 100 bytes, whole seconds.
    V7,
    /// POSIX 1988: names to 255 bytes by a prefix, whole seconds from 1970 to 2242.
    Ustar,
    /// GNU: long names as entries of their own, base-256 numbers, whole seconds.
    Gnu,
    /// POSIX 2001: records before the header; fractions of seconds, any size, xattrs.
    Pax,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file and its bytes.
    File(Vec<u8>),
    /// A regular file of `size` bytes, zero but for the pieces: (offset, bytes), in order.
    Sparse {
        /// How the archive says it.
        style: SparseStyle,
        /// Size of the file.
        size: u64,
        /// What isn't a hole.
        pieces: Vec<(u64, Vec<u8>)>,
    },
    /// A directory.
    Directory,
    /// A symbolic link to these bytes.
    Symlink(Vec<u8>),
    /// A hard link to an entry before it.
    Hardlink(Vec<u8>),
    /// A character device, major and minor.
    Character(u32, u32),
    /// A block device, major and minor.
    Block(u32, u32),
    /// A FIFO.
    Fifo,
    /// A pax global header with these records; readers of images ignore it.
    Global(Vec<(Vec<u8>, Vec<u8>)>),
}

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name exactly as it shall stand in the archive.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time.
    pub mtime: Time,
    /// Extended attributes, as `SCHILY.xattr.` records; only in [`Format::Pax`].
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The dialect.
    pub format: Format,
}

/// The time of entries that say nothing else: 2024-01-02 03:04:05 UTC.
const SOME_DAY: Time = Time { sec: 1_704_164_645, nsec: 0 };

impl Entry {
    fn new(name: impl AsRef<[u8]>, kind: Kind, mode: u32) -> Self {
        let name = name.as_ref().to_vec();
        let format = Format::Pax;
        Self { name, kind, mode, uid: 0, gid: 0, mtime: SOME_DAY, xattrs: Vec::new(), format }
    }

    /// A file, 0644.
    pub fn file(name: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) -> Self {
        Self::new(name, Kind::File(bytes.as_ref().to_vec()), 0o644)
    }

    /// A sparse file, 0644.
    pub fn sparse(
        name: impl AsRef<[u8]>,
        style: SparseStyle,
        size: u64,
        pieces: Vec<(u64, Vec<u8>)>,
    ) -> Self {
        let format = if style == SparseStyle::OldGnu { Format::Gnu } else { Format::Pax };
        Self::new(name, Kind::Sparse { style, size, pieces }, 0o644).format(format)
    }

    /// A directory, 0755. By custom its name ends in a slash; that is the caller's to say.
    pub fn directory(name: impl AsRef<[u8]>) -> Self {
        Self::new(name, Kind::Directory, 0o755)
    }

    /// A symbolic link.
    pub fn symlink(name: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Self {
        Self::new(name, Kind::Symlink(to.as_ref().to_vec()), 0o777)
    }

    /// A hard link.
    pub fn hardlink(name: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Self {
        Self::new(name, Kind::Hardlink(to.as_ref().to_vec()), 0o644)
    }

    /// A character device, 0600.
    pub fn character(name: impl AsRef<[u8]>, major: u32, minor: u32) -> Self {
        Self::new(name, Kind::Character(major, minor), 0o600)
    }

    /// A block device, 0600.
    pub fn block(name: impl AsRef<[u8]>, major: u32, minor: u32) -> Self {
        Self::new(name, Kind::Block(major, minor), 0o600)
    }

    /// A FIFO, 0600.
    pub fn fifo(name: impl AsRef<[u8]>) -> Self {
        Self::new(name, Kind::Fifo, 0o600)
    }

    /// A pax global header with one record.
    pub fn global(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let record = (key.as_ref().to_vec(), value.as_ref().to_vec());
        Self::new("pax_global_header", Kind::Global(vec![record]), 0o644)
    }

    /// A whiteout of `name`, which may have directories before it.
    pub fn whiteout(name: impl AsRef<[u8]>) -> Self {
        let name = name.as_ref();
        let base = name.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
        Self::file([&name[..base], b".wh.", &name[base..]].concat(), "")
    }

    /// An opaque marker of the directory `name` (without a slash at its end).
    pub fn opaque(name: impl AsRef<[u8]>) -> Self {
        Self::file([name.as_ref(), b"/.wh..wh..opq"].concat(), "")
    }

    /// With these permission bits.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// With this owner and group.
    #[must_use]
    pub fn owner(mut self, uid: u32, gid: u32) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }

    /// With this modification time.
    #[must_use]
    pub fn mtime(mut self, sec: i64, nsec: u32) -> Self {
        self.mtime = Time { sec, nsec };
        self
    }

    /// With one more extended attribute.
    #[must_use]
    pub fn xattr(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.xattrs.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// In this dialect.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }
}

/// The archive of these entries, with its two blocks of zeros at the end.
pub fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        encode::entry(&mut out, entry);
    }
    out.resize(out.len() + 1024, 0);
    out
}
