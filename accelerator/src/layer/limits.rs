//! Bounds on what a layer may hold, so that a hostile one costs bounded memory and time.

/// Bytes of a path: Linux's `PATH_MAX` without the final NUL.
pub const PATH: usize = 4095;
/// Bytes of one component: Linux's `NAME_MAX`.
pub const COMPONENT: usize = 255;
/// Bytes of a symlink's target.
pub const SYMLINK: usize = 4095;
/// Bytes of an entry's extended attributes, names and values together.
pub const XATTRS: usize = 48 << 10;
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
