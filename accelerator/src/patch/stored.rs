//! A patch in memory and in the cache: the script of the whole target, and where it can be entered.

use skiff_protocol::script::{Operation, Script, Step};

/// Bytes of output between two places where the script can be entered.
const EVERY: u64 = 64 << 10;

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

    /// Writes operations that make the target's bytes `from .. to`, for a base that was just chosen: its position is 0.
    pub fn slice(&self, from: u64, to: u64, script: &mut Vec<u8>) {
        let entry = self.entries.partition_point(|entry| entry.made <= from).saturating_sub(1);
        let Some(entry) = self.entries.get(entry) else { return };
        let mut input = self.script.get(entry.script..).unwrap_or_default();
        let mut decoder = Script::new(self.len - entry.made);
        let mut begin = Vec::new();
        Operation::BaseContent(0).write(|bytes| begin.extend_from_slice(bytes));
        if entry.at > 0 {
            Operation::SeekForward(entry.at).write(|bytes| begin.extend_from_slice(bytes));
        }
        let mut made = entry.made;
        let mut position = 0;
        let mut begin = &begin[..];
        while !begin.is_empty() {
            if decoder.next(&mut begin).is_err() {
                return;
            }
        }
        while made < to {
            let Ok(Some(step)) = decoder.next(&mut input) else { return };
            let (at, len, bytes): (Option<u64>, u64, Option<&[u8]>) = match step {
                Step::Insert(bytes) => (None, bytes.len() as u64, Some(bytes)),
                Step::Copy { at, len } => (Some(at), len, None),
                Step::Add { at, bytes } => (Some(at), bytes.len() as u64, Some(bytes)),
                Step::BaseHeld { .. } | Step::BaseContent { .. } => continue,
            };
            let (first, last) = (from.clamp(made, made + len), to.clamp(made, made + len));
            let (skip, keep) = (first - made, last - first);
            made += len;
            if keep == 0 {
                continue;
            }
            let mut put = |operation: Operation<'_>| {
                operation.write(|bytes| script.extend_from_slice(bytes));
            };
            let range = index(skip)..index(skip + keep);
            let bytes = bytes.map(|bytes| bytes.get(range).unwrap_or_default());
            if let Some(at) = at.map(|at| at + skip) {
                if at > position {
                    put(Operation::SeekForward(at - position));
                } else if at < position {
                    put(Operation::SeekBack(position - at));
                }
                position = at + keep;
                put(bytes.map_or(Operation::Copy(keep), Operation::Add));
            } else {
                put(Operation::Insert(bytes.unwrap_or_default()));
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
        decoder.next(&mut &[6][..]).ok()?;
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

/// Writes a patch from its beginning on.
#[derive(Debug, Default)]
pub struct Writer {
    len: u64,
    script: Vec<u8>,
    position: usize,
    sums: Vec<u8>,
}

impl Writer {
    fn put(&mut self, operation: Operation<'_>) {
        operation.write(|bytes| self.script.extend_from_slice(bytes));
    }

    fn seek(&mut self, at: usize) {
        let (forward, back) =
            (at.saturating_sub(self.position) as u64, self.position.saturating_sub(at) as u64);
        if forward > 0 {
            self.put(Operation::SeekForward(forward));
        }
        if back > 0 {
            self.put(Operation::SeekBack(back));
        }
        self.position = at;
    }

    /// The next bytes are these.
    pub fn insert(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.put(Operation::Insert(bytes));
            self.len += bytes.len() as u64;
        }
    }

    /// The next bytes are so many of the base's from `at` on.
    pub fn copy(&mut self, at: usize, len: usize) {
        if len > 0 {
            self.seek(at);
            self.put(Operation::Copy(len as u64));
            self.position += len;
            self.len += len as u64;
        }
    }

    /// The next bytes are `new`, while the base has `old` at `at`.
    pub fn add(&mut self, at: usize, new: &[u8], old: &[u8]) {
        if !new.is_empty() {
            self.seek(at);
            let mut sums = std::mem::take(&mut self.sums);
            sums.clear();
            sums.extend(new.iter().zip(old).map(|(new, old)| new.wrapping_sub(*old)));
            self.put(Operation::Add(&sums));
            self.sums = sums;
            self.position += new.len();
            self.len += new.len() as u64;
        }
    }

    /// The patch.
    pub fn finish(self) -> Patch {
        let Self { len, script, .. } = self;
        // What was just written makes sense.
        Patch::of_script(len, script).unwrap_or(Patch { len, script: vec![], entries: vec![] })
    }
}
