//! Takes packs: inflates them as they arrive, straight into files.

use super::{Answer, PullError, decode};
use crate::inflate::Inflater;
use crate::spool::{Contents, Space};
use skiff_protocol::frame::Kind;
use skiff_protocol::limits::MAX_ENCODED_PACK;
use skiff_protocol::response::{Codec, Complete, Pack, Plan};

/// Where the bytes of packs go.
#[allow(async_fn_in_trait, reason = "the agent has one thread: nothing is sent to another")]
pub trait PackSink {
    /// Waits until more may be read, and lets other tasks run: a fast stream always has more, and would keep a
    /// daemon's one thread for itself.
    async fn ready(&mut self) {
        smol::future::yield_now().await;
    }

    /// The next bytes are those from here on in the content space.
    fn seek(&mut self, offset: u64) -> Result<(), PullError>;

    /// The next bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<(), PullError>;

    /// A pack is complete. Says whether more packs are wanted now.
    fn took(&mut self, pack: &Pack) -> Result<bool, PullError>;
}

/// The packs of an answer, as its plan has announced them.
#[derive(Debug, Clone, Copy)]
pub struct Packs {
    /// Content bytes of every pack but the last.
    pub pack_len: u32,
    /// Content bytes of all packs.
    pub space: u64,
}

impl Packs {
    /// The packs of a plan, if they have what is expected.
    pub fn of(plan: &Plan, space: &Space, contents: &Contents) -> Result<Self, PullError> {
        if space.len(contents)? != plan.content_bytes {
            return Err(PullError::Unexpected("packs that contradict the contents"));
        }
        Ok(Self { pack_len: plan.pack_len, space: plan.content_bytes })
    }

    /// Reads packs up to the last frame, or until the sink wants no more: then it gives nothing, and may
    /// be called again.
    pub async fn take<S: PackSink>(
        self,
        answer: &mut Answer,
        inflater: &mut Inflater,
        sink: &mut S,
    ) -> Result<Option<Complete>, PullError> {
        loop {
            sink.ready().await;
            let frame = answer.frame().await?;
            match frame.kind {
                // Signatures were looked at before, if anybody asks for them.
                Kind::Signature | Kind::HotComplete => {}
                Kind::Pack => {
                    let pack: Pack = decode(frame.payload)?;
                    sink.seek(self.check(&pack)?)?;
                    take_pack(answer, inflater, sink, &pack).await?;
                    if !sink.took(&pack)? {
                        return Ok(None);
                    }
                }
                Kind::Complete => return decode(frame.payload).map(Some),
                _ => return Err(PullError::Unexpected("a frame that has no place among packs")),
            }
        }
    }

    /// Checks a pack's head; gives where it begins in the content space.
    fn check(self, pack: &Pack) -> Result<u64, PullError> {
        let from = u64::from(pack.number) * u64::from(self.pack_len);
        let right_len = u64::from(self.pack_len).min(self.space.saturating_sub(from));
        if u64::from(pack.len) != right_len || pack.len == 0 {
            return Err(PullError::Unexpected("a pack of a wrong length"));
        }
        if pack.encoded_len > MAX_ENCODED_PACK || pack.codec != Codec::Deflate {
            return Err(PullError::Unexpected("a pack that this agent can't decode"));
        }
        Ok(from)
    }
}

async fn take_pack<S: PackSink>(
    answer: &mut Answer,
    inflater: &mut Inflater,
    sink: &mut S,
    pack: &Pack,
) -> Result<(), PullError> {
    let mut encoded = pack.encoded_len as usize;
    let mut plain = pack.len as usize;
    inflater.reset();
    while encoded > 0 {
        sink.ready().await;
        let frame = answer.frame().await?;
        if frame.kind != Kind::PackData {
            return Err(PullError::Unexpected("another frame within a pack"));
        }
        let mut data = frame.payload;
        encoded = encoded
            .checked_sub(data.len())
            .ok_or(PullError::Unexpected("a pack longer than announced"))?;
        while let Some(bytes) = inflater.next(&mut data)? {
            plain = plain
                .checked_sub(bytes.len())
                .ok_or(PullError::Unexpected("a pack that inflates to more than announced"))?;
            sink.write(bytes)?;
        }
    }
    if plain > 0 || !inflater.is_done() {
        return Err(PullError::Unexpected("a pack that inflates to less than announced"));
    }
    Ok(())
}
