//! The order of contents in the content space: what is alike stands together, because a pack is
//! compressed with a window of 32 KiB.

use std::cmp::Ordering;

/// Part of a plan's ID: to be raised with every change of the order.
pub const VERSION: u8 = 1;

/// Compares two contents by the paths of the first entries that need them.
pub fn compare(a: &[u8], b: &[u8]) -> Ordering {
    key(a).cmp(&key(b))
}

/// What contents are sorted by: extension, then name, then whole path.
fn key(path: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let extension = match name.iter().rposition(|&byte| byte == b'.') {
        Some(dot) if dot > 0 => &name[dot + 1..],
        _ => b"",
    };
    (extension, name, path)
}
