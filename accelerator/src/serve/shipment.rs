//! What an answer carries after its plan: metadata, packs, and how many bytes that is.
//!
//! The length is exact if every pack is in the cache or is made for it (a measurement, or a
//! request with a byte budget). Otherwise packs that are not cached are estimated: their content
//! bytes by the ratio that they had when the same delta was sent before or, the first time, by the
//! ratio that the wanted images' layers have in the registry.

use super::Service;
use super::answer::Ended;
use super::body::Sink;
use super::frames;
use super::library::Library;
use super::lull;
use super::patches::{PATIENCE, Patches};
use super::refusal::Refusal;
use super::urgent::Deployment;
use crate::packs::ahead::Ahead;
use crate::packs::cut::{Cutter, PackError};
use crate::packs::framed::{Pack, sliced_len};
use crate::plan::Delta;
use axum::body::Bytes;
use skiff_protocol::frame::{HEADER_LEN, Kind};
use skiff_protocol::limits::MAX_PAYLOAD;
use skiff_protocol::{Digest, Ranges};
use std::sync::Arc;
use tokio::sync::AcquireError;
use tokio::time::Instant;

/// Bytes given to the connection at once: what an urgent answer may have to wait for (`listen`).
const STEP: usize = MAX_PAYLOAD;

/// The part of a plan that is sent.
pub(crate) struct Shipment<'s, L: Library> {
    pub(crate) service: &'s Service<L>,
    pub(crate) id: Digest,
    pub(crate) images: u16,
    pub(crate) layers: u16,
    pub(crate) entries: u32,
    pub(crate) contents: u32,
    pub(crate) metadata: Option<Bytes>,
    /// The frames that follow the metadata.
    pub(crate) signatures: Vec<u8>,
    pub(crate) cutter: Arc<Cutter<L::Reader>>,
    /// What packs may be in place of contents.
    pub(crate) patches: Option<Arc<Patches<L>>>,
    /// Packs that go before the frame `HotComplete`.
    pub(crate) first_packs: u32,
    pub(crate) have: Option<Ranges>,
    pub(crate) ratio: u64,
    /// The answer's length is said exactly.
    pub(crate) exact: bool,
    /// A program on the device waits for it.
    pub(crate) urgent: bool,
    /// The deployment of a device that starts its programs before everything is there.
    pub(crate) starts: Option<Deployment>,
}

impl<L: Library> Shipment<'_, L> {
    /// Estimates by what the delta took before, if it is all that is sent and that was measured.
    pub(crate) async fn estimated_by(mut self, delta: Option<&Delta>) -> Result<Self, Refusal> {
        let (Some(delta), Some(metadata)) = (delta, &self.metadata) else { return Ok(self) };
        if let Some(sent) = self.service.library.sent_bytes(delta, self.cutter.codecs()).await? {
            let packs = sent.saturating_sub(sliced_len(metadata.len()));
            self.ratio = packs.saturating_mul(1000) / self.cutter.space().len().max(1);
        }
        Ok(self)
    }

    /// Bytes of all frames after the plan's, `complete` being those of the last one, and whether
    /// they are exact. Makes all packs if they must be.
    pub(crate) async fn wire_bytes(&self, complete: usize) -> Result<(u64, bool), Ended> {
        let metadata = self.metadata.as_ref().map_or(0, |stream| stream.len());
        let mut bytes =
            sliced_len(metadata) + (self.signatures.len() + HEADER_LEN + complete) as u64;
        let mut exact = true;
        let mut missing = Vec::new();
        for number in self.numbers() {
            match self.service.library.pack_len(self.cutter.key(number, self.patches.is_some())) {
                Some(encoded) => bytes += self.pack_len(number, encoded)?,
                None if self.exact => missing.push(number),
                None => {
                    exact = false;
                    bytes += self.pack_len(number, scaled(self.cutter.len(number), self.ratio))?;
                }
            }
        }
        let mut packs = self.packs(missing.into_iter());
        while let Some(made) = packs.next().await {
            let (number, encoded) = made.map_err(|error| Refusal::pack(&error))?;
            bytes += self.pack_len(number, encoded.encoded_len())?;
        }
        Ok((bytes, exact))
    }

    /// Sends metadata and packs.
    pub(crate) async fn send(&self, sink: &mut Sink) -> Result<(), Ended> {
        for stretch in self.metadata.iter().flat_map(|stream| stream.chunks(STEP)) {
            sink.send(frames::metadata(stretch)?).await?;
        }
        if !self.signatures.is_empty() {
            sink.send(self.signatures.clone().into()).await?;
        }
        let mut hot = Some(frames::empty(Kind::HotComplete)?);
        if self.numbers().next().is_none_or(|number| number >= self.first_packs) {
            // At once: the first pack may take a while.
            send_once(sink, &mut hot).await?;
        }
        let from = Instant::now();
        let mut packs = self.packs(self.numbers());
        while let Some(made) = packs.next().await {
            let (number, encoded) = made.map_err(|error| Refusal::pack(&error))?;
            if number >= self.first_packs && hot.is_some() {
                send_once(sink, &mut hot).await?;
                if let Some(name) = self.starts {
                    lull::pass(&self.service.deployments, name, from).await;
                }
            }
            let is_script = encoded.form().is_script;
            sink.send(self.pack_head(number, is_script, encoded.encoded_len())?).await?;
            let mut frames = encoded.frames();
            // In slices: what waits for the device then keeps one pack in memory, not three.
            while !frames.is_empty() {
                sink.send(frames.split_to(frames.len().min(STEP))).await?;
            }
        }
        send_once(sink, &mut hot).await
    }

    fn pack_head(&self, number: u32, is_script: bool, encoded: u64) -> Result<Bytes, Ended> {
        let (codec, len) = (self.cutter.codec(is_script), self.cutter.len(number));
        Ok(frames::pack_head(number, codec, len, encoded)?)
    }

    /// Bytes of a pack's frames.
    fn pack_len(&self, number: u32, encoded: u64) -> Result<u64, Ended> {
        // Every codec has as long a head.
        let head = self.pack_head(number, false, encoded)?.len() as u64;
        let encoded = usize::try_from(encoded).map_err(|_| skiff_protocol::Error::Malformed)?;
        Ok(head + sliced_len(encoded))
    }

    /// Numbers of the packs that the device lacks.
    fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        let has = |number| self.have.as_ref().is_some_and(|have| have.contains(number));
        (0..self.cutter.space().packs()).filter(move |number| !has(*number))
    }

    fn packs<'a>(&self, numbers: impl Iterator<Item = u32> + Send + 'a) -> Ahead<'a, Pack> {
        let library = self.service.library.clone();
        let makers = match self.urgent {
            true => self.service.urgent_makers.clone(),
            false => self.service.makers.clone(),
        };
        let (cutter, patches) = (self.cutter.clone(), self.patches.clone());
        let patience = (!self.exact).then_some(PATIENCE);
        Ahead::new(numbers, self.service.ahead.clone(), move |number| {
            let (library, cutter, makers) = (library.clone(), cutter.clone(), makers.clone());
            let patches = patches.clone();
            tokio::spawn(async move {
                let patches = patches.filter(|_| cutter.has_patches(number));
                let mut key = cutter.key(number, patches.is_some());
                let mut found = None;
                if let Some(patches) = &patches
                    && library.pack_len(key).is_none()
                {
                    found = patches.of(cutter.may_be_patched(number), patience).await;
                    if found.is_none() {
                        key = cutter.key(number, false);
                        found = Some(Vec::new());
                    }
                }
                let make = async move {
                    let closed = |error: AcquireError| PackError::Cache(error.into());
                    let _filling = makers.filling.acquire_owned().await.map_err(closed)?;
                    let found = match (found, patches) {
                        (Some(found), _) => found,
                        // It was in the cache a moment ago.
                        (None, Some(patches)) => patches
                            .of(cutter.may_be_patched(number), None)
                            .await
                            .unwrap_or_default(),
                        (None, None) => Vec::new(),
                    };
                    let filling = cutter.fill(number, &found).await?;
                    let permit = makers.encoding.acquire_owned().await.map_err(closed)?;
                    let encode = move || {
                        let _permit = permit;
                        cutter.encode(&filling)
                    };
                    tokio::task::spawn_blocking(encode).await.map_err(PackError::Encoder)?
                };
                library.pack(key, make).await
            })
        })
    }
}

/// Sends the frame, unless that was done before.
async fn send_once(sink: &mut Sink, frame: &mut Option<Bytes>) -> Result<(), Ended> {
    match frame.take() {
        Some(frame) => Ok(sink.send(frame).await?),
        None => Ok(()),
    }
}

/// `len` times a ratio, in thousandths: exact enough for an estimate.
fn scaled(len: u32, ratio: u64) -> u64 {
    u64::from(len) * ratio / 1000
}
