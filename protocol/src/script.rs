//! Scripts: what a patched pack decodes to.
//!
//! A pack of a plan is so many bytes of its content space. One that is *patched* does not hold them but says how
//! they are made out of a base, a file of a held image or an earlier content of the stream:
//!
//! ```text
//! script    = operation*              until the pack's bytes are made
//! operation = head                    varint of n << 3 | kind
//!             rest                    bytes, of some kinds
//!
//! kind  name          n             rest               what it does
//! 0     Insert        bytes         n bytes            makes these
//! 1     Copy          bytes                            makes the base's next n bytes
//! 2     Add           bytes         n bytes            makes the base's next n bytes, each plus one of these, mod 256
//! 3     SeekForward   bytes                            goes on further behind in the base
//! 4     SeekBack      bytes                            goes on further in front
//! 5     BaseHeld      image         length, path       the base is this file, from its first byte on
//! 6     BaseContent   content                          the base is this content, from its first byte on
//! ```
//!
//! The decoder is a pull parser like [`crate::record::Splitter`]: it keeps no bytes but a path, gives a run in as many
//! steps as it comes in, and takes any script apart without an opinion on what the base holds. What is wrong with a
//! base shows in the content's digest.

use crate::Error;
use crate::limits::MAX_PATH;
use crate::path::check;

/// Most bytes of a script beyond two for each byte that it makes.
pub const MAX_SPARE: u64 = 64 * 1024;

/// No position in a base is beyond this: it is Linux's largest file offset.
pub const MAX_POSITION: u64 = i64::MAX.unsigned_abs();

/// Longest varint, bytes.
const MAX_VARINT: usize = 10;

/// What there is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// From now on the base is a file of a held image.
    BaseHeld {
        /// Index of the image in the request's list.
        image: u16,
        /// The file's path there; empty if it is that of the first entry with the content whose bytes come next.
        path: &'a [u8],
    },
    /// From now on the base is an earlier content of the stream.
    BaseContent {
        /// Its number.
        content: u32,
    },
    /// The next bytes are these.
    Insert(&'a [u8]),
    /// The next bytes are the base's.
    Copy {
        /// Where they are there.
        at: u64,
        /// How many.
        len: u64,
    },
    /// The next bytes are the base's, each plus one of `bytes`, modulo 256.
    Add {
        /// Where they are there.
        at: u64,
        /// What is added.
        bytes: &'a [u8],
    },
}

impl Step<'_> {
    /// How many of the pack's bytes it makes.
    pub const fn makes(&self) -> u64 {
        match self {
            Self::BaseHeld { .. } | Self::BaseContent { .. } => 0,
            Self::Insert(bytes) | Self::Add { bytes, .. } => bytes.len() as u64,
            Self::Copy { len, .. } => *len,
        }
    }
}

/// Where in an operation the script is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    PathLen { image: u16 },
    Path { image: u16, left: usize },
    Insert { left: u64 },
    Add { left: u64 },
}

/// Takes a script apart, however its bytes arrive.
#[derive(Debug, Clone)]
pub struct Script {
    state: State,
    /// Bytes that are still to be made.
    left: u64,
    /// Bytes that the script may still have.
    spare: u64,
    /// Position in the base, if there is one.
    at: Option<u64>,
    varint: heapless::Vec<u8, MAX_VARINT>,
    path: heapless::Vec<u8, MAX_PATH>,
}

impl Script {
    /// The script of a pack that holds so many content bytes.
    pub const fn new(len: u64) -> Self {
        Self {
            state: State::Head,
            left: len,
            spare: len.saturating_mul(2).saturating_add(MAX_SPARE),
            at: None,
            varint: heapless::Vec::new(),
            path: heapless::Vec::new(),
        }
    }

    /// Bytes that no step was given for yet.
    pub const fn left(&self) -> u64 {
        self.left
    }

    /// Whether the script may end here: all bytes are made, and no operation is begun.
    pub fn is_complete(&self) -> bool {
        self.left == 0 && self.state == State::Head && self.varint.is_empty()
    }

    /// Takes bytes off the front of `input` until there is something to do, and says what; `None` when `input` is used
    /// up first. After an error the script has no meaning.
    ///
    /// # Errors
    /// [`Error::BadPath`]; for all else that is wrong with a script, [`Error::BadScript`].
    pub fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Result<Option<Step<'s>>, Error> {
        while !input.is_empty() {
            match self.state {
                State::Head if self.left == 0 => return Err(Error::BadScript),
                State::Head => {
                    let Some(head) = self.varint(input)? else { break };
                    if let Some(step) = self.begin(head)? {
                        return Ok(Some(step));
                    }
                }
                State::PathLen { image } => {
                    let Some(len) = self.varint(input)? else { break };
                    let left = usize::try_from(len).map_err(|_| Error::BadPath)?;
                    if left > MAX_PATH {
                        return Err(Error::BadPath);
                    }
                    self.path.clear();
                    self.state = State::Path { image, left };
                    if left == 0 {
                        self.state = State::Head;
                        self.at = Some(0);
                        return Ok(Some(Step::BaseHeld { image, path: &[] }));
                    }
                }
                State::Path { image, left } => {
                    let part = self.take(left as u64, input)?;
                    self.path.extend_from_slice(part).map_err(|_| Error::BadPath)?;
                    let left = left.saturating_sub(part.len());
                    self.state = State::Path { image, left };
                    if left == 0 {
                        check(&self.path)?;
                        self.state = State::Head;
                        self.at = Some(0);
                        return Ok(Some(Step::BaseHeld { image, path: &self.path }));
                    }
                }
                State::Insert { left } => {
                    let bytes = self.take(left, input)?;
                    let left = self.made(left, bytes)?;
                    self.state = if left == 0 { State::Head } else { State::Insert { left } };
                    return Ok(Some(Step::Insert(bytes)));
                }
                State::Add { left } => {
                    let bytes = self.take(left, input)?;
                    let left = self.made(left, bytes)?;
                    self.state = if left == 0 { State::Head } else { State::Add { left } };
                    let at = self.advance(bytes.len() as u64)?;
                    return Ok(Some(Step::Add { at, bytes }));
                }
            }
        }
        Ok(None)
    }

    /// Begins an operation. One of no bytes is a step at once.
    fn begin<'s>(&mut self, head: u64) -> Result<Option<Step<'s>>, Error> {
        let (kind, n) = (head & 7, head >> 3);
        let makes = matches!(kind, 0..=2);
        if (kind < 5 && n == 0) || (makes && n > self.left) {
            return Err(Error::BadScript);
        }
        match kind {
            0 => self.state = State::Insert { left: n },
            1 => {
                let at = self.advance(n)?;
                self.left -= n;
                return Ok(Some(Step::Copy { at, len: n }));
            }
            2 => {
                // All of it has to be below the highest position; it is gone through as the bytes come.
                let at = self.advance(n)?;
                self.at = Some(at);
                self.state = State::Add { left: n };
            }
            3 => {
                self.advance(n)?;
            }
            4 => {
                let back = self.at.and_then(|at| at.checked_sub(n));
                self.at = Some(back.ok_or(Error::BadScript)?);
            }
            5 => {
                let image = u16::try_from(n).map_err(|_| Error::BadScript)?;
                self.state = State::PathLen { image };
            }
            6 => {
                let content = u32::try_from(n).map_err(|_| Error::BadScript)?;
                self.at = Some(0);
                return Ok(Some(Step::BaseContent { content }));
            }
            _ => return Err(Error::BadScript),
        }
        Ok(None)
    }

    /// Moves the position on, and says where it was.
    fn advance(&mut self, n: u64) -> Result<u64, Error> {
        let at = self.at.ok_or(Error::BadScript)?;
        let behind = at.checked_add(n).filter(|&behind| behind <= MAX_POSITION);
        self.at = Some(behind.ok_or(Error::BadScript)?);
        Ok(at)
    }

    /// Counts what a run made; what is left of the run.
    fn made(&mut self, left: u64, bytes: &[u8]) -> Result<u64, Error> {
        let made = bytes.len() as u64;
        self.left = self.left.checked_sub(made).ok_or(Error::BadScript)?;
        left.checked_sub(made).ok_or(Error::BadScript)
    }

    /// At most so many bytes off the front of the input.
    fn take<'i>(&mut self, most: u64, input: &mut &'i [u8]) -> Result<&'i [u8], Error> {
        let len = usize::try_from(most).unwrap_or(usize::MAX).min(input.len());
        self.spare = self.spare.checked_sub(len as u64).ok_or(Error::BadScript)?;
        let (bytes, rest) = input.split_at(len);
        *input = rest;
        Ok(bytes)
    }

    /// A varint, when its last byte has come. It is as short as can be, and below 2^64.
    fn varint(&mut self, input: &mut &[u8]) -> Result<Option<u64>, Error> {
        while let &[byte, ..] = self.take(1, input)? {
            self.varint.push(byte).map_err(|_| Error::BadScript)?;
            if byte & 0x80 != 0 {
                continue;
            }
            let long = self.varint.len() > 1 && byte == 0;
            if long || (self.varint.len() == MAX_VARINT && byte > 1) {
                return Err(Error::BadScript);
            }
            let value =
                self.varint.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7F));
            self.varint.clear();
            return Ok(Some(value));
        }
        Ok(None)
    }
}

/// One operation, for whoever writes a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'a> {
    /// The next bytes are these, at least one.
    Insert(&'a [u8]),
    /// So many bytes of the base, at least one.
    Copy(u64),
    /// The base's next bytes, each plus one of these, of which there is at least one.
    Add(&'a [u8]),
    /// Moves the position in the base, by at least 1.
    SeekForward(u64),
    /// Moves the position in the base, by at least 1.
    SeekBack(u64),
    /// Another base: a file of a held image.
    BaseHeld {
        /// Index of the image in the request's list.
        image: u16,
        /// The file's path there; empty if it is that of the first entry with the content whose bytes come next.
        path: &'a [u8],
    },
    /// Another base: an earlier content.
    BaseContent(u32),
}

impl Operation<'_> {
    /// Gives the operation's bytes. Numbers are below 2^61.
    pub fn write(&self, mut push: impl FnMut(&[u8])) {
        let (kind, n, bytes): (u64, u64, &[u8]) = match *self {
            Self::Insert(bytes) => (0, bytes.len() as u64, bytes),
            Self::Copy(n) => (1, n, &[]),
            Self::Add(bytes) => (2, bytes.len() as u64, bytes),
            Self::SeekForward(n) => (3, n, &[]),
            Self::SeekBack(n) => (4, n, &[]),
            Self::BaseHeld { image, path } => (5, u64::from(image), path),
            Self::BaseContent(content) => (6, u64::from(content), &[]),
        };
        write_varint(n << 3 | kind, &mut push);
        if kind == 5 {
            write_varint(bytes.len() as u64, &mut push);
        }
        push(bytes);
    }
}

fn write_varint(mut value: u64, push: &mut impl FnMut(&[u8])) {
    let mut bytes = [0; MAX_VARINT];
    for (at, byte) in bytes.iter_mut().enumerate() {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        *byte = if value == 0 { low } else { low | 0x80 };
        if value == 0 {
            return push(bytes.get(..=at).unwrap_or_default());
        }
    }
}
