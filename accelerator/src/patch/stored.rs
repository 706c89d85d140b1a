//! A patch in memory and in the cache: the script of the whole target, and where it can be entered.

use skiff_protocol::Error;
use skiff_protocol::script::{Operation, Script, Step};
use std::cmp::Ordering;

/// Bytes of output between two places where the script can be entered.
const EVERY: u64 = 64 << 10;

/// Bytes of an operation without those that it carries, at most.
const HEAD: usize = 32;

/// Bytes that one operation adds at most: they lie in memory twice for a moment.
const SUMS: usize = 256 << 10;

/// Bytes of script that a patch of such a target has at most. Longer ones do not pay.
pub fn most(target: u64) -> u64 {
    target.saturating_add((target / 8).min(12 << 20)).saturating_add(64)
}

/// Where the script can be entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    made: u64,
    script: usize,
    at: u64,
}

/// How a target is made out of a base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    len: u64,
    script: Vec<u8>,
    entries: Vec<Entry>,
}

impl Patch {
    /// Bytes of the target.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the target has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes operations that make the target's bytes `from .. to`, for a base that was just chosen: its position is 0, and the bytes
    /// that the patch is made for begin at `base`.
    pub fn slice(&self, from: u64, to: u64, base: u64, script: &mut Vec<u8>) {
        let entry = self.entries.partition_point(|entry| entry.made <= from).saturating_sub(1);
        let Some(entry) = self.entries.get(entry) else { return };
        let mut decoder = Script::new(self.len - entry.made);
        if enter(&mut decoder, entry.at).is_err() {
            return;
        }
        let mut input = self.script.get(entry.script..).unwrap_or_default();
        let mut out = Cursor { position: 0, script };
        let mut made = entry.made;
        while made < to {
            // It was decoded once, when the patch was made or read.
            let Ok(Some(step)) = decoder.next(&mut input) else { return };
            let behind = made + step.makes();
            // What of the step is wanted.
            let (skip, keep) = (from.clamp(made, behind) - made, to.clamp(made, behind) - made);
            made = behind;
            if keep <= skip {
                continue;
            }
            let part = |bytes| -> &[u8] {
                <[u8]>::get(bytes, index(skip)..index(keep)).unwrap_or_default()
            };
            match step {
                Step::Insert(bytes) => out.insert(part(bytes)),
                Step::Copy { at, .. } => out.copy(base + at + skip, keep - skip),
                Step::Add { at, bytes } => out.add(base + at + skip, part(bytes)),
                Step::BaseHeld { .. } | Step::BaseContent { .. } => {}
            }
        }
    }

    /// What [`from_bytes`](Self::from_bytes) reads.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.len.to_le_bytes()[..], &self.script].concat()
    }

    /// A patch that was written by the same version of the maker; `None` if it is damaged so that it makes no sense.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (len, script) = bytes.split_first_chunk::<8>()?;
        Self::of_script(u64::from_le_bytes(*len), script.to_vec())
    }

    fn of_script(len: u64, script: Vec<u8>) -> Option<Self> {
        let mut decoder = Script::new(len);
        enter(&mut decoder, 0).ok()?;
        let mut entries = vec![Entry { made: 0, script: 0, at: 0 }];
        let (mut input, mut at) = (&script[..], 0);
        while let Some(step) = decoder.next(&mut input).ok()? {
            match step {
                Step::Copy { at: from, len } => at = from + len,
                Step::Add { at: from, bytes } => at = from + bytes.len() as u64,
                Step::Insert(_) => {}
                Step::BaseHeld { .. } | Step::BaseContent { .. } => return None,
            }
            let made = len - decoder.left();
            if made >= entries.last()?.made + EVERY {
                entries.push(Entry { made, script: script.len() - input.len(), at });
            }
        }
        decoder.is_complete().then_some(Self { len, script, entries })
    }
}

fn index(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// Lets the decoder be at a position in some base.
fn enter(decoder: &mut Script, at: u64) -> Result<(), Error> {
    let mut begin = Vec::new();
    Operation::BaseContent(0).write(|bytes| begin.extend_from_slice(bytes));
    if at > 0 {
        Operation::SeekForward(at).write(|bytes| begin.extend_from_slice(bytes));
    }
    let mut begin = &begin[..];
    while !begin.is_empty() {
        decoder.next(&mut begin)?;
    }
    Ok(())
}

/// Writes operations, and goes through the base as they do.
#[derive(Debug)]
struct Cursor<'a> {
    position: u64,
    script: &'a mut Vec<u8>,
}

impl Cursor<'_> {
    fn put(&mut self, operation: Operation<'_>) {
        operation.write(|bytes| self.script.extend_from_slice(bytes));
    }

    fn seek(&mut self, at: u64) {
        match at.cmp(&self.position) {
            Ordering::Greater => self.put(Operation::SeekForward(at - self.position)),
            Ordering::Less => self.put(Operation::SeekBack(self.position - at)),
            Ordering::Equal => {}
        }
        self.position = at;
    }

    fn insert(&mut self, bytes: &[u8]) {
        self.put(Operation::Insert(bytes));
    }

    fn copy(&mut self, at: u64, len: u64) {
        self.seek(at);
        self.put(Operation::Copy(len));
        self.position += len;
    }

    fn add(&mut self, at: u64, bytes: &[u8]) {
        self.seek(at);
        self.put(Operation::Add(bytes));
        self.position += bytes.len() as u64;
    }
}

/// Writes a patch from its beginning on. What has no bytes is left out.
#[derive(Debug)]
pub struct Writer {
    len: u64,
    position: u64,
    script: Vec<u8>,
    /// Bytes that it may have; none once it would have had more.
    most: usize,
    sums: Vec<u8>,
}

impl Writer {
    /// A patch for a target of so many bytes.
    pub fn new(len: usize) -> Self {
        // It is not touched before it is used, and need not be moved when it grows.
        let most = index(most(len as u64));
        Self { len: 0, position: 0, script: Vec::with_capacity(most), most, sums: Vec::new() }
    }

    /// Lets an operation be written that makes so many bytes, with `carried` of them in it; none, once the script is too long.
    fn put(&mut self, makes: usize, carried: usize, write: impl FnOnce(&mut Cursor<'_>)) {
        if self.script.len() + carried + HEAD > self.most {
            self.most = 0;
            return;
        }
        self.len += makes as u64;
        let mut cursor = Cursor { position: self.position, script: &mut self.script };
        write(&mut cursor);
        self.position = cursor.position;
    }

    /// The next bytes are these.
    pub fn insert(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.put(bytes.len(), bytes.len(), |cursor| cursor.insert(bytes));
        }
    }

    /// The next bytes are so many of the base's from `at` on.
    pub fn copy(&mut self, at: usize, len: usize) {
        if len > 0 {
            self.put(len, 0, |cursor| cursor.copy(at as u64, len as u64));
        }
    }

    /// The next bytes are `new`, while the base has `old` at `at`.
    pub fn add(&mut self, mut at: usize, new: &[u8], old: &[u8]) {
        let mut sums = std::mem::take(&mut self.sums);
        for (new, old) in new.chunks(SUMS).zip(old.chunks(SUMS)) {
            sums.clear();
            sums.extend(new.iter().zip(old).map(|(new, old)| new.wrapping_sub(*old)));
            self.put(new.len(), new.len(), |cursor| cursor.add(at as u64, &sums));
            at += new.len();
        }
        self.sums = sums;
    }

    /// The patch; `None` if its script is too long.
    pub fn finish(mut self) -> Option<Patch> {
        self.script.shrink_to_fit();
        (self.most > 0).then(|| Patch::of_script(self.len, self.script))?
    }
}
