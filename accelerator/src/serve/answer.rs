//! One answer: from a request's bytes to its frames.

use super::Service;
use super::body::{Gone, Sink};
use super::frames;
use super::library::{Known, Library};
use super::prepared::Prepared;
use super::progress::report;
use super::refusal::Refusal;
use super::request;
use super::shipment::Shipment;
use crate::meter::Meter;
use crate::plan::{Held, Wanted};
use axum::body::Bytes;
use skiff_protocol::frame::Kind;
use skiff_protocol::limits::MAX_PACK;
use skiff_protocol::request::{DeployRequest, Part, Purpose, Want};
use skiff_protocol::response::{self, Complete, FailureCode, Notice, Phase};
use skiff_protocol::{Digest, Version};
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
    body: &[u8],
    sink: &mut Sink,
) -> Result<(), Ended> {
    let (request, version) = request::parse(body)?;
    let started = Instant::now();
    let meter = Meter::default();
    let images = report(sink, Phase::Ingest, &meter, find(service, &request, &meter)).await??;
    service.metrics.ingested(started.elapsed());
    for (index, held) in (0..).zip(&images.held) {
        if held.tree.is_none() {
            let notice = Notice::HeldUnknown(index);
            sink.send(frames::message(Kind::Notice, &notice)?).await?;
        }
    }
    let trees = images.wanted.iter().map(|wanted| wanted.tree_digest).collect();
    let ratio = images.ratio;

    let started = Instant::now();
    let meter = Meter::default();
    let preparing = service.preparations.get(service, images, version.has_bases());
    let prepared = report(sink, Phase::Plan, &meter, preparing).await??;
    service.metrics.planned(started.elapsed());
    let shipment = shipment(service, &request, &prepared, ratio).await?;
    let shipment = shipment.estimated_by(prepared.alone.as_ref()).await?;
    let complete = Complete { plan: shipment.id, trees };
    let complete = frames::message(Kind::Complete, &complete)?;
    let measure = request.purpose == Purpose::Measure;
    let exact = measure || request.max_bytes.is_some();
    let sizes = report(sink, Phase::Plan, &meter, shipment.wire_bytes(complete.len(), exact));
    let (rest, exact) = sizes.await??;
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
        service.library.measured(delta, bytes).await?;
    }
    Ok(())
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
    ratio: u64,
) -> Result<Shipment<'s, L>, Ended> {
    let plan = &prepared.plan;
    let too_many = |_| Refusal::new(FailureCode::BadRequest, "the request needs too many layers");
    let images = u16::try_from(plan.layers_of_images.len()).map_err(too_many)?;
    let layers = u16::try_from(plan.parents.len()).map_err(too_many)?;
    let whole = || (Some(plan.metadata.clone()), Arc::clone(&prepared.cutter));
    let ((metadata, cutter), have) = match &request.part {
        Part::Whole => (whole(), None),
        Part::Resume { plan: asked, have } => {
            same_plan(*asked, plan.id)?;
            (whole(), Some(have.clone()))
        }
        Part::Repair { plan: asked, contents } => {
            same_plan(*asked, plan.id)?;
            ((None, Arc::new(prepared.repair(service, contents).await?)), None)
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
        cutter,
        have,
        ratio,
    })
}

fn same_plan(asked: Digest, now: Digest) -> Result<(), Refusal> {
    if asked == now {
        return Ok(());
    }
    let text = format!(
        "the plan {asked} is not what would be sent now ({now}), because an image has changed \
         meanwhile; ask for the whole answer"
    );
    Err(Refusal::new(FailureCode::PlanChanged, text))
}

/// The images of a request.
pub(crate) struct Images<I> {
    /// Those that are wanted.
    pub(crate) wanted: Vec<Wanted>,
    /// Those that the device holds.
    pub(crate) held: Vec<Held>,
    /// The wanted ones as the library has them.
    pub(crate) images: Vec<I>,
    ratio: u64,
}

async fn find<L: Library>(
    service: &Service<L>,
    request: &DeployRequest<'_>,
    meter: &Meter,
) -> Result<Images<L::Image>, Refusal> {
    let (library, platform) = (&service.library, &request.platform);
    let references = match &request.want {
        Want::Images(references) => references.iter().map(|&name| name.to_owned()).collect(),
        Want::Application(name) => library.application(name).await?.ok_or_else(|| {
            let text = format!(
                "the accelerator knows no application {name:?}; tell it by \
                 `skiff-accelerator app set`"
            );
            Refusal::new(FailureCode::NotFound, text)
        })?,
        _ => return Err(Refusal::new(FailureCode::NotFound, "the request names no images")),
    };
    let mut found = Images { wanted: Vec::new(), held: Vec::new(), images: Vec::new(), ratio: 0 };
    for reference in references {
        let Known { target, manifest, tree, tree_digest, blobs, ratio, image } =
            library.image(&reference, platform, meter).await?;
        found.wanted.push(Wanted { reference, target, manifest, tree, tree_digest, blobs });
        found.images.push(image);
        found.ratio = found.ratio.max(ratio);
    }
    for held in &request.held {
        if held.reference.is_empty() {
            let tree = library.base(held.manifest).await?.map(|tree| (tree, held.manifest));
            found.held.push(Held { manifest: held.manifest, depth: held.depth, tree });
            continue;
        }
        let tree = match library.held(held.reference, held.manifest, platform, meter).await {
            Ok(known) => Some((known.tree, known.tree_digest)),
            Err(refusal) if is_passing(refusal.code) => return Err(refusal),
            Err(refusal) => {
                tracing::warn!(held = held.reference, "counts as not held: {refusal}");
                None
            }
        };
        found.held.push(Held { manifest: held.manifest, depth: held.depth, tree });
    }
    Ok(found)
}

/// Whether a held image may be there for the next request. What a device got elsewhere, from a
/// registry or repository that the accelerator can't read, must not stop a deployment.
fn is_passing(code: FailureCode) -> bool {
    matches!(code, FailureCode::RegistryUnavailable | FailureCode::Internal)
}

impl<I> Images<I> {
    /// A plan's inputs, one a line.
    pub(crate) fn inputs(&self) -> Vec<u8> {
        let wanted = self.wanted.iter().map(|want| {
            format!(
                "want {} {} {} {}\n",
                want.reference, want.target, want.manifest, want.tree_digest
            )
        });
        let held = self.held.iter().map(|held| {
            let tree = held.tree.as_ref().map(|(_, digest)| digest.to_string());
            let tree = tree.as_deref().unwrap_or("unknown");
            format!("held {} {} {tree}\n", held.manifest, held.depth)
        });
        wanted.chain(held).collect::<String>().into_bytes()
    }
}
