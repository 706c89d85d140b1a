//! Decodes one zstd frame (RFC 8878) whose length is known before it comes, in memory that is fixed by that.
//!
//! ```text
//! bytes, cut anywhere ──▶ head ──▶ block's head ──▶ block ──▶ literals ─┐
//!                                       ▲                              ├─▶ content, a block at a time
//!                                       └───────────────── sequences ──┘   (≤ 128 KiB)
//! ```
//!
//! A pack is at most 1 MiB, and its window is all of it. So the content itself is the window: one flat buffer of the length that
//! was announced, in which a match is copied from where it stands. Beside it there are one block as it came and one block's literals,
//! 128 KiB each, and tables of 14 KiB. Sequences are executed as they are read.
//!
//! The bytes come from somebody who may lie. What is refused: a length other than the one announced, a window of more than
//! [`MAX_WINDOW`], a dictionary, a checksum (nobody here would look at it), frames that are no content, and whatever stands behind the
//! frame. Nothing here panics, whatever the bytes are: an index is checked, and a wrong one is [`Corrupt`].
//!
//! It is a crate of its own because a compiler's effort is chosen by crate, and what runs over every byte should be fast.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod bits;
mod copy;
mod frame;
mod fse;
mod huffman;
mod literals;
mod sequences;

use alloc::vec::Vec;
use frame::Window;

/// Most bytes of a frame's window, and of its content: a pack, and what a script may have more.
pub const MAX_WINDOW: usize = (1 << 20) + (3 << 10);

/// Most bytes of a block, encoded or decoded.
const MAX_BLOCK: usize = 128 << 10;

/// The bytes are not the frame that was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt;

/// A decoder, for one frame after the other.
#[derive(Default)]
pub struct Decoder {
    /// The content, and [`copy::SLACK`] bytes behind it.
    content: Vec<u8>,
    /// Content bytes that were announced, and whether there may be fewer.
    len: usize,
    may_be_less: bool,
    /// Content bytes that are there.
    made: usize,
    /// What has come of the part that is to come.
    part: Vec<u8>,
    state: State,
    literals: literals::Literals,
    sequences: sequences::Sequences,
}

/// What comes next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// The magic number and the descriptor of the frame's head.
    #[default]
    Magic,
    /// The rest of the head.
    Head(frame::Descriptor),
    /// The head of a block.
    Block(Window),
    /// A block.
    Body(Window, frame::Block),
    /// Nothing.
    End,
}

impl State {
    /// Bytes of it.
    fn len(self) -> usize {
        match self {
            Self::Magic => frame::MAGIC_LEN,
            Self::Head(descriptor) => descriptor.rest_len(),
            Self::Block(_) => frame::BLOCK_HEAD_LEN,
            Self::Body(_, block) => block.encoded_len(),
            Self::End => 0,
        }
    }
}

impl core::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Decoder").field("state", &self.state).field("made", &self.made).finish()
    }
}

impl Decoder {
    /// A decoder for a frame of no content; nothing is allocated yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts over, for a frame that has so many bytes of content, at most [`MAX_WINDOW`].
    ///
    /// # Errors
    /// They are more.
    pub fn start(&mut self, len: usize) -> Result<(), Corrupt> {
        self.begin(len, false)
    }

    /// The same for a frame of at most so many bytes of content.
    ///
    /// # Errors
    /// They are more than [`MAX_WINDOW`].
    pub fn start_at_most(&mut self, len: usize) -> Result<(), Corrupt> {
        self.begin(len, true)
    }

    fn begin(&mut self, len: usize, may_be_less: bool) -> Result<(), Corrupt> {
        if len > MAX_WINDOW {
            return Err(Corrupt);
        }
        let room = len + copy::SLACK;
        if self.content.len() < room {
            // What was there is not needed, so it is not to be copied.
            self.content = Vec::new();
            self.content = alloc::vec![0; room];
        }
        (self.len, self.may_be_less, self.made) = (len, may_be_less, 0);
        self.part.clear();
        self.state = State::Magic;
        self.literals.reset();
        self.sequences.reset();
        Ok(())
    }

    /// Whether the frame has come to its end, with all of its content.
    pub fn is_done(&self) -> bool {
        self.state == State::End && (self.may_be_less || self.made == self.len)
    }

    /// Takes bytes off the front of `input`, gives the content that they bring: at most a block, never nothing. `None` when `input` is used up.
    ///
    /// # Errors
    /// They are not of the frame that was announced, or stand behind it.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<&[u8]>, Corrupt> {
        loop {
            if self.state == State::End {
                return if input.is_empty() { Ok(None) } else { Err(Corrupt) };
            }
            let missing = self.state.len() - self.part.len();
            let (some, rest) = input.split_at(missing.min(input.len()));
            self.part.extend_from_slice(some);
            *input = rest;
            if some.len() < missing {
                return Ok(None);
            }
            let before = self.made;
            self.state = self.step()?;
            self.part.clear();
            if self.made > before {
                return Ok(self.content.get(before..self.made));
            }
        }
    }

    /// Takes the part that has come. Says what comes next.
    fn step(&mut self) -> Result<State, Corrupt> {
        Ok(match self.state {
            State::Magic => State::Head(frame::Descriptor::parse(&self.part)?),
            State::Head(descriptor) => {
                let window = descriptor.window(&self.part, self.len, self.may_be_less)?;
                State::Block(window)
            }
            State::Block(window) => State::Body(window, frame::Block::parse(&self.part, window)?),
            State::Body(window, block) => {
                let mut out = copy::Out::new(&mut self.content, self.made, self.len);
                let most = window.most_of_block();
                match block.kind {
                    frame::Kind::Raw => out.append(&self.part)?,
                    frame::Kind::Same => {
                        let byte = *self.part.first().ok_or(Corrupt)?;
                        out.fill(byte, block.len)?;
                    }
                    frame::Kind::Compressed => {
                        let (literals, rest) = self.literals.decode(&self.part, most)?;
                        self.sequences.execute(rest, literals, &mut out)?;
                    }
                }
                let made = out.made();
                if made - self.made > most {
                    return Err(Corrupt);
                }
                self.made = made;
                match block.is_last {
                    false => State::Block(window),
                    // What is missing never comes.
                    true if made < self.len && !self.may_be_less => return Err(Corrupt),
                    true => State::End,
                }
            }
            State::End => State::End,
        })
    }
}

#[cfg(test)]
mod tests;
