//! Reads ahead of what is opened.
//!
//! A container that walks through its tree (`chown -R`, `cp -a`, a language's module loader) would else pay a round trip
//! for each file. Contents are numbered as their files lie in the image, so an open of a content soon behind
//! the last one tells of such a walk, and as much is asked for with it as was right before, doubled. An open elsewhere
//! starts over with nothing.

/// Content bytes to ask for beside the first content of a walk, and at most.
const FIRST: u64 = 32 * 1024;
const MOST: u64 = 1024 * 1024;
/// So far behind the last content is still the same walk.
const GAP: u32 = 16;

/// Where a walk is.
#[derive(Debug, Default)]
pub struct ReadAhead {
    /// The content that was opened last.
    last: Option<u32>,
    /// The bytes that were asked for beside it.
    bytes: u64,
    /// The content behind the last one that was asked for: opens before it need nothing.
    end: u32,
}

impl ReadAhead {
    /// A content is opened that was not asked for: how many content bytes behind it to ask for with it.
    pub fn opened(&mut self, content: u32) -> u64 {
        let from = self.last.map(|last| last.max(self.end));
        let walks = self.last.is_some_and(|last| content > last)
            && from.is_some_and(|from| content <= from.saturating_add(GAP));
        self.bytes = match (walks, self.bytes) {
            (false, _) => 0,
            (true, 0) => FIRST,
            (true, bytes) => (bytes * 2).min(MOST),
        };
        self.last = Some(content);
        self.end = content;
        self.bytes
    }

    /// What was asked for with it ends before this content.
    pub fn asked(&mut self, end: u32) {
        self.end = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_is_followed_and_a_jump_is_not() {
        let mut ahead = ReadAhead::default();
        assert_eq!(ahead.opened(10), 0);
        assert_eq!(ahead.opened(11), FIRST);
        ahead.asked(40);
        assert_eq!(ahead.opened(45), 2 * FIRST);
        for _ in 0..10 {
            let next = ahead.end + 1;
            ahead.opened(next);
            ahead.asked(next + 5);
        }
        assert_eq!(ahead.bytes, MOST);
        assert_eq!(ahead.opened(5), 0);
        assert_eq!(ahead.opened(5 + GAP + 1), 0);
        assert_eq!(ahead.opened(5 + GAP + 2), FIRST);
    }
}
