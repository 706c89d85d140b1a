//! Hydration: brings the bytes of files that stand already, after the images were made startable.
//!
//! ```text
//! pull ──▶ Rest ──▶ Hydration ─┬─ background   the plan's stream, in the order of the packs
//!                              ├─ urgent       what a program waits for, ahead of it
//!                              └─ settle       syncs, and says in the journal what is durable
//! restart ──▶ recover ──▶ Hydration
//! ```
//!
//! All tasks run on the daemon's one thread and share the tables; none holds them while it waits. A content that is
//! asked for urgently is marked as such, so that the background passes it by. One that the background's stream is about to
//! bring is left to it (`pace`). If the stream stands still then, it is asked for
//! after all.
//!
//! | module | what it does |
//! |---|---|
//! | `guard` | room for leases, the holder, the kernel's settings |
//! | `journal` | what a later process needs |
//! | `background` | the stream of all that is missing |
//! | `urgent` | requests for what somebody waits for |
//! | `pace` | how fast the stream is |
//! | `read_ahead` | what is asked for beside what somebody waits for |
//! | `settle` | makes durable what was filled |
//! | `recover` | takes up what another process has left |

mod background;
mod guard;
mod journal;
mod pace;
mod read_ahead;
mod recover;
mod settle;
mod urgent;

pub use guard::Guard;
pub use journal::{Journal, JournalImage};
pub use recover::recover;

use crate::apply::{Bases, Beneath, Files, Tables, leave_removed, printable};
use crate::cold::{Cold, Inode};
use crate::exit::sentence;
use crate::holder::HolderError;
use crate::http::Client;
use crate::pull::{Ask, PullError, Rest, Stream, Wanted};
use crate::spool::{ContentRow, Contents, Entries, State};
use crate::state::StateError;
use pace::Pace;
use read_ahead::ReadAhead;
use skiff_protocol::request::{Codecs, Hydration as Purposes, Part, Purpose};
use smol::channel::{Receiver, Sender, bounded};
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;
use thiserror::Error;

/// A deployment can't be hydrated.
#[derive(Debug, Error)]
pub enum HydrateError {
    /// The stream, or what is written.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The holder.
    #[error(transparent)]
    Holder(#[from] HolderError),
}

/// A deployment that is hydrated.
#[derive(Debug)]
pub struct Hydration {
    journal: Journal,
    directory: PathBuf,
    wanted: Wanted,
    guard: Rc<Guard>,
    tables: RefCell<Shared>,
    /// Where the background's stream is: a content, and how far into it. None if nothing flows.
    place: Cell<Option<(u32, u64)>>,
    /// Where it was when this was looked at last, and whether somebody was left to it since.
    last_place: Cell<Option<(u32, u64)>>,
    left_to_stream: Cell<bool>,
    /// No accelerator knows the plan any more: contents are asked for by digest.
    by_digest: Cell<bool>,
    /// Whether packs may be patches, and of what.
    patches: Cell<Codecs>,
    /// How fast it is.
    pace: RefCell<Pace>,
    /// How far to read ahead of what is opened.
    ahead: RefCell<ReadAhead>,
    /// Urgent requests that are not answered yet.
    outstanding: Cell<u32>,
    /// Closed when everything is there.
    done: (RefCell<Option<Sender<()>>>, Receiver<()>),
    /// Contents that are to be asked for urgently.
    queue: RefCell<Vec<u32>>,
    /// All that was missing was removed.
    removed: (Sender<()>, Receiver<()>),
    /// Something is in the queue.
    ring: (Sender<()>, Receiver<()>),
    progress: RefCell<Progress>,
}

#[derive(Debug)]
struct Shared {
    contents: Contents,
    entries: Entries,
    layers: Vec<Beneath>,
    cold: Cold,
    bases: Bases,
}

/// What `skiff status` shows of it.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Files that are cold.
    pub cold_files: usize,
    /// Bytes of contents that are missing.
    pub cold_bytes: u64,
    /// Bytes that were hydrated.
    pub hydrated_bytes: u64,
    /// Since when.
    pub since: Instant,
    /// Why nothing comes at the moment.
    pub trouble: Option<String>,
}

/// A file that somebody had open although it was cold and under no lease.
#[derive(Debug, Clone)]
pub struct Unguarded {
    /// Its path in the image.
    pub path: String,
    /// Its inode.
    pub inode: Inode,
}

impl Hydration {
    /// Takes over what a pull has left, with its stream.
    pub fn new(
        rest: Rest,
        guard: Rc<Guard>,
    ) -> Result<(Self, Option<Stream>, Client), HydrateError> {
        let Rest { journal, directory, contents, entries, layers, cold, bases, .. } = rest;
        let (patches, stream, mut client) = (Cell::new(rest.patches), rest.stream, rest.client);
        if let Some(rate) = guard.rate() {
            client.set_rate(Some(rate));
        }
        let wanted = Wanted::Images(journal.images.iter().map(JournalImage::pinned).collect());
        let mut cold_bytes = 0;
        for number in 0..contents.count() {
            let row = contents.get(number).map_err(PullError::from)?;
            cold_bytes += row.filter(|row| row.state.is_missing()).map_or(0, |row| row.size);
        }
        let progress = Progress {
            cold_files: cold.left(),
            cold_bytes,
            hydrated_bytes: 0,
            since: Instant::now(),
            trouble: None,
        };
        let (sender, receiver) = bounded(1);
        let hydration = Self {
            done: (RefCell::new(Some(sender)), receiver),
            journal,
            directory,
            wanted,
            guard,
            patches,
            tables: RefCell::new(Shared { contents, entries, layers, cold, bases }),
            place: Cell::new(None),
            last_place: Cell::new(None),
            left_to_stream: Cell::new(false),
            by_digest: Cell::new(false),
            pace: RefCell::default(),
            ahead: RefCell::default(),
            outstanding: Cell::new(0),
            queue: RefCell::default(),
            removed: bounded(1),
            ring: bounded(1),
            progress: RefCell::new(progress),
        };
        Ok((hydration, stream, client))
    }

    /// Hydrates until nothing is missing, then removes the journal. `executor` runs the urgent requests.
    pub async fn run(
        self: Rc<Self>,
        stream: Option<Stream>,
        client: Client,
        executor: Rc<smol::LocalExecutor<'static>>,
    ) -> Result<(), HydrateError> {
        let urgent =
            executor.spawn(Rc::clone(&self).answer(client.another(), Rc::clone(&executor)));
        let settling = executor.spawn(Rc::clone(&self).settle_always());
        let done = self.background(stream, client).await;
        drop((urgent, settling));
        done?;
        self.settle().await?;
        self.end()
    }

    /// Everything is there and durable. What the pull could not make visible becomes a leftover of it.
    fn end(&self) -> Result<(), HydrateError> {
        let failed = |e| StateError::io(&self.directory, e);
        let pulls = self.directory.parent().and_then(|hydrating| hydrating.parent());
        match pulls.map(|state| state.join("pulls").join(&self.journal.id)) {
            Some(pull) if !self.journal.visible => {
                std::fs::rename(&self.directory, pull).map_err(failed)?;
            }
            _ => std::fs::remove_dir_all(&self.directory).map_err(failed)?,
        }
        Ok(())
    }

    /// The images, and where they are.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Waits until everything is there.
    pub async fn finished(&self) {
        // Nothing is ever sent: it is closed.
        let _ = self.done.1.recv().await;
    }

    /// Everything is there, or nothing more can come.
    pub fn close(&self) {
        self.done.0.borrow_mut().take();
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let mut progress = self.progress.borrow().clone();
        progress.cold_files = self.tables.borrow().cold.left();
        progress
    }

    /// Paths of the files that somebody waits for.
    pub fn waited_for(&self) -> Vec<String> {
        let shared = &mut *self.tables.borrow_mut();
        let mut found = Vec::new();
        shared.cold.waited_for(|entry, _| found.push(entry));
        let path = |entry| {
            let stored = shared.entries.get(entry).ok()?;
            Some(format!("/{}", printable(stored.entry.suffix)))
        };
        found.into_iter().filter_map(path).collect()
    }

    /// If the cold file with this descriptor number is one of these, somebody waits for it.
    pub fn opened(&self, fd: i32) -> Result<(), HydrateError> {
        let content = self.tables.borrow().cold.content_of(fd);
        content.map_or(Ok(()), |content| self.want(content))
    }

    /// Looks for everything that somebody waits for: signals may have been lost, or what was to bring it has
    /// stopped.
    pub fn look(&self) -> Result<(), HydrateError> {
        let mut contents = Vec::new();
        self.tables.borrow().cold.waited_for(|_, content| contents.push(content));
        contents.into_iter().try_for_each(|content| self.want(content))
    }

    /// Asks for a content ahead of everything else, unless it is about to come.
    fn want(&self, content: u32) -> Result<(), HydrateError> {
        let shared = self.tables.borrow();
        let get = |number| shared.contents.get(number).map_err(PullError::from);
        let Some(row) = get(content)? else { return Ok(()) };
        if row.state != State::Pending {
            return Ok(());
        }
        if self.is_near(content, row.offset, get)? {
            self.left_to_stream.set(true);
            return Ok(());
        }
        let mut queue = self.queue.borrow_mut();
        let mut take = |number| {
            queue.push(number);
            shared.contents.set_state(number, State::Urgent)
        };
        take(content).map_err(PullError::from)?;
        let mut budget = self.ahead.borrow_mut().opened(content);
        for number in content + 1.. {
            let Some(row) = get(number)?.filter(|row| row.size <= budget) else {
                self.ahead.borrow_mut().asked(number);
                break;
            };
            budget -= row.size;
            if row.state == State::Pending {
                take(number).map_err(PullError::from)?;
            }
        }
        // If it rings already, that is enough.
        let _ = self.ring.0.try_send(());
        Ok(())
    }

    /// If somebody was left to a stream that stands still, he is no longer.
    fn check_stream(&self) -> Result<(), HydrateError> {
        let place = self.place.get();
        let may_flow = self.outstanding.get() == 0;
        if self.left_to_stream.get() && may_flow && place == self.last_place.get() {
            self.place.set(None);
            self.left_to_stream.set(false);
            return self.look();
        }
        self.last_place.set(place);
        Ok(())
    }

    /// Whether the background's stream is in this content, or is going to be soon.
    fn is_near(
        &self,
        content: u32,
        offset: u64,
        get: impl Fn(u32) -> Result<Option<ContentRow>, PullError>,
    ) -> Result<bool, PullError> {
        let Some((next, into)) = self.place.get() else { return Ok(false) };
        if content <= next {
            return Ok(content == next);
        }
        let here = get(next)?.map_or(u64::MAX, |row| row.offset + into);
        Ok(offset.saturating_sub(here) <= self.pace.borrow().near())
    }

    /// Gives all cold files to a new holder.
    pub fn hold_again(&self) -> Result<(), HolderError> {
        self.guard.hold(&self.tables.borrow().cold)
    }

    /// Forgets files whose image was removed.
    pub fn drop_removed(&self) -> Result<(), HydrateError> {
        let shared = &mut *self.tables.borrow_mut();
        if !shared.cold.has_removed() {
            return Ok(());
        }
        let left = leave_removed(&shared.contents, &mut shared.entries, &mut shared.cold);
        let left = left.map_err(PullError::from)?;
        shared.cold.expect(left);
        self.guard.open_to_others(shared.cold.take_given_up());
        if left == 0 {
            // If it was told already, that is enough.
            let _ = self.removed.0.try_send(());
        }
        Ok(())
    }

    fn with_tables<T>(&self, work: impl FnOnce(&mut Tables<'_>) -> T) -> T {
        let shared = &mut *self.tables.borrow_mut();
        let done = work(&mut Tables {
            contents: &shared.contents,
            entries: &mut shared.entries,
            layers: &mut shared.layers,
            bases: &shared.bases,
            files: Files::Standing { cold: &mut shared.cold, relied: true },
        });
        let filled = shared.cold.take_filled_bytes();
        let mut progress = self.progress.borrow_mut();
        progress.hydrated_bytes += filled;
        progress.cold_bytes = progress.cold_bytes.saturating_sub(filled);
        self.guard.open_to_others(shared.cold.take_given_up());
        done
    }

    /// The body of a request for this part.
    fn request(&self, part: Part, digests: &[u8], urgent: bool) -> Result<Vec<u8>, PullError> {
        let ask = Ask {
            wanted: &self.wanted,
            // Contents by digest may be anywhere in the images.
            held: if part == Part::Contents { &[] } else { &self.journal.held },
            max_bytes: None,
            hydration: Purposes {
                deployment: self.journal.deployment,
                cold_files: self.guard.most(),
                urgent,
                class: self.guard.class(),
            },
            digests,
            patches: self.patches.get(),
        };
        ask.encode(Purpose::Deliver, part)
    }

    /// Whether this is why something failed. From then on nothing is asked for by the plan.
    fn plan_is_unknown(&self, error: &PullError) -> bool {
        let is = error.plan_is_unknown();
        let news = is && !self.by_digest.get();
        self.by_digest.set(is || self.by_digest.get());
        news
    }

    fn trouble(&self, error: Option<&PullError>) {
        let said = error.map(|error| sentence(error));
        self.progress.borrow_mut().trouble = said;
    }
}
