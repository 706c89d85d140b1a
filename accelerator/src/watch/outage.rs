//! Says what goes wrong once, and not again until it went well.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether something goes wrong.
#[derive(Debug, Default)]
pub(super) struct Outage(AtomicBool);

impl Outage {
    /// It went wrong; whether that is new.
    pub(super) fn begins(&self) -> bool {
        !self.0.swap(true, Relaxed)
    }

    /// It went well; whether that is new.
    pub(super) fn ends(&self) -> bool {
        self.0.swap(false, Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_each() {
        let outage = Outage::default();
        assert!(!outage.ends());
        assert!(outage.begins());
        assert!(!outage.begins());
        assert!(outage.ends());
        assert!(!outage.ends());
        assert!(outage.begins());
    }
}
