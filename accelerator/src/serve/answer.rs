//! One answer: from a request's bytes to its frames.

use super::Service;
use super::body::{Gone, Sink};
use super::frames;
use super::library::{Known, Library};
use super::progress::report;
use super::refusal::Refusal;
use super::request;
use super::shipment::Shipment;
use crate::meter::Meter;
use crate::packs::cut::Cutter;
use crate::plan::space::Space;
use crate::plan::{Held, Plan, Wanted};
use axum::body::Bytes;
use skiff_protocol::frame::Kind;
use skiff_protocol::limits::MAX_PACK;
use skiff_protocol::request::{DeployRequest, Part, Purpose, Want};
use skiff_protocol::response::{self, Complete, FailureCode, Notice, Phase};
use skiff_protocol::{Digest, Version};
use std::collections::BTreeSet;
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
    let inputs = inputs(&images);
    let making = tokio::task::spawn_blocking(move || Plan::make(&images.wanted, &images.held));
    let plan = report(sink, Phase::Plan, &meter, making)
        .await?
        .map_err(|error| Refusal::internal(&error))?
        .map_err(|error| Refusal::plan(&error))?;
    service.metrics.planned(started.elapsed());
    service.library.keep_plan(plan.id, inputs).await?;

    let needed = layers_needed(&plan, &request.part);
    let reader = service.library.reader(images.images, needed).await?;
    let shipment = shipment(service, &request, plan, reader, ratio)?;
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
    sink.send(head).await?;
    if !measure {
        shipment.send(sink).await?;
    }
    sink.send(complete).await?;
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
fn shipment<'s, L: Library>(
    service: &'s Service<L>,
    request: &DeployRequest<'_>,
    plan: Plan,
    reader: L::Reader,
    ratio: u64,
) -> Result<Shipment<'s, L>, Ended> {
    let too_many = |_| Refusal::new(FailureCode::BadRequest, "the request needs too many layers");
    let images = u16::try_from(plan.layers_of_images.len()).map_err(too_many)?;
    let layers = u16::try_from(plan.parents.len()).map_err(too_many)?;
    let (metadata, space, have) = match &request.part {
        Part::Whole => (Some(plan.metadata), plan.space, None),
        Part::Resume { plan: asked, have } => {
            same_plan(*asked, plan.id)?;
            (Some(plan.metadata), plan.space, Some(have.clone()))
        }
        Part::Repair { plan: asked, contents } => {
            same_plan(*asked, plan.id)?;
            let needed = plan.contents.iter().filter(|(number, _)| contents.contains(*number));
            (None, Space::new(needed.map(|(number, c)| (number, c.content.size))), None)
        }
        _ => {
            let text = "the request asks for an unknown part of a plan; update the accelerator";
            return Err(Refusal::new(FailureCode::BadRequest, text).into());
        }
    };
    let contents = plan.contents.len();
    let cutter = Cutter::new(Arc::new(plan.contents), space, reader, service.level);
    Ok(Shipment {
        service,
        id: plan.id,
        images,
        layers,
        entries: plan.entries,
        contents,
        metadata,
        cutter: Arc::new(cutter),
        have,
        ratio,
    })
}

/// The layers that packs are cut from, as pairs of a wanted image's index and a layer's.
fn layers_needed(plan: &Plan, part: &Part) -> BTreeSet<(usize, u32)> {
    let sent = plan.contents.iter().filter(|(number, needed)| match part {
        Part::Repair { contents, .. } => contents.contains(*number),
        _ => needed.held.is_none(),
    });
    sent.map(|(_, needed)| (needed.image, needed.content.layer)).collect()
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
struct Images<I> {
    wanted: Vec<Wanted>,
    held: Vec<Held>,
    images: Vec<I>,
    ratio: u64,
}

async fn find<L: Library>(
    service: &Service<L>,
    request: &DeployRequest<'_>,
    meter: &Meter,
) -> Result<Images<L::Image>, Refusal> {
    let (library, platform) = (&service.library, &request.platform);
    let Want::Images(references) = &request.want else {
        return Err(Refusal::new(FailureCode::NotFound, "the request names no images"));
    };
    let mut found = Images { wanted: Vec::new(), held: Vec::new(), images: Vec::new(), ratio: 0 };
    for reference in references {
        let Known { target, manifest, tree, tree_digest, blobs, ratio, image } =
            library.image(reference, platform, meter).await?;
        let reference = (*reference).to_owned();
        found.wanted.push(Wanted { reference, target, manifest, tree, tree_digest, blobs });
        found.images.push(image);
        found.ratio = found.ratio.max(ratio);
    }
    for held in &request.held {
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

/// A plan's inputs, one a line, for the database.
fn inputs<I>(images: &Images<I>) -> Vec<u8> {
    let wanted = images.wanted.iter().map(|want| {
        format!("want {} {} {} {}\n", want.reference, want.target, want.manifest, want.tree_digest)
    });
    let held = images.held.iter().map(|held| {
        let tree = held.tree.as_ref().map(|(_, digest)| digest.to_string());
        format!("held {} {} {}\n", held.manifest, held.depth, tree.as_deref().unwrap_or("unknown"))
    });
    wanted.chain(held).collect::<String>().into_bytes()
}
