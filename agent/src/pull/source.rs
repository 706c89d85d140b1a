//! The packs of a deployment: an answer that brings them, and another one for the rest where it is cut.
//!
//! What a stream has brought counts, whatever ends it: a request for the rest names the packs that are there, so at most
//! the one that was cut is sent again. Where much less than whole packs is missing, contents are asked for by number.

use super::budget::Tries;
use super::deployment::Deployment;
use super::{Answer, Context, PackSink, Packs, PullError, Received};
use crate::apply::{ContentWriter, Files, Tables};
use crate::cold::Cold;
use crate::decode::Decoder;
use crate::report::{Report, Summary};
use crate::spool::{ContentRow, Contents, Space, State};
use skiff_protocol::request::{Part, Purpose};
use skiff_protocol::response::{Pack, Plan};
use skiff_protocol::script::Step;
use skiff_protocol::{Digest, Ranges};
use smol::channel::{Receiver, bounded};

/// Where packs come from.
#[derive(Debug)]
pub struct Source {
    plan: Plan,
    open: Option<Stream>,
    /// Content bytes that are there.
    done: u64,
}

/// A stream of packs, and how far it has come.
#[derive(Debug)]
pub struct Stream {
    /// The answer.
    pub answer: Answer,
    /// Its decoder.
    pub decoder: Decoder,
    /// Its packs.
    pub packs: Packs,
    /// Where the next byte belongs.
    pub writer: ContentWriter,
}

impl Stream {
    /// The packs that follow a plan, for contents in this state.
    pub fn new(
        answer: Answer,
        decoder: Decoder,
        plan: &Plan,
        space: Space,
        takes: State,
        contents: &Contents,
    ) -> Result<Self, PullError> {
        let packs = Packs::of(plan, &space, contents)?;
        Ok(Self { answer, decoder, packs, writer: ContentWriter::new(space, takes) })
    }
}

/// What is to be there in the end.
#[derive(Debug, Clone, Copy)]
pub enum Wants {
    /// What comes in packs.
    Packs,
    /// That, and what was to be copied on the device and is damaged there.
    All,
}

/// What to ask for.
#[derive(Debug)]
pub struct Missing {
    /// The part of the plan.
    pub part: Part,
    /// The content space of the answer.
    pub space: Space,
    /// Digests, if it is asked for by them.
    pub digests: Vec<u8>,
}

impl Missing {
    /// The packs that did not arrive, of this length; nothing if all did.
    pub fn packs(
        contents: &Contents,
        plan: Digest,
        pack_len: u32,
    ) -> Result<Option<Self>, PullError> {
        let Some(have) = contents.arrived_packs(pack_len)? else { return Ok(None) };
        let there: u64 = have.iter().map(|range| u64::from(range.last - range.first) + 1).sum();
        let pack_len = u64::from(pack_len);
        let packs = contents.space().div_ceil(pack_len).saturating_sub(there);
        let mut rest = 0;
        contents.each_missing(|row| rest += row.size.saturating_sub(row.arrived))?;
        if packs.saturating_sub(2) * pack_len > 2 * rest {
            return Self::contents(contents, plan, ContentRow::is_packed);
        }
        Ok(Some(Self { part: Part::Rest { plan, have }, space: Space::Plan, digests: Vec::new() }))
    }

    /// The contents that are not in their files, by number; nothing if all are.
    pub fn contents(
        contents: &Contents,
        plan: Digest,
        which: fn(&ContentRow) -> bool,
    ) -> Result<Option<Self>, PullError> {
        let missing = contents.missing(which)?;
        Ok((!missing.is_empty()).then(|| Self::numbers(plan, missing)))
    }

    /// These contents, by number.
    pub fn numbers(plan: Digest, contents: Ranges) -> Self {
        let part = Part::Repair { plan, contents: contents.clone() };
        Self { part, space: Space::Chosen(Box::new(contents)), digests: Vec::new() }
    }

    /// The first of the contents that are not in their files, by digest; nothing if all are.
    pub fn digests(contents: &Contents) -> Result<Option<Self>, PullError> {
        let (missing, digests) = contents.missing_digests()?;
        let space = Space::Chosen(Box::new(missing));
        Ok((!digests.is_empty()).then_some(Self { part: Part::Contents, space, digests }))
    }
}

impl Source {
    /// What follows the metadata of an answer.
    pub fn new(received: Received, contents: &Contents) -> Result<Self, PullError> {
        let Received { answer, decoder, plan } = received;
        let mut done = plan.content_bytes;
        contents.each_missing(|row| {
            done = done.saturating_sub(row.size - row.arrived.min(row.size));
        })?;
        let open = match answer {
            Some(answer) => {
                let (space, takes) = (Space::Plan, State::Pending);
                Some(Stream::new(answer, decoder, &plan, space, takes, contents)?)
            }
            None => None,
        };
        Ok(Self { plan, open, done })
    }

    /// Takes packs until nothing of that is missing, or no more files than that are cold.
    pub async fn take(
        &mut self,
        context: &mut Context<'_>,
        deployment: &mut Deployment,
        mut cold: Option<(&mut Cold, usize)>,
        summary: &mut Summary,
        what: Wants,
    ) -> Result<(), PullError> {
        // A content that began before the power went may have to begin anew, once.
        let mut more = 2;
        loop {
            if self.open.is_none() {
                let Some(missing) = self.missing(what, &deployment.contents)? else {
                    return Ok(());
                };
                match self.ask(context, missing, &deployment.contents).await {
                    Ok(open) => self.open = Some(open),
                    // To ask for it again would not help.
                    Err(error) if error.plan_is_unknown() => return Err(error),
                    Err(error) => {
                        context.tries.after(error, context.report).await?;
                        continue;
                    }
                }
            }
            let Some(open) = &mut self.open else { continue };
            let mut writing = Writing {
                deployment,
                writer: &mut open.writer,
                cold: &mut cold,
                tries: &mut context.tries,
                done: &mut self.done,
                space: self.plan.content_bytes,
                encoded: &mut summary.pack_bytes,
                report: context.report,
                end: None,
            };
            let taken = open.packs.take(&mut open.answer, &mut open.decoder, &mut writing).await;
            match taken {
                Ok(None) => return Ok(()),
                Ok(Some(complete)) => {
                    if complete.plan != self.plan.id {
                        return Err(PullError::unexpected("the end of another plan"));
                    }
                    more -= 1;
                    let begins_anew = open.writer.has_begun_anew();
                    if begins_anew {
                        context.take_no_patches();
                    }
                    self.open = None;
                    if self.missing(what, &deployment.contents)?.is_none() {
                        return Ok(());
                    }
                    if begins_anew && matches!((what, &cold), (Wants::Packs, None)) {
                        // It is asked for with what else turns out to be damaged.
                        return Ok(());
                    }
                    if !begins_anew || more == 0 {
                        return Err(PullError::unexpected(
                            "an end of the stream before all contents were sent",
                        ));
                    }
                }
                Err(error) => {
                    open.writer.suspend(&deployment.contents)?;
                    if open.writer.has_begun_anew() {
                        context.take_no_patches();
                    }
                    self.open = None;
                    // Digests say that all is there, if not an end of the stream.
                    if error.may_pass() && self.missing(what, &deployment.contents)?.is_none() {
                        return Ok(());
                    }
                    context.tries.after(error, context.report).await?;
                }
            }
        }
    }

    /// Takes packs until this work has ended, and gives what comes of it. What does not come meanwhile is no failure: it is
    /// taken or asked for later.
    pub async fn take_beside<T>(
        &mut self,
        context: &mut Context<'_>,
        deployment: &mut Deployment,
        cold: &mut Cold,
        summary: &mut Summary,
        work: impl Future<Output = T>,
    ) -> Result<T, PullError> {
        let (ends, end) = bounded::<()>(1);
        let work = async move {
            let done = work.await;
            drop(ends);
            done
        };
        let taking = async {
            let Some(open) = &mut self.open else { return Ok(()) };
            let mut writing = Writing {
                deployment,
                writer: &mut open.writer,
                cold: &mut Some((cold, 0)),
                tries: &mut context.tries,
                done: &mut self.done,
                space: self.plan.content_bytes,
                encoded: &mut summary.pack_bytes,
                report: context.report,
                end: Some(end),
            };
            match open.packs.take(&mut open.answer, &mut open.decoder, &mut writing).await {
                Ok(None) => return Ok(()),
                Ok(Some(complete)) if complete.plan != self.plan.id => {
                    return Err(PullError::unexpected("the end of another plan"));
                }
                Ok(Some(_)) => {}
                Err(error) if error.may_pass() => {}
                Err(error) => return Err(error),
            }
            open.writer.suspend(&deployment.contents)?;
            if open.writer.has_begun_anew() {
                context.take_no_patches();
            }
            self.open = None;
            Ok(())
        };
        let (done, taken) = smol::future::zip(work, taking).await;
        taken.map(|()| done)
    }

    fn missing(&self, what: Wants, contents: &Contents) -> Result<Option<Missing>, PullError> {
        match what {
            Wants::Packs => Missing::packs(contents, self.plan.id, self.plan.pack_len),
            Wants::All => Missing::contents(contents, self.plan.id, |_| true),
        }
    }

    /// Hands over the answer that is being read; what it has begun is written down.
    pub fn stream(mut self, contents: &Contents) -> Result<Option<Stream>, PullError> {
        if let Some(open) = &mut self.open {
            open.writer.suspend(contents)?;
        }
        Ok(self.open)
    }

    async fn ask(
        &self,
        context: &mut Context<'_>,
        missing: Missing,
        contents: &Contents,
    ) -> Result<Stream, PullError> {
        let (answer, plan) = context.begin(Purpose::Deliver, missing.part).await?;
        if plan.id != self.plan.id || plan.pack_len != self.plan.pack_len {
            return Err(PullError::unexpected("a part of another plan"));
        }
        let (decoder, takes) = (Decoder::new(), State::Pending);
        Stream::new(answer, decoder, &plan, missing.space, takes, contents)
    }
}

/// Files get the bytes: new ones, or ones that stand and are under no lease yet.
struct Writing<'w, 'c> {
    deployment: &'w mut Deployment,
    writer: &'w mut ContentWriter,
    cold: &'w mut Option<(&'c mut Cold, usize)>,
    tries: &'w mut Tries,
    /// Content bytes so far, of so many.
    done: &'w mut u64,
    space: u64,
    /// Encoded bytes so far.
    encoded: &'w mut u64,
    report: &'w mut Report,
    /// Closed when no more is wanted.
    end: Option<Receiver<()>>,
}

impl Writing<'_, '_> {
    fn with<T>(&mut self, work: impl FnOnce(&mut ContentWriter, &mut Tables<'_>) -> T) -> T {
        let mut tables = match self.cold {
            Some((cold, _)) => self.deployment.tables_with(Files::Standing { cold, relied: false }),
            None => self.deployment.tables(),
        };
        work(self.writer, &mut tables)
    }
}

impl PackSink for Writing<'_, '_> {
    async fn ready(&mut self, answer: &mut Answer) -> bool {
        smol::future::yield_now().await;
        let Some(end) = &self.end else { return true };
        let ended = async {
            // Nothing is ever sent: it is closed.
            let _ = end.recv().await;
            false
        };
        // Nobody who only waits for that waits for a frame, which may never come.
        let comes = async {
            answer.comes().await;
            true
        };
        smol::future::or(ended, comes).await
    }

    fn seek(&mut self, offset: u64) -> Result<(), PullError> {
        Ok(self.with(|writer, tables| writer.seek(tables.contents, offset))?)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PullError> {
        Ok(self.with(|writer, tables| writer.write(tables, bytes))?)
    }

    fn patch(&mut self, step: &Step<'_>) -> Result<(), PullError> {
        Ok(self.with(|writer, tables| writer.patch(tables, step))?)
    }

    fn took(&mut self, pack: &Pack) -> Result<bool, PullError> {
        *self.encoded += u64::from(pack.encoded_len);
        *self.done += u64::from(pack.len);
        self.writer.note(&self.deployment.contents)?;
        self.tries.came();
        self.tries.check_time()?;
        match self.cold {
            _ if self.end.is_some() => Ok(true),
            Some((cold, most)) => {
                self.report.cold_files(cold.left());
                Ok(cold.left() > *most)
            }
            None => {
                self.report.transferred(*self.done, self.space);
                Ok(true)
            }
        }
    }
}
