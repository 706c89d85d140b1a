//! One answer: from a request's bytes to its frames.

use super::Service;
use super::body::{Gone, Sink};
use super::frames;
use super::images::{again, find, may_have};
use super::library::Library;
use super::prepared::Prepared;
use super::progress::report;
use super::refusal::Refusal;
use super::request;
use super::shipment::Shipment;
use crate::access::Access;
use crate::meter::Meter;
use crate::plan::inputs::{Inputs, Terms};
use axum::body::Bytes;
use skiff_protocol::frame::Kind;
use skiff_protocol::limits::MAX_PACK;
use skiff_protocol::request::{Codecs, DeployRequest, Part, Purpose};
use skiff_protocol::response::{self, Complete, FailureCode, Notice, Phase};
use skiff_protocol::{Digest, Ranges, Version};
use std::sync::Arc;
use std::time::Instant;

/// How an answer ends before its `Complete`.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With a failure.
    Refused(Refusal),
    /// Because nobody listens.
    Gone,
}

impl From<Refusal> for Ended {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Gone> for Ended {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<skiff_protocol::Error> for Ended {
    fn from(error: skiff_protocol::Error) -> Self {
        Self::Refused(Refusal::internal(&error))
    }
}

/// Answers a request.
pub(crate) async fn answer<L: Library>(
    service: &Service<L>,
    access: &Access,
    body: &[u8],
    sink: &mut Sink,
) -> Result<(), Ended> {
    let (request, version) = request::parse(body)?;
    let prepared = match named(&request.part) {
        Some(plan) => kept(service, access, &request, plan, sink).await?,
        None => None,
    };
    let prepared = match prepared {
        Some(prepared) => prepared,
        None => planned(service, access, &request, version, sink).await?,
    };
    let meter = Meter::default();
    let measure = request.purpose == Purpose::Measure;
    let exact = measure || request.max_bytes.is_some();
    let mut shipment = shipment(service, &request, &prepared, exact).await?;
    if shipment.metadata.is_some() && version.has_signatures() {
        let signatures = service.signers.sign(body, &prepared.plan.table);
        for signature in signatures.map_err(|error| Refusal::internal(&error))? {
            shipment.signatures.extend(frames::message(Kind::Signature, &signature)?);
        }
    }
    let shipment = shipment.estimated_by(prepared.alone.as_ref()).await?;
    let complete = Complete { plan: shipment.id, trees: prepared.trees.iter().copied().collect() };
    let complete = frames::message(Kind::Complete, &complete)?;
    let sizes = report(sink, Phase::Plan, &meter, shipment.wire_bytes(complete.len()));
    let (rest, exact) = sizes.await??;
    if let (Some(patches), true) = (&shipment.patches, shipment.metadata.is_some()) {
        for image in patches.images() {
            sink.send(frames::message(Kind::Notice, &Notice::PatchBase(image))?).await?;
        }
    }
    let (head, wire_bytes) = head(version, &shipment, rest, exact)?;
    if let Some(max) = request.max_bytes {
        let whole = sink.sent() + wire_bytes;
        if whole > max {
            let text = format!("the answer would be {whole} bytes, the request allows {max}");
            return Err(Refusal::new(FailureCode::OverBudget, text).into());
        }
    }
    let before = sink.sent();
    sink.send(head).await?;
    if !measure {
        shipment.send(sink).await?;
    }
    sink.send(complete).await?;
    if let (Some(delta), Part::Whole) = (&prepared.alone, &request.part) {
        let bytes = if measure { wire_bytes } else { sink.sent() - before };
        service.library.measured(delta, shipment.cutter.codecs(), bytes).await?;
    }
    Ok(())
}

/// What a request needs, as tags and hot sets are now.
async fn planned<L: Library>(
    service: &Service<L>,
    access: &Access,
    request: &DeployRequest<'_>,
    version: Version,
    sink: &mut Sink,
) -> Result<Arc<Prepared<L>>, Ended> {
    let started = Instant::now();
    let meter = Meter::default();
    let finding = find(service, access, request, version, &meter);
    let images = report(sink, Phase::Ingest, &meter, finding).await??;
    service.metrics.ingested(started.elapsed());
    for (index, held) in (0..).zip(&images.held) {
        if held.tree.is_none() {
            let notice = Notice::HeldUnknown(index);
            sink.send(frames::message(Kind::Notice, &notice)?).await?;
        }
    }
    let started = Instant::now();
    let preparing = service.preparations.get(service, images);
    let prepared = report(sink, Phase::Plan, &Meter::default(), preparing).await??;
    service.metrics.planned(started.elapsed());
    Ok(prepared)
}

/// The plan with this ID, if it is in memory or its inputs were kept, the request is one for a part of it, and this device
/// may have it: what a request names may be less than what the plan has. A plan that it may not have is as one that is
/// not known.
async fn kept<L: Library>(
    service: &Service<L>,
    access: &Access,
    request: &DeployRequest<'_>,
    plan: Digest,
    sink: &mut Sink,
) -> Result<Option<Arc<Prepared<L>>>, Ended> {
    if let Some(prepared) = service.preparations.with_id(plan) {
        let inputs = &prepared.inputs;
        let is_theirs =
            inputs.are_of(request) && may_have(service, access, inputs, request).await?;
        return Ok(is_theirs.then_some(prepared));
    }
    let inputs = service.library.plan(plan).await?.and_then(|bytes| Inputs::decode(&bytes));
    let Some(inputs) = inputs.filter(|inputs| inputs.are_of(request)) else { return Ok(None) };
    if !may_have(service, access, &inputs, request).await? {
        return Ok(None);
    }
    let meter = Meter::default();
    let images = report(sink, Phase::Ingest, &meter, again(service, inputs, &meter)).await??;
    let Some(images) = images else { return Ok(None) };
    let preparing = service.preparations.get(service, images);
    let prepared = report(sink, Phase::Plan, &Meter::default(), preparing).await??;
    Ok(Some(prepared))
}

/// Whether packs of a plan with these terms may be patches: not where single contents are asked for, as a patch may be why.
fn has_patches(request: &DeployRequest<'_>, terms: &Terms) -> bool {
    let is_plan = matches!(
        request.part,
        Part::Whole | Part::Resume { .. } | Part::Rest { .. } | Part::Metadata
    );
    // The plan may be one of another device, whose files are all there.
    let are_held_there = !request.codecs.contains(Codecs::NO_HELD_BASES);
    let knows = request.version.has_patches() && request.codecs.contains(Codecs::PATCHES);
    is_plan && knows && (are_held_there || terms.held_are_cold)
}

/// The plan that a request names.
fn named(part: &Part) -> Option<Digest> {
    match part {
        Part::Resume { plan, .. } | Part::Repair { plan, .. } | Part::Rest { plan, .. } => {
            Some(*plan)
        }
        _ => None,
    }
}

/// The plan's frame before `rest` more bytes, and how many bytes that is in all. The frame tells
/// that number, whose length as a varint is part of it.
fn head<L: Library>(
    version: Version,
    shipment: &Shipment<'_, L>,
    rest: u64,
    exact: bool,
) -> Result<(Bytes, u64), Ended> {
    let space = shipment.cutter.space();
    let mut plan = response::Plan {
        version,
        id: shipment.id,
        images: shipment.images,
        layers: shipment.layers,
        entries: shipment.entries,
        contents: shipment.contents,
        packs: space.packs(),
        pack_len: MAX_PACK,
        content_bytes: space.len(),
        wire_bytes: rest,
        exact,
    };
    loop {
        let frame = frames::message(Kind::Plan, &plan)?;
        let whole = rest + frame.len() as u64;
        if plan.wire_bytes == whole {
            return Ok((frame, whole));
        }
        // A longer number makes the frame longer, so this ends.
        plan.wire_bytes = whole;
    }
}

/// The part of the plan that the request needs.
async fn shipment<'s, L: Library>(
    service: &'s Service<L>,
    request: &DeployRequest<'_>,
    prepared: &Prepared<L>,
    exact: bool,
) -> Result<Shipment<'s, L>, Ended> {
    let plan = &prepared.plan;
    let too_many = |_| Refusal::new(FailureCode::BadRequest, "the request needs too many layers");
    let images = u16::try_from(plan.layers_of_images.len()).map_err(too_many)?;
    let layers = u16::try_from(plan.parents.len()).map_err(too_many)?;
    let encoding = service.levels.for_device(request.codecs);
    let patches = prepared.patches.as_ref();
    let patches = patches.filter(|_| has_patches(request, &prepared.inputs.terms)).cloned();
    let whole = || {
        let cutter = match patches {
            Some(_) => prepared.packs(encoding).with_patches(),
            None => prepared.packs(encoding),
        };
        (Some(plan.metadata.clone()), cutter, plan.first_packs)
    };
    let ((metadata, cutter, first_packs), have) = match &request.part {
        Part::Whole => (whole(), None),
        Part::Resume { plan: asked, have } => {
            same_plan(*asked, plan.id)?;
            (whole(), Some(have.clone()))
        }
        Part::Rest { plan: asked, have } => {
            same_plan(*asked, plan.id)?;
            let (_, cutter, first_packs) = whole();
            ((None, cutter, first_packs), Some(have.clone()))
        }
        Part::Contents => {
            let cutter = prepared.contents(service, request.digests, encoding).await?;
            ((None, cutter, 0), None)
        }
        Part::Metadata => {
            let mut all = Ranges::new();
            all.insert_if_room(0, u32::MAX);
            (whole(), Some(all))
        }
        Part::Repair { plan: asked, contents } => {
            same_plan(*asked, plan.id)?;
            ((None, prepared.repair(service, contents, encoding).await?, 0), None)
        }
        _ => {
            let text = "the request asks for an unknown part of a plan; update the accelerator";
            return Err(Refusal::new(FailureCode::BadRequest, text).into());
        }
    };
    Ok(Shipment {
        service,
        id: plan.id,
        images,
        layers,
        entries: plan.entries,
        contents: plan.contents.len(),
        metadata,
        signatures: Vec::new(),
        cutter: Arc::new(cutter),
        patches,
        first_packs,
        have,
        ratio: prepared.ratio,
        exact,
        urgent: request.hydration.urgent,
        starts: (request.hydration.cold_files > 0).then_some(request.hydration.deployment),
    })
}

fn same_plan(asked: Digest, now: Digest) -> Result<(), Refusal> {
    if asked == now {
        return Ok(());
    }
    let text = format!(
        "the plan {asked} is not known any more, and not what would be sent now ({now}), because an image \
         has changed meanwhile; ask for the whole answer"
    );
    Err(Refusal::new(FailureCode::PlanChanged, text))
}
