//! Fetches everything before anything starts.
//!
//! What was copied or patched on the device and is wrong, since a file of a held image is not what it should be, is asked for
//! together in the end.

use super::deployment::Deployment;
use super::source::{Source, Wants};
use super::{Context, PullError, Received};
use crate::apply::copy_held;
use crate::report::Summary;

/// Takes all packs, copies what is held, and asks for what was damaged of that.
pub(super) async fn fetch(
    context: &mut Context<'_>,
    deployment: &mut Deployment,
    received: Received,
    summary: &mut Summary,
) -> Result<(), PullError> {
    let mut source = Source::new(received, &deployment.contents)?;
    source.take(context, deployment, None, summary, Wants::Packs).await?;
    let held = context.held_layers(&deployment.sources_used).await?;
    let damaged = copy_held(&mut deployment.tables(), &held)?;
    if damaged > 0 {
        context.report.damaged(damaged);
    }
    if !deployment.contents.all_done()? {
        source.take(context, deployment, None, summary, Wants::All).await?;
    }
    if !deployment.contents.all_done()? {
        return Err(PullError::unexpected("an end of the stream before all contents were sent"));
    }
    let counters = context.client.counters();
    summary.overhead_bytes =
        counters.received().saturating_sub(summary.pack_bytes) + counters.sent();
    Ok(())
}
