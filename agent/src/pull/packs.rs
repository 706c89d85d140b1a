//! Takes packs: inflates them as they arrive, straight into files.

use super::deployment::Deployment;
use super::{Answer, PullError, decode};
use crate::apply::ContentWriter;
use crate::inflate::Inflater;
use crate::report::Report;
use skiff_protocol::frame::Kind;
use skiff_protocol::limits::MAX_ENCODED_PACK;
use skiff_protocol::response::{Codec, Complete, Pack, Plan};

/// Reads packs up to the last frame. `received` counts encoded pack bytes.
pub async fn take_packs(
    answer: &mut Answer,
    inflater: &mut Inflater,
    deployment: &mut Deployment,
    plan: &Plan,
    received: &mut u64,
    report: &mut Report,
) -> Result<Complete, PullError> {
    let space = deployment.contents.space();
    if space != plan.content_bytes {
        return Err(PullError::Unexpected("packs that contradict the contents"));
    }
    let mut writer = ContentWriter::default();
    let mut done = 0;
    loop {
        let frame = answer.frame().await?;
        match frame.kind {
            Kind::HotComplete => {}
            Kind::Pack => {
                let pack: Pack = decode(frame.payload)?;
                let from = check(&pack, plan, space)?;
                writer.seek(&mut deployment.tables(), from)?;
                take_pack(answer, inflater, deployment, &mut writer, &pack).await?;
                *received += u64::from(pack.encoded_len);
                done += u64::from(pack.len);
                report.transferred(done, space);
            }
            Kind::Complete => {
                writer.suspend(&deployment.tables())?;
                return decode(frame.payload);
            }
            _ => return Err(PullError::Unexpected("a frame that has no place among packs")),
        }
    }
}

/// Checks a pack's head; gives where it begins in the content space.
fn check(pack: &Pack, plan: &Plan, space: u64) -> Result<u64, PullError> {
    let from = u64::from(pack.number) * u64::from(plan.pack_len);
    let right_len = u64::from(plan.pack_len).min(space.saturating_sub(from));
    if u64::from(pack.len) != right_len || pack.len == 0 {
        return Err(PullError::Unexpected("a pack of a wrong length"));
    }
    if pack.encoded_len > MAX_ENCODED_PACK || pack.codec != Codec::Deflate {
        return Err(PullError::Unexpected("a pack that this agent can't decode"));
    }
    Ok(from)
}

async fn take_pack(
    answer: &mut Answer,
    inflater: &mut Inflater,
    deployment: &mut Deployment,
    writer: &mut ContentWriter,
    pack: &Pack,
) -> Result<(), PullError> {
    let mut encoded = pack.encoded_len as usize;
    let mut plain = pack.len as usize;
    inflater.reset();
    while encoded > 0 {
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
            writer.write(&mut deployment.tables(), bytes)?;
        }
    }
    if plain > 0 || !inflater.is_done() {
        return Err(PullError::Unexpected("a pack that inflates to less than announced"));
    }
    Ok(())
}
