//! Errors as people read them: with all their causes.

use std::error::Error;

/// An error and its causes, joined by colons, on one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packs::cut::PackError;

    #[test]
    fn the_chain_is_one_line() {
        let source = std::io::Error::other("line one\nline two").into();
        let error = PackError::Cache(source);
        assert_eq!(chain(&error), "the pack cache fails: line one line two");
    }
}
