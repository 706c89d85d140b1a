//! Fetches everything before anything starts.

use super::deployment::Deployment;
use super::{Context, PackSink, Packs, PullError, Received};
use crate::apply::{ContentWriter, copy_held};
use crate::report::{Report, Summary};
use crate::spool::{Space, State};
use skiff_protocol::request::{Part, Purpose};
use skiff_protocol::response::{Pack, Plan};

/// Takes all packs, copies what is held, and asks once more for what was damaged of that.
pub(super) async fn fetch(
    context: &mut Context<'_>,
    deployment: &mut Deployment,
    mut received: Received,
    summary: &mut Summary,
) -> Result<(), PullError> {
    take_all(context, deployment, &mut received, Space::Plan, summary).await?;
    let id = received.plan.id;
    let sources = context.held_layers(deployment).await?;
    let damaged = copy_held(&mut deployment.tables(), &sources)?;
    if damaged > 0 {
        context.report.damaged(damaged);
        let contents = deployment.contents.missing()?;
        let part = Part::Repair { plan: id, contents: contents.clone() };
        (received.answer, received.plan) = context.begin(Purpose::Deliver, part).await?;
        let space = Space::Chosen(Box::new(contents));
        take_all(context, deployment, &mut received, space, summary).await?;
    }
    if !deployment.contents.all_done()? {
        return Err(PullError::Unexpected("an end of the stream before all contents were sent"));
    }
    let counters = context.client.counters();
    summary.overhead_bytes =
        counters.received().saturating_sub(summary.pack_bytes) + counters.sent();
    Ok(())
}

async fn take_all(
    context: &mut Context<'_>,
    deployment: &mut Deployment,
    received: &mut Received,
    space: Space,
    summary: &mut Summary,
) -> Result<(), PullError> {
    let packs = Packs::of(&received.plan, &space, &deployment.contents)?;
    let mut writer = ContentWriter::new(space, State::Pending);
    let mut sink = Sink {
        deployment,
        writer: &mut writer,
        packs,
        done: 0,
        encoded: &mut summary.pack_bytes,
        report: context.report,
    };
    let complete = packs.take(&mut received.answer, &mut received.inflater, &mut sink).await?;
    writer.suspend(&deployment.tables())?;
    match complete {
        Some(complete) if complete.plan == received.plan.id => Ok(()),
        _ => Err(PullError::Unexpected("the end of another plan")),
    }
}

impl Packs {
    /// The packs of a plan, if they have what is expected.
    pub fn of(
        plan: &Plan,
        space: &Space,
        contents: &crate::spool::Contents,
    ) -> Result<Self, PullError> {
        if space.len(contents)? != plan.content_bytes {
            return Err(PullError::Unexpected("packs that contradict the contents"));
        }
        Ok(Self { pack_len: plan.pack_len, space: plan.content_bytes })
    }
}

/// New files get the bytes.
struct Sink<'a> {
    deployment: &'a mut Deployment,
    writer: &'a mut ContentWriter,
    packs: Packs,
    /// Content bytes so far.
    done: u64,
    /// Encoded bytes so far.
    encoded: &'a mut u64,
    report: &'a mut Report,
}

impl PackSink for Sink<'_> {
    fn seek(&mut self, offset: u64) -> Result<(), PullError> {
        Ok(self.writer.seek(&mut self.deployment.tables(), offset)?)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PullError> {
        Ok(self.writer.write(&mut self.deployment.tables(), bytes)?)
    }

    fn took(&mut self, pack: &Pack) -> Result<bool, PullError> {
        *self.encoded += u64::from(pack.encoded_len);
        self.done += u64::from(pack.len);
        self.report.transferred(self.done, self.packs.space);
        Ok(true)
    }
}
