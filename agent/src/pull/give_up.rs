//! A pull that nobody waits for any more.
//!
//! Who presses Ctrl-C wants a pull to end, whichever process does it. What came is kept, as it is after a `kill`: the next pull
//! takes it over. From the moment when something becomes visible it is too late, and the pull goes on to its end.

use super::{PullError, PullTrouble};
use smol::channel::{Receiver, Sender, bounded};
use std::cell::Cell;
use std::future::{Future, pending};
use std::rc::Rc;

/// Whether a pull is to end before it is done.
#[derive(Debug, Clone)]
pub struct GiveUp {
    /// Closed when it is. None if nobody can say so.
    asked: Option<Receiver<()>>,
    too_late: Rc<Cell<bool>>,
}

impl GiveUp {
    /// Nobody will.
    pub fn never() -> Self {
        Self { asked: None, too_late: Rc::default() }
    }

    /// When the first one is dropped, who has the second one gives up.
    pub fn pair() -> (Sender<()>, Self) {
        let (asker, asked) = bounded(1);
        (asker, Self { asked: Some(asked), too_late: Rc::default() })
    }

    /// What follows is not taken back.
    pub(super) fn is_too_late(&self) {
        self.too_late.set(true);
    }

    /// Works until it is done, or given up.
    pub(super) async fn or<T>(
        &self,
        work: impl Future<Output = Result<T, PullError>>,
    ) -> Result<T, PullError> {
        let given_up = async {
            match &self.asked {
                // Nothing is ever sent: it is closed.
                Some(asked) => drop(asked.recv().await),
                None => pending().await,
            }
            match self.too_late.get() {
                true => pending().await,
                false => Err(PullTrouble::GivenUp.into()),
            }
        };
        smol::future::or(work, given_up).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::future::{block_on, yield_now};

    #[test]
    fn it_ends_when_it_is_asked_to_and_can() {
        let work = || async {
            yield_now().await;
            Ok(7)
        };
        assert_eq!(block_on(GiveUp::never().or(work())).unwrap(), 7);
        let (asker, give_up) = GiveUp::pair();
        assert_eq!(block_on(give_up.or(work())).unwrap(), 7);
        drop(asker);
        let done = block_on(give_up.or(work()));
        assert!(matches!(done.unwrap_err().trouble(), PullTrouble::GivenUp));
        give_up.is_too_late();
        assert_eq!(block_on(give_up.or(work())).unwrap(), 7);
    }
}
