//! The thread that carries one direction's packets.

use super::direction::{Counts, Direction};
use super::model::Model;
use super::tun::Tun;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::thread::gettid;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Packets that are read before it is looked whether one has arrived.
const BATCH: usize = 64;
/// Longest packet: the interfaces' MTU, and more.
const LONGEST: usize = 2048;

/// A running thread; it ends when this is dropped.
#[derive(Debug)]
pub struct Pump {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    direction: Mutex<Direction>,
    cut: AtomicBool,
    stop: AtomicBool,
    /// Wakes the thread.
    wake: OwnedFd,
}

impl Pump {
    /// Carries packets from one interface to the other.
    pub fn start(from: Tun, to: Tun, model: Model) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            direction: Mutex::new(Direction::new(model)),
            cut: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        });
        let theirs = Arc::clone(&shared);
        let name = "linkem".to_owned();
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            if model.rate.is_some() {
                before_others();
            }
            theirs.carry(&from, &to);
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Cuts, or mends.
    pub fn set_cut(&self, cut: bool) {
        self.shared.cut.store(cut, Ordering::SeqCst);
        if cut {
            self.shared.lock().lose_all();
        }
    }

    /// What was carried so far.
    pub fn counts(&self) -> Counts {
        self.shared.lock().counts()
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = rustix::io::write(&self.shared.wake, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Direction> {
        self.direction.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carry(&self, from: &Tun, to: &Tun) {
        let (clock, mut packet) = (Instant::now(), [0; LONGEST]);
        while !self.stop.load(Ordering::SeqCst) {
            let mut direction = self.lock();
            while let Some(arrived) = direction.arrive(clock.elapsed()) {
                // An interface without room loses it, as any would.
                let _ = rustix::io::write(to, &arrived);
            }
            let mut idle = false;
            for _ in 0..BATCH {
                let Ok(length) = rustix::io::read(from, &mut packet) else {
                    idle = true;
                    break;
                };
                let cut = self.cut.load(Ordering::SeqCst);
                direction.send(clock.elapsed(), &packet[..length], cut);
            }
            let next = direction.next();
            drop(direction);
            if idle {
                self.wait(from, next.map(|at| at.saturating_sub(clock.elapsed())));
            }
        }
    }

    fn wait(&self, from: &Tun, time: Option<Duration>) {
        let mut fds = [PollFd::new(from, PollFlags::IN), PollFd::new(&self.wake, PollFlags::IN)];
        let time = time.and_then(|time| Timespec::try_from(time).ok());
        let _ = poll(&mut fds, time.as_ref());
    }
}

/// Lets this thread run before ordinary ones, so that a busy machine does not make packets late. Where that is
/// not allowed, [`Counts::late`] shows what it costs.
fn before_others() {
    let thread = gettid().as_raw_nonzero().to_string();
    let mut command = Command::new("chrt");
    command.args(["--fifo", "--pid", "1", &thread]).stdout(Stdio::null()).stderr(Stdio::null());
    let _ = command.status();
}
