//! Refusals: how errors become the protocol's failures, a code for programs and one sentence for
//! people with the whole chain of causes.

use crate::causes::chain;
use crate::packs::cut::PackError;
use crate::plan::PlanError;
use axum::body::Bytes;
use skiff_protocol::frame::Kind;
use skiff_protocol::response::{Failure, FailureCode};
use std::error::Error;

/// Most bytes of a message; causes can quote what a registry says.
const MAX_MESSAGE: usize = 2048;

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// For programs.
    pub code: FailureCode,
    /// For people.
    pub message: String,
}

impl Refusal {
    /// A refusal with this sentence.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A refusal that says the error and all its causes.
    pub fn because(code: FailureCode, error: &dyn Error) -> Self {
        Self::new(code, chain(error))
    }

    /// A refusal for what should not happen.
    pub fn internal(error: &dyn Error) -> Self {
        Self::because(FailureCode::Internal, error)
    }

    /// A refusal because of the plan.
    pub fn plan(error: &PlanError) -> Self {
        let code = match error {
            PlanError::Entry { .. } => FailureCode::BadImage,
            PlanError::TooMany { .. } => FailureCode::BadRequest,
            PlanError::Memory(_) => FailureCode::Internal,
        };
        Self::because(code, error)
    }

    /// A refusal because of a pack. Contents were read and checked at ingest, so what fails now is
    /// the way to them.
    pub fn pack(error: &PackError) -> Self {
        let code = match error {
            PackError::Read { .. } => FailureCode::RegistryUnavailable,
            PackError::Cache(_) | PackError::Memory(_) | PackError::Encoder(_) => {
                FailureCode::Internal
            }
        };
        Self::because(code, error)
    }

    /// The frame that ends the answer.
    pub fn frame(&self) -> Result<Bytes, skiff_protocol::Error> {
        let mut end = self.message.len().min(MAX_MESSAGE);
        while !self.message.is_char_boundary(end) {
            end -= 1;
        }
        let failure = Failure { code: self.code, message: &self.message[..end] };
        super::frames::message(Kind::Failure, &failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skiff_protocol::frame::HEADER_LEN;
    use skiff_protocol::response::decode;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let refusal = Refusal::new(FailureCode::Internal, "é".repeat(5000) + "x");
        let frame = refusal.frame().unwrap();
        let failure: Failure<'_> = decode(&frame[HEADER_LEN..]).unwrap();
        assert_eq!(failure.message, "é".repeat(MAX_MESSAGE / 2));
    }
}
