//! Paths inside an image, as bytes.

use crate::Error;
use crate::limits::{MAX_NAME, MAX_PATH};

/// Checks that a path is relative, not empty, has no empty, `.` or `..` component and no NUL, and
/// keeps Linux's lengths. Such a path leaves its root only through a symbolic link.
pub fn check(path: &[u8]) -> Result<(), Error> {
    if path.len() > MAX_PATH || path.contains(&0) {
        return Err(Error::BadPath);
    }
    for name in path.split(|&byte| byte == b'/') {
        if name.is_empty() || name == b"." || name == b".." || name.len() > MAX_NAME {
            return Err(Error::BadPath);
        }
    }
    Ok(())
}

/// How many leading bytes two paths have in common.
pub fn shared_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The path of the current entry, built from the one before.
#[derive(Debug, Default, Clone)]
pub struct PathBuffer(heapless::Vec<u8, MAX_PATH>);

impl PathBuffer {
    /// The empty path, which no entry has.
    pub const fn new() -> Self {
        Self(heapless::Vec::new())
    }

    /// Keeps the first `prefix` bytes, appends `suffix`, and checks what comes out.
    pub fn advance(&mut self, prefix: u16, suffix: &[u8]) -> Result<&[u8], Error> {
        let prefix = usize::from(prefix);
        if prefix > self.0.len() {
            return Err(Error::BadPath);
        }
        self.0.truncate(prefix);
        self.0.extend_from_slice(suffix).map_err(|_| Error::BadPath)?;
        check(&self.0)?;
        Ok(&self.0)
    }

    /// The current path.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Forgets the current path.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_paths_are_refused() {
        let long_name = [b'n'; MAX_NAME + 1];
        let long_path = [b"d/".as_slice(); MAX_PATH / 2 + 1].concat();
        let bad: [&[u8]; 12] = [
            b"", b"/", b"/etc", b"..", b"../x", b"a/../b", b"a/./b", b".", b"a//b", b"a/", b"a\0b",
            &long_name,
        ];
        for path in bad.into_iter().chain([&*long_path]) {
            assert_eq!(check(path), Err(Error::BadPath), "{path:?}");
        }
        let good: [&[u8]; 6] = [b"a", b"a/b", b"...", b"a/..b", b"\xff\xfe/ \n", &[b'n'; MAX_NAME]];
        for path in good {
            assert_eq!(check(path), Ok(()), "{path:?}");
        }
    }

    #[test]
    fn a_path_is_built_from_the_one_before() {
        let mut path = PathBuffer::new();
        assert_eq!(path.advance(0, b"usr"), Ok(&b"usr"[..]));
        assert_eq!(path.advance(3, b"/bin"), Ok(&b"usr/bin"[..]));
        assert_eq!(path.advance(4, b"lib"), Ok(&b"usr/lib"[..]));
        assert_eq!(path.advance(8, b""), Err(Error::BadPath));
        assert_eq!(path.advance(4, b"../x"), Err(Error::BadPath));
    }
}
