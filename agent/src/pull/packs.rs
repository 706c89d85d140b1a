//! Takes packs: decodes them as they arrive, straight into files; scripts by way of what they refer to.

use super::{Answer, PullError, decode};
use crate::decode::Decoder;
use crate::spool::{Contents, Space};
use skiff_protocol::frame::Kind;
use skiff_protocol::limits::MAX_ENCODED_PACK;
use skiff_protocol::response::{Complete, Pack, Plan};
use skiff_protocol::script::{Script, Step};

fn bad_script() -> PullError {
    PullError::unexpected("a patched pack whose script does not decode")
}

/// Where the bytes of packs go.
#[allow(async_fn_in_trait, reason = "the agent has one thread: nothing is sent to another")]
pub trait PackSink {
    /// Waits until more may be read, and lets other tasks run: a fast stream always has more, and would keep a
    /// daemon's one thread for itself. Says whether more is wanted now.
    async fn ready(&mut self, _: &mut Answer) -> bool {
        smol::future::yield_now().await;
        true
    }

    /// What is used while programs start has come. What follows may be a while in coming.
    fn hot_complete(&mut self) {}

    /// The next bytes are those from here on in the content space.
    fn seek(&mut self, offset: u64) -> Result<(), PullError>;

    /// The next bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<(), PullError>;

    /// The next bytes are made like this; or what the next steps refer to is named.
    fn patch(&mut self, step: &Step<'_>) -> Result<(), PullError>;

    /// A pack is complete. Says whether more packs are wanted now.
    fn took(&mut self, pack: &Pack) -> Result<bool, PullError>;
}

/// The packs of an answer, as its plan has announced them.
#[derive(Debug)]
pub struct Packs {
    /// Content bytes of every pack but the last.
    pack_len: u32,
    /// Content bytes of all packs.
    space: u64,
    under_way: Option<UnderWay>,
}

/// A pack that has begun.
#[derive(Debug)]
struct UnderWay {
    pack: Pack,
    /// Bytes of it that are to come.
    encoded: usize,
    plain: usize,
    /// How far its script is, if it is patched.
    script: Option<Box<Script>>,
}

impl Packs {
    /// The packs of a plan, if they have what is expected.
    pub fn of(plan: &Plan, space: &Space, contents: &Contents) -> Result<Self, PullError> {
        if space.len(contents)? != plan.content_bytes {
            return Err(PullError::unexpected("packs that contradict the contents"));
        }
        Ok(Self { pack_len: plan.pack_len, space: plan.content_bytes, under_way: None })
    }

    /// Reads packs up to the last frame, or until the sink wants no more, be it within a pack: then it gives nothing, and may
    /// be called again.
    pub async fn take<S: PackSink>(
        &mut self,
        answer: &mut Answer,
        decoder: &mut Decoder,
        sink: &mut S,
    ) -> Result<Option<Complete>, PullError> {
        loop {
            if let Some(under_way) = &mut self.under_way {
                if !under_way.take(answer, decoder, sink).await? {
                    return Ok(None);
                }
                let pack = under_way.pack;
                self.under_way = None;
                if !sink.took(&pack)? {
                    return Ok(None);
                }
            }
            if !sink.ready(answer).await {
                return Ok(None);
            }
            let frame = answer.frame().await?;
            match frame.kind {
                Kind::HotComplete => sink.hot_complete(),
                // Signatures were looked at before, if anybody asks for them.
                Kind::Signature => {}
                Kind::Pack => {
                    let pack: Pack = decode(frame.payload)?;
                    sink.seek(self.check(&pack)?)?;
                    let len = pack.len as usize;
                    if !decoder.start_pack(pack.codec, len) {
                        return Err(PullError::unexpected("a pack that this agent can't decode"));
                    }
                    let (encoded, plain) = (pack.encoded_len as usize, len);
                    let script = match pack.codec.is_script() {
                        true => Some(Box::new(Script::new(pack.len.into()))),
                        false => None,
                    };
                    self.under_way = Some(UnderWay { pack, encoded, plain, script });
                }
                Kind::Complete => return decode(frame.payload).map(Some),
                _ => return Err(PullError::unexpected("a frame that has no place among packs")),
            }
        }
    }

    /// Checks a pack's head; gives where it begins in the content space.
    fn check(&self, pack: &Pack) -> Result<u64, PullError> {
        let from = u64::from(pack.number) * u64::from(self.pack_len);
        let right_len = u64::from(self.pack_len).min(self.space.saturating_sub(from));
        if u64::from(pack.len) != right_len || pack.len == 0 {
            return Err(PullError::unexpected("a pack of a wrong length"));
        }
        if pack.encoded_len > MAX_ENCODED_PACK {
            return Err(PullError::unexpected("a pack that this agent can't decode"));
        }
        Ok(from)
    }
}

impl UnderWay {
    /// Reads the rest of the pack; false if the sink wants no more before its end.
    async fn take<S: PackSink>(
        &mut self,
        answer: &mut Answer,
        decoder: &mut Decoder,
        sink: &mut S,
    ) -> Result<bool, PullError> {
        while self.encoded > 0 {
            if !sink.ready(answer).await {
                return Ok(false);
            }
            let frame = answer.frame().await?;
            if frame.kind != Kind::PackData {
                return Err(PullError::unexpected("another frame within a pack"));
            }
            let mut data = frame.payload;
            self.encoded = self
                .encoded
                .checked_sub(data.len())
                .ok_or_else(|| PullError::unexpected("a pack longer than announced"))?;
            while let Some(mut bytes) = decoder.next(&mut data)? {
                if let Some(script) = &mut self.script {
                    while let Some(step) = script.next(&mut bytes).map_err(|_| bad_script())? {
                        sink.patch(&step)?;
                    }
                    continue;
                }
                self.plain = self.plain.checked_sub(bytes.len()).ok_or_else(|| {
                    PullError::unexpected("a pack that decodes to more than announced")
                })?;
                sink.write(bytes)?;
            }
        }
        let ends = match &self.script {
            Some(script) => script.is_complete(),
            None => self.plain == 0,
        };
        if !ends || !decoder.is_done() {
            return Err(PullError::unexpected("a pack that decodes to less than announced"));
        }
        Ok(true)
    }
}
