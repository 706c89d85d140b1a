//! Requests for what somebody waits for, each on a connection of its own that is kept.

use super::background::{Filling, Pause};
use super::{HydrateError, Hydration};
use crate::apply::ContentWriter;
use crate::http::Client;
use crate::inflate::Inflater;
use crate::pull::{Answer, Packs, PullError};
use crate::report::Report;
use crate::spool::{Space, State};
use skiff_protocol::Ranges;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Requests at once. More opens wait for one of them to end, and are then asked for together.
const AT_ONCE: u32 = 4;
/// How long nothing may come until another try is made: shorter than for the background, since somebody waits.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest pause after a failure.
const LONGEST: Duration = Duration::from_secs(5);

impl Hydration {
    /// Asks for what is in the queue, for ever.
    pub(super) async fn answer(
        self: Rc<Self>,
        mut client: Client,
        executor: Rc<smol::LocalExecutor<'static>>,
    ) {
        client.set_patience(PATIENCE);
        // One connection is made in advance; if the link is down, the first request tries again.
        let _ = client.warm().await;
        let blank = client.another();
        let idle = Rc::new(RefCell::new(vec![client]));
        let (ended, end) = smol::channel::bounded::<()>(1);
        while self.ring.1.recv().await.is_ok() {
            while self.outstanding.get() >= AT_ONCE {
                let _ = end.recv().await;
            }
            let contents = std::mem::take(&mut *self.queue.borrow_mut());
            if contents.is_empty() {
                continue;
            }
            self.outstanding.set(self.outstanding.get() + 1);
            let client = idle.borrow_mut().pop().unwrap_or_else(|| blank.another());
            let (hydration, idle, ended) = (Rc::clone(&self), Rc::clone(&idle), ended.clone());
            let asking = async move {
                let mut client = client;
                hydration.ask(contents, &mut client).await;
                idle.borrow_mut().push(client);
                hydration.outstanding.set(hydration.outstanding.get() - 1);
                // If nobody waits for that, or somebody was told already, it is enough.
                let _ = ended.try_send(());
                let _ = hydration.calm.0.try_send(());
            };
            executor.spawn(asking).detach();
        }
    }

    /// Asks for these contents until they are there or nobody waits for them any more.
    async fn ask(&self, contents: Vec<u32>, client: &mut Client) {
        let mut pause = Pause::new(LONGEST);
        while let Err(error) = self.fetch_urgently(&contents, client).await {
            if !matches!(error, HydrateError::Pull(_)) {
                break;
            }
            if let HydrateError::Pull(error) = &error {
                self.trouble(Some(error));
            }
            if self.place.get().is_some() {
                // The background still flows: it brings them in its time.
                break;
            }
            pause.wait().await;
        }
        // What did not come is anybody's again.
        let shared = self.tables.borrow();
        for content in contents {
            if let Ok(Some(row)) = shared.contents.get(content)
                && row.state == State::Urgent
            {
                let _ = shared.contents.set_state(content, State::Pending);
            }
        }
    }

    async fn fetch_urgently(
        &self,
        contents: &[u32],
        client: &mut Client,
    ) -> Result<(), HydrateError> {
        let mut wanted: Vec<u32> = contents.to_vec();
        wanted.sort_unstable();
        let mut ranges = Ranges::new();
        for number in wanted {
            let shared = self.tables.borrow();
            let row = shared.contents.get(number).map_err(PullError::from)?;
            if let Some(row) = row.filter(|row| row.state == State::Urgent) {
                let row = crate::spool::ContentRow { arrived: 0, ..row };
                shared.contents.put(number, &row).map_err(PullError::from)?;
                ranges.insert(number);
            }
        }
        if ranges.is_empty() {
            return Ok(());
        }
        let request = self.request(ranges.clone(), true)?;
        let mut answer = Answer::post(client, &request).await?;
        let plan = answer.plan(&[], &mut Report::silent()).await?;
        let space = Space::Chosen(Box::new(ranges));
        let packs = Packs::of(&plan, &space, &self.tables.borrow().contents)?;
        let writer = ContentWriter::new(space, State::Urgent);
        let mut sink = Filling { hydration: self, writer, waits: false };
        let taken = packs.take(&mut answer, &mut Inflater::new(), &mut sink).await;
        self.with_tables(|tables| sink.writer.suspend(tables)).map_err(PullError::from)?;
        taken?;
        answer.finish(client).await;
        Ok(())
    }
}
