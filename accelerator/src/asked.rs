//! The platforms that devices got images for since the start: what to read ahead for.

use crate::registry::platform::Platform;
use std::sync::{Mutex, PoisonError};

/// Most platforms that are remembered: a device can claim any.
const MOST: usize = 16;

/// The platforms that devices got images for since the start.
#[derive(Debug, Default)]
pub struct Asked(Mutex<Vec<Platform>>);

impl Asked {
    /// A device got an image for this platform.
    pub fn note(&self, platform: &Platform) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < MOST && !known.contains(platform) {
            known.push(platform.clone());
        }
    }

    /// All of them, in the order in which they came.
    pub fn all(&self) -> Vec<Platform> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_once_and_not_too_many() {
        let asked = Asked::default();
        let of = |number| Platform::new("linux", &format!("cpu{number}"), "");
        for number in 0..100 {
            asked.note(&of(number));
            asked.note(&of(0));
        }
        assert_eq!(asked.all(), (0..MOST).map(of).collect::<Vec<_>>());
    }
}
