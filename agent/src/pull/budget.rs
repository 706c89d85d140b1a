//! What a pull may cost, and how often it goes on after a failure that may pass.

use super::{PullError, PullTrouble};
use crate::exit::sentence;
use crate::http::PATIENCE;
use crate::pause::Pause;
use crate::report::Report;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// The longest pause between two tries.
const LONGEST: Duration = Duration::from_secs(30);

/// Bounds that the user sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Refuse to receive more bytes than this.
    pub max_bytes: Option<u64>,
    /// Give up after so many seconds.
    pub max_seconds: Option<u32>,
    /// Give up after so many tries in a row that bring nothing.
    pub tries: Option<u32>,
    /// Receive no more bytes per second than this.
    pub rate: Option<u64>,
    /// Refuse what does not build on what is on the device.
    pub only_delta: bool,
}

impl Budget {
    /// How long to bear silence, if that is less than usual: nobody waits longer than all of it may take.
    pub fn patience(&self) -> Option<Duration> {
        let all = Duration::from_secs(self.max_seconds?.max(1).into());
        (all < PATIENCE).then_some(all)
    }
}

/// Tries of one pull.
#[derive(Debug)]
pub struct Tries {
    most: Option<u32>,
    failed: u32,
    until: Option<Instant>,
    pause: Pause,
}

impl Tries {
    /// None yet, from now on.
    pub fn new(budget: &Budget) -> Self {
        let until =
            budget.max_seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds.into()));
        Self { most: budget.tries, failed: 0, until, pause: Pause::new(LONGEST) }
    }

    /// Waits before the next try. If that can't help, or there are no more tries, the failure stands.
    pub async fn after(&mut self, error: PullError, report: &mut Report) -> Result<(), PullError> {
        self.failed += 1;
        let may_help = error.may_pass() || error.plan_is_unknown();
        if !may_help || self.most.is_some_and(|most| self.failed >= most) {
            return Err(error);
        }
        let pause = self.pause.grow();
        if self.until.is_some_and(|until| Instant::now() + pause >= until) {
            return Err(error);
        }
        report.waiting(&sentence(&error), pause);
        smol::Timer::after(pause).await;
        Ok(())
    }

    /// Something came.
    pub fn came(&mut self) {
        self.failed = 0;
        self.pause.over();
    }

    /// Fails when the time is over.
    pub fn check_time(&self) -> Result<(), PullError> {
        match self.until {
            Some(until) if Instant::now() >= until => Err(PullTrouble::OutOfTime.into()),
            _ => Ok(()),
        }
    }
}
