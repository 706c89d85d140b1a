//! Upper bounds that both sides keep, so that the agent's buffers are fixed.

/// Longest payload of a frame, bytes.
pub const MAX_PAYLOAD: usize = 32 * 1024;

/// Longest record of the metadata stream, bytes, without its length prefix. An entry with the
/// longest path, the longest link target and [`MAX_XATTRS`] bytes of attributes fits.
pub const MAX_RECORD: usize = 60 * 1024;

/// Longest request body, bytes.
pub const MAX_REQUEST: usize = 64 * 1024;

/// Longest path, bytes: Linux's `PATH_MAX` without its NUL.
pub const MAX_PATH: usize = 4095;

/// Longest path component, bytes: Linux's `NAME_MAX`.
pub const MAX_NAME: usize = 255;

/// Longest symbolic link target, bytes.
pub const MAX_TARGET: usize = 4095;

/// Names and values of one entry's extended attributes together, bytes. ext4 without `ea_inode`
/// has room for one 4 KiB block; Linux's own bound for one value is 64 KiB.
pub const MAX_XATTRS: usize = 48 * 1024;

/// Most uncompressed content bytes of a pack.
pub const MAX_PACK: u32 = 1024 * 1024;

/// Most encoded bytes of a pack: deflate's stored blocks add 5 bytes per 64 KiB at worst, zstd's raw
/// ones 3 per 128 KiB.
pub const MAX_ENCODED_PACK: u32 = MAX_PACK + 4096;

/// Most bytes of a pack's script: it may say of each byte what is added, and has heads beside that. Whatever is in it, it is
/// encoded to no more than [`MAX_ENCODED_PACK`].
pub const MAX_SCRIPT: u32 = MAX_PACK + 3 * 1024;

/// Most images in one request.
pub const MAX_WANTED: usize = 32;

/// Most held images in one request.
pub const MAX_HELD: usize = 64;

/// Most ranges in one list of packs or contents.
pub const MAX_RANGES: usize = 256;

/// Longest image reference or name, bytes.
pub const MAX_REFERENCE: usize = 512;

/// Most contents that a request names by digest.
pub const MAX_DIGESTS: usize = 1024;

/// Longest index, manifest or config, bytes. containerd and the registries have 4 MiB, too.
pub const MAX_BLOB: u64 = 4 * 1024 * 1024;

/// Largest depth of an overlay stack that a delta may be put on. overlayfs takes 500 lower
/// layers (`OVL_MAX_STACK`, Linux 4.19), but containerd passes them in one page of mount options.
pub const MAX_DEPTH: u16 = 64;

/// Most entries of an answer, and most contents. An agent refuses a plan with more.
pub const MAX_ENTRIES: u32 = 4_000_000;

/// Most signatures of an answer.
pub const MAX_SIGNATURES: usize = 4;

/// Longest name of a device class, bytes.
pub const MAX_CLASS: usize = 64;

/// Longest body of a trace report, bytes.
pub const MAX_TRACE: usize = 4 * 1024 * 1024;

/// Most files in a trace report.
pub const MAX_TRACED: usize = 65_536;
