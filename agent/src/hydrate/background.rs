//! The stream of everything that is missing, in the order of the plan: first what is left of the pull's own answer,
//! then requests for what that did not bring, until nothing is missing.

use super::{HydrateError, Hydration};
use crate::apply::ContentWriter;
use crate::decode::Decoder;
use crate::http::Client;
use crate::pause::{Pause, SHORTEST};
use crate::pull::{Answer, Missing, PackSink, PullError, Stream};
use crate::report::Report;
use crate::spool::State;
use skiff_protocol::Digest;
use skiff_protocol::request::Codecs;
use skiff_protocol::response::Pack;
use skiff_protocol::script::Step;
use std::time::{Duration, Instant};

/// The longest pause after a failure.
const LONGEST: Duration = Duration::from_secs(30);

impl Hydration {
    /// Brings everything.
    pub(super) async fn background(
        &self,
        mut stream: Option<Stream>,
        mut client: Client,
    ) -> Result<(), HydrateError> {
        let mut pause = Pause::new(LONGEST);
        loop {
            let done = match stream.take() {
                Some(stream) => {
                    self.unless_removed(async { self.take(stream, false).await.map(drop) }).await
                }
                None => match self.missing()? {
                    Some(missing) => {
                        self.unless_removed(self.bring(&mut client, missing, false)).await
                    }
                    None => {
                        if self.tables.borrow().contents.all_done().map_err(PullError::from)? {
                            return Ok(());
                        }
                        // The rest is asked for urgently.
                        smol::Timer::after(SHORTEST).await;
                        continue;
                    }
                },
            };
            self.place.set(None);
            self.trouble(done.as_ref().err());
            match done {
                Ok(()) => pause.over(),
                Err(error) if self.plan_is_unknown(&error) => {}
                // Whatever it is, a full disk for one, may pass, and files that stand must be filled.
                Err(_) => {
                    // Who was left to the stream would wait for nothing now.
                    self.look()?;
                    pause.wait().await;
                }
            }
        }
    }

    /// What to ask for: the packs that did not arrive, then what else is missing.
    fn missing(&self) -> Result<Option<Missing>, PullError> {
        let contents = &self.tables.borrow().contents;
        if self.by_digest.get() {
            return Missing::digests(contents);
        }
        let plan = Digest(self.journal.plan);
        if let Some(pack_len) = self.journal.pack_len
            && let Some(missing) = Missing::packs(contents, plan, pack_len)?
        {
            return Ok(Some(missing));
        }
        Missing::contents(contents, plan, |_| true)
    }

    /// Gives the work up if nothing of it is needed any more.
    async fn unless_removed(
        &self,
        work: impl Future<Output = Result<(), PullError>>,
    ) -> Result<(), PullError> {
        let removed = async {
            // Both ends live as long as this.
            let _ = self.removed.1.recv().await;
            Ok(())
        };
        smol::future::or(work, removed).await
    }

    /// Asks for these contents and fills their files; urgently, if somebody waits.
    pub(super) async fn bring(
        &self,
        client: &mut Client,
        missing: Missing,
        urgent: bool,
    ) -> Result<(), PullError> {
        let Missing { part, space, digests } = missing;
        let request = self.request(part, &digests, urgent)?;
        let mut answer = Answer::post(client, &request).await?;
        let plan = answer.plan(&[], &mut Report::silent()).await?;
        let takes = if urgent { State::Urgent } else { State::Pending };
        let new = |contents| Stream::new(answer, Decoder::new(), &plan, space, takes, contents);
        let stream = new(&self.tables.borrow().contents)?;
        self.take(stream, urgent).await?.finish(client).await;
        Ok(())
    }

    async fn take(&self, stream: Stream, urgent: bool) -> Result<Answer, PullError> {
        let Stream { mut answer, mut decoder, mut packs, writer } = stream;
        let mut sink = Filling { hydration: self, writer, urgent };
        let taken = packs.take(&mut answer, &mut decoder, &mut sink).await;
        sink.writer.suspend(&self.tables.borrow().contents)?;
        if sink.writer.has_begun_anew() {
            // What was made out of a base is asked for without one.
            self.patches.set(Codecs::default());
        }
        taken?;
        Ok(answer)
    }
}

/// Standing files get the bytes.
struct Filling<'h> {
    hydration: &'h Hydration,
    writer: ContentWriter,
    /// Whether somebody waits for it.
    urgent: bool,
}

impl Filling<'_> {
    /// So many bytes were written.
    fn came(&mut self, bytes: u64) {
        if !self.urgent {
            let place = (self.writer.next_content(), self.writer.offset_in_content());
            self.hydration.place.set(Some(place));
            self.hydration.pace.borrow_mut().came(bytes, Instant::now());
        }
        self.hydration.trouble(None);
    }
}

impl PackSink for Filling<'_> {
    fn hot_complete(&mut self) {
        // The accelerator may leave the link to programs that start now: nobody is left to a stream that rests.
        if !self.urgent {
            self.hydration.place.set(None);
        }
    }

    fn seek(&mut self, offset: u64) -> Result<(), PullError> {
        Ok(self.writer.seek(&self.hydration.tables.borrow().contents, offset)?)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PullError> {
        self.hydration.with_tables(|tables| self.writer.write(tables, bytes))?;
        self.came(bytes.len() as u64);
        Ok(())
    }

    fn patch(&mut self, step: &Step<'_>) -> Result<(), PullError> {
        self.hydration.with_tables(|tables| self.writer.patch(tables, step))?;
        self.came(step.makes());
        Ok(())
    }

    fn took(&mut self, _: &Pack) -> Result<bool, PullError> {
        self.writer.note(&self.hydration.tables.borrow().contents)?;
        Ok(true)
    }
}
