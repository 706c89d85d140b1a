//! Zstd in the memory of one pack, which is there from the first such pack on: an accelerator may never send one.

use super::Corrupt;
use skiff_unzstd::Decoder;

/// A decoder that is used again and again.
#[derive(Debug, Default)]
pub(super) struct Zstd(Option<Box<Decoder>>);

impl Zstd {
    /// Starts over, for a frame with so many content bytes. False if they are more than a pack has.
    pub(super) fn start(&mut self, len: usize) -> bool {
        self.0.get_or_insert_default().start(len).is_ok()
    }

    /// The same for a frame of at most so many.
    pub(super) fn start_at_most(&mut self, len: usize) -> bool {
        self.0.get_or_insert_default().start_at_most(len).is_ok()
    }

    pub(super) fn is_done(&self) -> bool {
        self.0.as_ref().is_some_and(|decoder| decoder.is_done())
    }

    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<Option<&[u8]>, Corrupt> {
        let decoder = self.0.as_mut().ok_or(Corrupt)?;
        decoder.next(input).map_err(|skiff_unzstd::Corrupt| Corrupt)
    }
}
