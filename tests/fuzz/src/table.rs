//! Records of the table of contents, as they come out of the metadata stream.
//!
//! The first byte says where the stream is cut.
//!
//! Must hold, whatever the bytes are:
//! - The same records come however the stream is cut, and the same error.
//! - A record is no longer than its limit, and the same record after it was encoded again.
//! - A path is such as can't leave its root but through a symbolic link: no empty, `.` or `..` component, no NUL,
//!   Linux's lengths.
//! - Attributes have names without NUL, and are within their limit.
//!
//! The planted fault: paths that are put together and not looked at.

use crate::chance::Chance;
use crate::{Planted, Target, answer};
use skiff_protocol::limits::{MAX_NAME, MAX_PATH, MAX_RECORD, MAX_XATTRS};
use skiff_protocol::path::PathBuffer;
use skiff_protocol::record::{Entry, Record, Splitter};

/// The target.
pub const TARGET: Target = Target { name: "table", check, generate, inputs: 30_000 };

/// Its body.
pub fn check(input: &[u8], planted: Planted) {
    let [cut, rest @ ..] = input else { return };
    let whole = split(rest, usize::MAX, planted);
    let pieces = split(rest, usize::from(*cut) + 1, planted);
    assert_eq!(whole, pieces, "it depends on where the stream is cut");
}

/// The records, encoded again; whether the stream ended between two; whether there was an error.
fn split(input: &[u8], cut: usize, planted: Planted) -> (Vec<Vec<u8>>, bool, bool) {
    let mut splitter = Box::new(Splitter::new());
    let mut paths = Paths { checked: PathBuffer::new(), any: Vec::new(), planted };
    let mut records = Vec::new();
    let mut buffer = vec![0; 2 * MAX_RECORD];
    for mut piece in input.chunks(cut.min(input.len().max(1))) {
        loop {
            match splitter.next(&mut piece) {
                Ok(Some(record)) => {
                    look(&record, &mut paths);
                    records.push(again(&record, &mut buffer).to_vec());
                }
                Ok(None) => break,
                Err(_) => return (records, false, true),
            }
        }
    }
    (records, splitter.is_between_records(), false)
}

#[allow(clippy::expect_used, reason = "that is what it does")]
fn again<'b>(record: &Record<'_>, buffer: &'b mut [u8]) -> &'b [u8] {
    let encoded = record.encode(buffer).expect("what was decoded can be encoded");
    assert!(encoded.len() <= MAX_RECORD + 2, "{} bytes", encoded.len());
    let mut splitter = Box::new(Splitter::new());
    let same = splitter.next(&mut &*encoded);
    assert_eq!(same, Ok(Some(*record)), "a record after it was encoded again");
    encoded
}

fn look(record: &Record<'_>, paths: &mut Paths) {
    match record {
        Record::Layer(_) => paths.checked.clear(),
        Record::Entry(entry) => {
            if let Some(path) = paths.next(entry) {
                check_path(path);
            }
            let mut len = 0;
            for attribute in entry.meta.xattrs.iter() {
                let Ok((name, value)) = attribute else { break };
                assert!(!name.is_empty() && !name.contains(&0), "an attribute without a name");
                len += name.len() + value.len();
            }
            assert!(len <= MAX_XATTRS, "{len} bytes of attributes");
        }
        _ => {}
    }
}

/// What a path must not be, in other words than the protocol's own.
pub fn check_path(path: &[u8]) {
    assert!(!path.is_empty() && path.len() <= MAX_PATH, "{} bytes", path.len());
    for name in path.split(|&byte| byte == b'/') {
        let bad = matches!(name, b"" | b"." | b"..") || name.len() > MAX_NAME || name.contains(&0);
        assert!(!bad, "{}", path.escape_ascii());
    }
}

struct Paths {
    checked: PathBuffer,
    any: Vec<u8>,
    planted: Planted,
}

impl Paths {
    fn next(&mut self, entry: &Entry<'_>) -> Option<&[u8]> {
        if self.planted == Planted::Nothing {
            return self.checked.advance(entry.prefix, entry.suffix).ok();
        }
        self.any.truncate(entry.prefix.into());
        self.any.extend_from_slice(entry.suffix);
        Some(&self.any)
    }
}

fn generate(chance: &mut Chance) -> Vec<u8> {
    let (records, _) = answer::contents(chance);
    [vec![chance.byte()], records].concat()
}
