//! Bounds on what a layer may hold, so that a hostile one costs bounded memory and time. What the
//! protocol bounds for a device is bounded here by the same numbers.

pub use skiff_protocol::limits::{
    MAX_NAME as COMPONENT, MAX_PATH as PATH, MAX_TARGET as SYMLINK, MAX_XATTRS as XATTRS,
};

/// Bytes of one extended attribute's name: Linux's `XATTR_NAME_MAX`.
pub const XATTR_NAME: usize = 255;
/// Bytes of a PAX header, a GNU long name, or a sparse map; the same as in Go's `archive/tar`.
pub const SPECIAL: u64 = 1 << 20;
/// Tar entries of a layer.
pub const ENTRIES: usize = 1_000_000;
/// Bytes of all names, link targets and extended attributes of a layer.
pub const METADATA: usize = 512 << 20;
/// Bytes of a layer's sparse files, which may be far larger than the tar; each byte is hashed.
pub const SPARSE: u64 = 64 << 30;
