//! Requests for what somebody waits for, each on a connection of its own that is kept.

use super::Hydration;
use crate::http::Client;
use crate::pause::Pause;
use crate::pull::{Missing, PullError};
use crate::spool::{ContentRow, Space, State};
use skiff_protocol::limits::MAX_RANGES;
use skiff_protocol::request::Part;
use skiff_protocol::{Digest, Ranges};
use std::cell::{Cell, RefCell};
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
        let asking = Rc::new(Cell::new(0));
        while self.ring.1.recv().await.is_ok() {
            while asking.get() >= AT_ONCE {
                let _ = end.recv().await;
            }
            let contents = std::mem::take(&mut *self.queue.borrow_mut());
            if contents.is_empty() {
                continue;
            }
            asking.set(asking.get() + 1);
            let mut client = idle.borrow_mut().pop().unwrap_or_else(|| blank.another());
            let (hydration, idle) = (Rc::clone(&self), Rc::clone(&idle));
            let (ended, asking) = (ended.clone(), Rc::clone(&asking));
            let ask = async move {
                hydration.ask(contents, &mut client).await;
                idle.borrow_mut().push(client);
                asking.set(asking.get() - 1);
                // If somebody was told already, that is enough.
                let _ = ended.try_send(());
            };
            executor.spawn(ask).detach();
        }
    }

    /// Asks for these contents until they are there, or their image is removed.
    async fn ask(&self, contents: Vec<u32>, client: &mut Client) {
        let mut pause = Pause::new(LONGEST);
        loop {
            self.outstanding.set(self.outstanding.get() + 1);
            let done = self.fetch_urgently(&contents, client).await;
            self.outstanding.set(self.outstanding.get() - 1);
            match done {
                Ok(()) => return,
                Err(error) if self.plan_is_unknown(&error) => continue,
                Err(error) => self.trouble(Some(&error)),
            }
            pause.wait().await;
        }
    }

    async fn fetch_urgently(&self, contents: &[u32], client: &mut Client) -> Result<(), PullError> {
        let mut wanted: Vec<u32> = contents.to_vec();
        wanted.sort_unstable();
        // So many fit into a request, whatever it names them by.
        for wanted in wanted.chunks(MAX_RANGES) {
            let (mut ranges, mut digests) = (Ranges::new(), Vec::new());
            for number in wanted {
                let shared = self.tables.borrow();
                let row = shared.contents.get(*number)?;
                if let Some(row) = row.filter(|row| row.state == State::Urgent) {
                    let row = ContentRow { arrived: 0, ..row };
                    shared.contents.put(*number, &row)?;
                    ranges.insert(*number);
                    digests.extend_from_slice(&row.sha256.0);
                }
            }
            if ranges.is_empty() {
                continue;
            }
            let missing = match self.by_digest.get() {
                true => {
                    let space = Space::Chosen(Box::new(ranges));
                    Missing { part: Part::Contents, space, digests }
                }
                false => Missing::numbers(Digest(self.journal.plan), ranges),
            };
            self.bring(client, missing, true).await?;
        }
        Ok(())
    }
}
