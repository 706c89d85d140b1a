//! What a blob is, told by its first bytes, since media types lie (containerd looks at the bytes
//! too).

/// A gzip member with a deflate stream (RFC 1952, section 2.3.1).
pub(super) const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];
/// A zstd frame (RFC 8878, section 3.1.1).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A skippable zstd frame, `0x184D2A50` to `0x184D2A5F` (RFC 8878, section 3.1.2); its first byte
/// is `0x50` to `0x5f`.
const SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// Bytes that tell.
pub(crate) const MAGIC: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Plain,
    Gzip,
    Zstd,
}

impl Format {
    /// What begins with these bytes, [`MAGIC`] of them or a whole blob.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let skippable = bytes.first().is_some_and(|b| b & 0xf0 == 0x50)
            && bytes.get(1..).is_some_and(|rest| rest.starts_with(&SKIPPABLE));
        if bytes.starts_with(&GZIP) {
            Self::Gzip
        } else if bytes.starts_with(&ZSTD) || skippable {
            Self::Zstd
        } else {
            Self::Plain
        }
    }
}
