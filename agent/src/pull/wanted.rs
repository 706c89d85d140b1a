//! What is wanted, and whether the images that come are that.
//!
//! Images come as they were asked for. Those of an application are named by the accelerator, so their
//! references are looked at before they become names of image records.

use super::PullError;
use crate::applications::Name;
use crate::target::is_previous;
use serde::{Deserialize, Serialize};
use skiff_protocol::limits::{MAX_REFERENCE, MAX_WANTED};

/// What to bring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// Images, by their references, at least one.
    Images(Vec<String>),
    /// An application, by its name.
    Application(Name),
}

impl Wanted {
    /// What it is called, a line each.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Images(images) => images.clone(),
            Self::Application(name) => vec![format!("application {}", name.as_str())],
        }
    }

    /// Checks the reference of the next image against what was asked and those `before` it.
    pub fn check_next<'a>(
        &self,
        reference: &str,
        mut before: impl ExactSizeIterator<Item = &'a str>,
    ) -> Result<(), PullError> {
        match self {
            Self::Images(asked) => {
                if asked.get(before.len()).is_none_or(|asked| asked != reference) {
                    return Err(PullError::unexpected("an image that was not asked for"));
                }
            }
            Self::Application(_) => {
                if before.len() >= MAX_WANTED {
                    return Err(PullError::unexpected("more than 32 images in an application"));
                }
                if !is_reference(reference) {
                    return Err(PullError::unexpected("an image with a reference that is none"));
                }
                if before.any(|other| other == reference) {
                    return Err(PullError::unexpected("one image twice"));
                }
            }
        }
        Ok(())
    }

    /// Checks the number of images at their end.
    pub fn check_count(&self, count: usize) -> Result<(), PullError> {
        let right = match self {
            Self::Images(asked) => count == asked.len(),
            Self::Application(_) => count > 0,
        };
        if right { Ok(()) } else { Err(PullError::unexpected("fewer images than were asked for")) }
    }
}

/// Whether this can be `[HOST[:PORT]/]REPOSITORY[:TAG][@DIGEST]`: the characters are right, and the
/// name can't be mistaken for one that skiff or containerd gives to records of other kinds.
fn is_reference(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@[]+".contains(&byte);
    let begins =
        text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'[');
    begins
        && text.len() <= MAX_REFERENCE
        && text.bytes().all(allowed)
        && text.split('/').all(|part| !part.is_empty())
        && !text.starts_with("sha256:")
        && !is_previous(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_that_an_accelerator_may_name() {
        let digest = format!("repo@sha256:{}", "ab".repeat(32));
        for good in ["redis", "redis:7", "library/redis", "host.example:5000/a/b:v1.2_3-x", &digest]
        {
            assert!(is_reference(good), "{good}");
        }
        let long = "a".repeat(513);
        let bad = [
            "",
            "a b",
            "a\nb",
            "/a",
            "a//b",
            "a/",
            "-a",
            "skiff.previous/shop/a",
            "sha256:ab",
            "ä",
            &long,
        ];
        for bad in bad {
            assert!(!is_reference(bad), "{bad:?}");
        }
    }

    #[test]
    fn images_are_those_that_were_asked_for() {
        let images = Wanted::Images(vec!["a".to_owned(), "b".to_owned()]);
        assert!(images.check_next("a", [].into_iter()).is_ok());
        assert!(images.check_next("c", ["a"].into_iter()).is_err());
        assert!(images.check_next("b", ["a", "b"].into_iter()).is_err());
        assert!(images.check_count(2).is_ok() && images.check_count(1).is_err());

        let application = Wanted::Application(Name::parse("shop").unwrap());
        assert!(application.check_next("x", ["a"].into_iter()).is_ok());
        assert!(application.check_next("a", ["a"].into_iter()).is_err());
        assert!(application.check_next("a b", [].into_iter()).is_err());
        let many = ["a"; MAX_WANTED];
        assert!(application.check_next("b", many[1..].iter().copied()).is_ok());
        assert!(application.check_next("b", many.into_iter()).is_err());
        assert!(application.check_count(1).is_ok() && application.check_count(0).is_err());
    }
}
