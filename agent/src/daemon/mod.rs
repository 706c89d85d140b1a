//! `skiff daemon`: pulls lazily for `skiff pull`, and hydrates what is not there yet.
//!
//! ```text
//! start: holder's descriptors, journals ──▶ leases ──▶ ready (containerd may start)
//! then, on one thread:  signals    a cold file was opened: fetch it first
//!                       requests   of `skiff pull`, `skiff status` on STATE/daemon.sock
//!                       hydration  of each deployment (`hydrate`)
//!                       holder     if it dies, another gets all descriptors at once
//! ```
//!
//! It may be killed and started again at any time: the holder keeps the leases meanwhile, and whoever waits for a file
//! waits on. When nothing is cold, nothing depends on it.
//!
//! | module | what it does |
//! |---|---|
//! | `message` | what is asked on the socket |
//! | `client` | the other end of the socket |
//! | `requests` | answers |
//! | `status` | what is hydrated |
//! | `zeros` | files that may have been read as zeros |
//! | `processes` | who waits, who has a file open |
//! | `notify` | systemd |

mod client;
mod message;
mod notify;
mod processes;
mod requests;
mod status;
mod zeros;

pub use client::{ask, connect};
pub use message::{PullRequest, Request};
pub use zeros::forget as forget_zeros;

use crate::apply::Kept;
use crate::exit::sentence;
use crate::http::{Client, Security, SecurityOptions};
use crate::hydrate::{Guard, HydrateError, Hydration, recover};
use crate::pull::Stream;
use crate::state::{StateDir, StateError};
use crate::sys::{Signal, Signals};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use smol::net::unix::UnixListener;
use smol::{Async, LocalExecutor, Timer};
use std::cell::RefCell;
use std::fs::{self, File};
use std::path::PathBuf;
use std::rc::Rc;
use thiserror::Error;
use zeros::Zeros;

/// The daemon can't do its work, or can't be asked.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// Another one is there.
    #[error("a daemon is running already on {}", path.display())]
    Running {
        /// Its lock.
        path: PathBuf,
    },
    /// Signals can't be received.
    #[error("cannot receive signals")]
    Signals(#[source] Errno),
    /// The socket.
    #[error("cannot listen on {}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It went away while it was asked.
    #[error("the daemon went away; what it began goes on when it is back, see skiff status")]
    Lost(#[source] std::io::Error),
    /// What it was to take up.
    #[error(transparent)]
    Hydrate(#[from] HydrateError),
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
}

/// What the tasks share.
#[derive(Debug)]
struct Daemon {
    state: StateDir,
    security: Rc<Security>,
    guard: Rc<Guard>,
    hydrations: RefCell<Vec<Rc<Hydration>>>,
    zeros: RefCell<Vec<Zeros>>,
    executor: Rc<LocalExecutor<'static>>,
}

/// Runs until a signal ends it.
/// Whatever it fetches comes over connections of these options, and no faster than this.
pub fn run(
    state: StateDir,
    class: String,
    rate: Option<u64>,
    security: SecurityOptions,
) -> Result<(), DaemonError> {
    let signals = Signals::open().map_err(DaemonError::Signals)?;
    let _lock = only_one(&state)?;
    let executor = Rc::new(LocalExecutor::new());
    let security = Rc::new(Security::new(security));
    let (daemon, began) = Daemon::start(state, class, rate, security, Rc::clone(&executor))?;
    let daemon = Rc::new(daemon);
    smol::block_on(executor.run(async {
        for (hydration, client) in began {
            daemon.hydrate(hydration, None, client);
        }
        daemon.serve(signals).await
    }))
}

/// Held while this daemon lives.
fn only_one(state: &StateDir) -> Result<File, DaemonError> {
    let failed = |path: &PathBuf, e| StateError::io(path, e);
    let directory = state.path().to_owned();
    fs::create_dir_all(directory.join("pulls")).map_err(|e| failed(&directory, e))?;
    let path = directory.join("daemon.lock");
    let file = File::create(&path).map_err(|e| failed(&path, e))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(DaemonError::Running { path }),
        Err(errno) => Err(failed(&path, errno.into()).into()),
    }
}

impl Daemon {
    /// Leases everything that is cold, before anybody is told that this is ready.
    fn start(
        state: StateDir,
        class: String,
        rate: Option<u64>,
        security: Rc<Security>,
        executor: Rc<LocalExecutor<'static>>,
    ) -> Result<(Self, Vec<(Hydration, Client)>), DaemonError> {
        let external = notify::is_expected();
        let (guard, kept) =
            Guard::new(&state, external, class, rate).map_err(DaemonError::Hydrate)?;
        let guard = Rc::new(guard);
        let mut kept = Kept::new(kept);
        let mut zeros = zeros::read(state.path());
        let directories = state.hydrating()?;
        if !directories.is_empty() {
            guard.never_break()?;
        }
        let (mut began, mut all) = (Vec::new(), true);
        for directory in directories {
            let recovered =
                recover(&directory, &mut kept, &security).and_then(|(rest, unguarded)| {
                    guard.hold(&rest.cold)?;
                    zeros::add(state.path(), &unguarded, &mut zeros)?;
                    let (hydration, _, client) = Hydration::new(rest, Rc::clone(&guard))?;
                    Ok((hydration, client))
                });
            match recovered {
                Ok(recovered) => began.push(recovered),
                // The others are not to suffer from it.
                Err(error) => {
                    eprintln!("skiff: {}: {}", directory.display(), sentence(&error));
                    all = false;
                }
            }
        }
        if all {
            guard.forget(&kept.rest());
        }
        let (hydrations, zeros) = (RefCell::default(), RefCell::new(zeros));
        Ok((Self { state, security, guard, hydrations, zeros, executor }, began))
    }

    /// Begins to hydrate a deployment.
    fn hydrate(
        self: &Rc<Self>,
        hydration: Hydration,
        stream: Option<Stream>,
        client: Client,
    ) -> Rc<Hydration> {
        let hydration = Rc::new(hydration);
        self.hydrations.borrow_mut().push(Rc::clone(&hydration));
        self.count();
        let (daemon, hydrated) = (Rc::clone(self), Rc::clone(&hydration));
        let executor = Rc::clone(&self.executor);
        let hydrating = async move {
            // Whoever waits already does not ring again.
            let done = match hydrated.look() {
                Ok(()) => Rc::clone(&hydrated).run(stream, client, executor).await,
                Err(error) => Err(error),
            };
            match done {
                Ok(()) => daemon.hydrations.borrow_mut().retain(|it| !Rc::ptr_eq(it, &hydrated)),
                // Its files stay cold and guarded; the next daemon tries again.
                Err(error) => eprintln!("skiff: {}", sentence(&error)),
            }
            hydrated.close();
            daemon.count();
        };
        self.executor.spawn(hydrating).detach();
        hydration
    }

    fn cold_files(&self) -> usize {
        self.hydrations.borrow().iter().map(|hydration| hydration.progress().cold_files).sum()
    }

    /// Counts what is cold; when nothing is, the kernel's setting is put back.
    fn count(&self) {
        let cold = self.cold_files();
        self.guard.set_used(cold);
        if self.hydrations.borrow().is_empty()
            && let Err(error) = self.guard.all_warm()
        {
            eprintln!("skiff: {}", sentence(&error));
        }
        notify::notify(&format!("STATUS={cold} cold files"));
    }

    async fn serve(self: &Rc<Self>, signals: Signals) -> Result<(), DaemonError> {
        let path = self.state.daemon_socket();
        let failed = |source| DaemonError::Socket { path: path.clone(), source };
        // The lock says that nobody listens there.
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).map_err(failed)?;
        self.executor.spawn(Rc::clone(self).watch_holder()).detach();
        self.executor.spawn(Rc::clone(self).accept(listener)).detach();
        if let Some(pause) = notify::watchdog() {
            let alive = async move {
                loop {
                    notify::notify("WATCHDOG=1");
                    Timer::after(pause).await;
                }
            };
            self.executor.spawn(alive).detach();
        }
        notify::notify("READY=1");
        eprintln!("skiff: ready, {} files are cold", self.cold_files());
        self.watch_signals(signals).await?;
        notify::notify("STOPPING=1");
        let _ = fs::remove_file(&path);
        self.end();
        Ok(())
    }

    /// Until one says that this is the end.
    async fn watch_signals(&self, signals: Signals) -> Result<(), DaemonError> {
        let failed =
            |e: std::io::Error| DaemonError::Signals(Errno::from_io_error(&e).unwrap_or(Errno::IO));
        let signals = Async::new(signals).map_err(failed)?;
        loop {
            signals.readable().await.map_err(failed)?;
            match signals.get_ref().next() {
                Ok(Signal::End) => return Ok(()),
                Ok(Signal::Lease(fd)) => self.each(|hydration| hydration.opened(fd)),
                Ok(Signal::Lost) => self.each(Hydration::look),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(e) => return Err(DaemonError::Signals(e)),
            }
        }
    }

    /// Does something with each deployment. What goes wrong with one is said, and concerns no other.
    fn each(&self, act: impl Fn(&Hydration) -> Result<(), HydrateError>) {
        for hydration in self.hydrations.borrow().iter() {
            if let Err(error) = act(hydration) {
                eprintln!("skiff: {}", sentence(&error));
            }
        }
    }

    /// A holder that has died is replaced at once, and gets all descriptors.
    async fn watch_holder(self: Rc<Self>) {
        loop {
            let _ = self.guard.holder().gone().await;
            let renewed = self.guard.renew_holder().and_then(|()| {
                let hydrations = self.hydrations.borrow();
                hydrations.iter().try_for_each(|hydration| hydration.hold_again())
            });
            if let Err(error) = renewed {
                eprintln!("skiff: {}", sentence(&error));
                Timer::after(std::time::Duration::from_secs(1)).await;
            }
        }
    }

    /// With cold files the holder keeps them until the next daemon; without, nobody needs it.
    fn end(&self) {
        let cold = self.cold_files();
        if cold > 0 {
            eprintln!(
                "skiff: {cold} files are cold; whoever opens one waits until the daemon is back"
            );
        } else if !notify::is_expected() {
            self.guard.holder().quit();
        }
    }
}
