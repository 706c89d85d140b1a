//! Whether a table of contents is signed: of an answer's metadata, before anything is committed or relied on.
//!
//! Entries stand by then in snapshots that nobody sees; where no signature is right they are removed. What comes later, whatever
//! asks for it, are contents, and each is compared with its digest in the table.

use super::answer::{Answer, decode};
use super::deployment::Deployment;
use super::{Context, PullError, PullTrouble};
use crate::decode::Decoder;
use crate::http::PublicKey;
use crate::sha256::Sha256;
use skiff_protocol::Digest;
use skiff_protocol::frame::Kind;
use skiff_protocol::limits::MAX_SIGNATURES;
use skiff_protocol::response::Signature;
use skiff_protocol::signed;

/// Takes the metadata of an answer, and their signature if there are keys.
pub(super) async fn take_metadata(
    context: &mut Context<'_>,
    deployment: &mut Deployment,
    answer: &mut Answer,
    decoder: &mut Decoder,
) -> Result<(), PullError> {
    let hash = (!context.keys.is_empty()).then(Sha256::new);
    let (target, held) = (&mut *context.target, &context.held);
    match deployment.take_metadata(answer, decoder, hash, target, held).await? {
        Some(metadata) => verify(answer, &context.keys, metadata).await,
        None => Ok(()),
    }
}

/// Reads the signatures behind the metadata, which have this SHA-256, until one is right.
async fn verify(
    answer: &mut Answer,
    keys: &[PublicKey],
    metadata: Digest,
) -> Result<(), PullError> {
    let message = signed::message(&answer.request(), &metadata);
    let mut reason = "it is not signed; does the accelerator have a key (--sign-key)?".to_owned();
    for _ in 0..MAX_SIGNATURES {
        let frame = answer.frame().await?;
        if frame.kind != Kind::Signature {
            break;
        }
        let signature: Signature = decode(frame.payload)?;
        let id = signature.key;
        match keys.iter().find(|key| key.id() == id) {
            Some(key) if key.has_signed(&message, &signature) => return Ok(()),
            Some(_) => {
                reason = format!(
                    "the signature of {id} is not right; something has changed it on the way"
                );
            }
            None => {
                reason = format!("it is signed by {id}, which is none of the keys that are given")
            }
        }
    }
    Err(PullTrouble::Unsigned { url: answer.url().to_owned(), reason }.into())
}
