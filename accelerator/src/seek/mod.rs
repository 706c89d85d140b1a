//! A seek index of a layer blob: any byte range of the uncompressed tar can be had from a byte
//! range of the registry's own blob, so that no uncompressed copy has to be kept.
//!
//! ```text
//! tar   │ segment 0 │ segment 1     │ segment 2 │    inflate(n, the blob's bytes of span(n))
//! blob  │ member ┊  ┊░░┊            ┊░░┊        │    = the tar's bytes of bytes(n)
//!                 window           window
//! ```
//!
//! [`Indexer`] decompresses a blob as it is read, once, and notes where decompressing can begin:
//!
//! * plain: everywhere;
//! * zstd: at a frame (RFC 8878, section 3.1). Most zstd layers are one frame, and have no index;
//! * gzip: at a member (RFC 1952, section 2.2), and at a deflate block (RFC 1951, section 3.2.3).
//!   A block begins at any bit, and copies from the 32 KiB of output before it; the index has both.
//!   Of those 32 KiB, it has what is really copied from: see `window`.
//!
//! A segment begins at the first deflate block that is `SPACING` after the last segment's begin,
//! or at the first member or frame that is `FREE_SPACING` after it, since these need no window:
//! eStargz blobs, which have a member per file, and zstd:chunked ones, which have a frame per file,
//! have an index of numbers only. A segment may run through several members or frames.
//!
//! A blob whose segments would be too long (`MOST`, `MOST_FRAME`) has no index and can only be
//! read from its start: gzip's are those of an encoder that hardly ever ends a block (zlib-rs
//! at level 1 is one, at levels 2 to 9 it isn't), zstd's are those with a long frame.
//!
//! Each segment has a CRC-32 of its uncompressed bytes. It finds damage, not malice: whoever takes
//! a segment from a registry should check what it is for (a file's SHA-256) as well.
//!
//! Memory: indexing the mariadb layer below takes 1.5 MiB, with what zstd takes to pack windows;
//! decompressing zstd takes its frame's window, as ever. A segment takes the memory of its bytes,
//! compressed and not.
//!
//! # Measured
//!
//! The largest layer of each image, uncompressed bytes per second of CPU time, best of six (gzip:
//! of four, user time) on an x86-64 with other work under way; and the encoded index's size:
//!
//! | | mariadb, 75.3 MB | nginx, 41.7 MB | Node-RED, 37.2 MB |
//! |---|---|---|---|
//! | `gzip -dc` | 175 MB/s | 140 | 167 |
//! | flate2 (zlib-rs), no index | 688 | 545 | 562 |
//! | `Indexer`, no block ever looked for | 488 | 384 | 385 |
//! | `Indexer`, a segment per 1 MiB | 401, 0.41 % of the blob | 318, 0.41 % | 318, 0.47 % |
//! | 2 MiB | 429, 0.20 % | 327, 0.22 % | 348, 0.24 % |
//! | 4 MiB | 461, 0.11 % | 354, 0.10 % | 368, 0.12 % |
//! | 8 MiB | 470, 0.05 % | 357, 0.07 % | 385, 0.06 % |
//! | `Indexer` at 4 MiB and SHA-256 | 354 | 279 | 296 |
//! | `gzip -dc \| sha256sum`, both's time | | | 96 |
//! | `Index::inflate` of all segments | 483 | 375 | 384 |
//!
//! A segment takes 1.0 to 2.0 KiB of the index on average; with whole windows it would take
//! 7.4 KiB (mariadb at 4 MiB: 0.67 % of the blob). zstd's level hardly matters for them.

pub(crate) mod format;
mod frames;
mod gzip;
mod header;
mod index;
mod indexer;
mod inflate;
mod input;
mod marks;
#[cfg(test)]
mod tests;
mod window;

pub use index::Index;
pub use indexer::Indexer;

/// Uncompressed bytes from one segment's start to the next, where a start costs a window.
const SPACING: u64 = 2 << 20;
/// The same where a start costs nothing: at a gzip member, at a zstd frame.
const FREE_SPACING: u64 = 1 << 20;
/// Uncompressed bytes of the longest segment: whoever serves it has it in memory.
const MOST: u64 = 64 << 20;
/// The same for zstd, whose frames can't be entered but at their start.
const MOST_FRAME: u64 = 8 << 20;

/// Why a segment can't be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SeekError {
    /// The index is damaged, or of another version.
    #[error("the seek index is damaged")]
    Index,
    /// There is no segment of that number.
    #[error("the seek index has no such segment")]
    NoSegment,
    /// The bytes given are not as many as the segment's span.
    #[error("the segment has another length in the blob")]
    Length,
    /// The bytes given are not the blob's.
    #[error("the segment's bytes are damaged")]
    Damaged,
}
