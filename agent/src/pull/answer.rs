//! An answer, frame by frame.

use super::{PullError, PullTrouble};
use crate::http::{BodyError, Client};
use crate::report::Report;
use crate::sha256::sha256;
use crate::target::HeldImage;
use skiff_protocol::frame::{self, FrameError, Kind};
use skiff_protocol::limits::{MAX_ENTRIES, MAX_HELD};
use skiff_protocol::response::{self, Failure, Notice, Plan, Progress};
use skiff_protocol::{DEPLOY_PATH, Digest, MEDIA_TYPE, Version};

/// An answer that is being read: its body and the buffer of its current frame.
#[derive(Debug)]
pub struct Answer {
    body: crate::http::Body,
    buffer: Box<frame::Buffer>,
    begun: frame::Begun,
    /// What has become of the next frame, if it was waited for.
    come: Option<Result<(), FrameError<BodyError>>>,
    /// The request's SHA-256.
    request: Digest,
    /// Bytes of frames that may still come.
    left: u64,
    /// Which held images patches refer to.
    pub patch_bases: [bool; MAX_HELD],
}

impl Answer {
    /// Posts a request, and waits for the head of the answer.
    pub async fn post(client: &mut Client, request: &[u8]) -> Result<Self, PullError> {
        let body = client.post(DEPLOY_PATH, MEDIA_TYPE, request).await?;
        let request = sha256(request);
        let (buffer, begun) = Default::default();
        Ok(Self {
            body,
            buffer,
            begun,
            come: None,
            request,
            left: u64::MAX,
            patch_bases: [false; MAX_HELD],
        })
    }

    /// The SHA-256 of the request that it answers.
    pub fn request(&self) -> Digest {
        self.request
    }

    /// The address that it comes from.
    pub fn url(&self) -> &str {
        self.body.url()
    }

    /// Takes no more than so many bytes from here on, whatever the accelerator promised.
    pub fn limit(&mut self, bytes: u64) {
        self.left = bytes;
    }

    /// Waits for the next frame, which [`Answer::frame`] then gives, or the reason why there is none. This may be given up at
    /// any time; nothing is lost by that.
    pub async fn comes(&mut self) {
        if self.come.is_none() {
            self.come = Some(self.begun.read_on(&mut self.body, &mut self.buffer).await);
        }
    }

    /// The next frame. A failure that the accelerator reports is an error.
    pub async fn frame(&mut self) -> Result<frame::Frame<'_>, PullError> {
        self.comes().await;
        let come = self.come.take().unwrap_or(Ok(()));
        let frame = match come.and_then(|()| {
            let frame = self.begun.finish(&self.buffer);
            frame.map_err(FrameError::Protocol)
        }) {
            Ok(frame) => frame,
            Err(FrameError::Io(source)) => {
                return Err(PullTrouble::Link {
                    url: self.body.url().to_owned(),
                    source: source.0,
                }
                .into());
            }
            Err(FrameError::Protocol(source)) => {
                return Err(PullTrouble::Stream { url: self.body.url().to_owned(), source }.into());
            }
        };
        let len = (frame::HEADER_LEN + frame.payload.len()) as u64;
        self.left = self.left.checked_sub(len).ok_or(PullTrouble::Budget)?;
        if frame.kind == Kind::Failure {
            let Failure { code, message } = decode(frame.payload)?;
            return Err(
                PullTrouble::Refused { code, message: message.escape_debug().to_string() }.into()
            );
        }
        Ok(frame)
    }

    /// Reads the end of an answer that has no packs.
    pub async fn without_packs(mut self, client: &mut Client) -> Result<Option<Self>, PullError> {
        loop {
            match self.frame().await?.kind {
                Kind::Signature | Kind::HotComplete => {}
                Kind::Complete => break,
                _ => return Err(PullError::unexpected("a frame behind the metadata")),
            }
        }
        self.finish(client).await;
        Ok(None)
    }

    /// Reads to the end of the body, so that the connection can be used again.
    pub async fn finish(self, client: &mut Client) {
        client.reuse(self.body).await;
    }

    /// Waits for the plan, and checks what buffers rely on.
    pub async fn plan(
        &mut self,
        held: &[HeldImage],
        report: &mut Report,
    ) -> Result<Plan, PullError> {
        loop {
            let frame = self.frame().await?;
            let (kind, payload) = (frame.kind, frame.payload);
            match kind {
                Kind::Progress => {
                    let progress: Progress = decode(payload)?;
                    report.accelerator_busy(&progress);
                }
                Kind::Notice => match decode(payload)? {
                    Notice::HeldUnknown(image) => {
                        if let Some(image) = held.get(usize::from(image)) {
                            report.held_unknown(image);
                        }
                    }
                    Notice::PatchBase(image) => {
                        if let Some(base) = self.patch_bases.get_mut(usize::from(image)) {
                            *base = true;
                        }
                    }
                    _ => {}
                },
                Kind::Plan => {
                    let plan: Plan = decode(payload)?;
                    if plan.version.major != Version::CURRENT.major {
                        return Err(PullError::unexpected("an answer in another version"));
                    }
                    if plan.pack_len == 0 || plan.pack_len > skiff_protocol::limits::MAX_PACK {
                        return Err(PullError::unexpected("a plan with packs of a wrong length"));
                    }
                    if plan.entries.max(plan.contents) > MAX_ENTRIES {
                        return Err(PullError::unexpected("a plan of more than 4,000,000 entries"));
                    }
                    return Ok(plan);
                }
                _ => return Err(PullError::unexpected("a frame before the plan")),
            }
        }
    }
}

/// Decodes a message that the accelerator sent.
pub fn decode<'a, M: serde::Deserialize<'a>>(payload: &'a [u8]) -> Result<M, PullError> {
    response::decode(payload).map_err(|_| PullError::unexpected("a message that does not decode"))
}
