//! Which platforms are ingested ahead: those that `--platform` says, and no others. Where it says none,
//! those that devices got images for since the start, and before the first of them this machine's own.

use crate::asked::Asked;
use crate::registry::platform::Platform;

/// The platforms of interest.
#[derive(Debug)]
pub struct Platforms {
    said: Vec<Platform>,
    own: Platform,
}

impl Platforms {
    /// Those that were said, and this machine's.
    pub fn new(said: Vec<Platform>, own: Platform) -> Self {
        Self { said, own }
    }

    /// Those to ingest for now.
    pub(super) fn now(&self, asked: &Asked) -> Vec<Platform> {
        if !self.said.is_empty() {
            return self.said.clone();
        }
        let asked = asked.all();
        if asked.is_empty() { vec![self.own.clone()] } else { asked }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn said_or_asked_or_own() {
        let [own, arm, amd] = ["linux/riscv64", "linux/arm/v7", "linux/amd64"]
            .map(|text| text.parse::<Platform>().unwrap());
        let asked = Asked::default();
        let open = Platforms::new(Vec::new(), own.clone());
        let said = Platforms::new(vec![amd.clone()], own.clone());
        assert_eq!(open.now(&asked), [own]);
        asked.note(&arm);
        asked.note(&arm);
        assert_eq!(open.now(&asked), std::slice::from_ref(&arm));
        asked.note(&amd);
        assert_eq!(open.now(&asked), [arm, amd.clone()]);
        assert_eq!(said.now(&asked), [amd]);
    }
}
