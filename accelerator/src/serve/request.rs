//! The checks of a request that need nothing but the request.

use super::refusal::Refusal;
use skiff_protocol::Version;
use skiff_protocol::limits::MAX_REFERENCE;
use skiff_protocol::request::{Codecs, DeployRequest, Want, are_digests, is_class};
use skiff_protocol::response::FailureCode;

/// Reads a request, and the version in which to answer.
pub(crate) fn parse(body: &[u8]) -> Result<(DeployRequest<'_>, Version), Refusal> {
    let bad = |what: &str| Refusal::new(FailureCode::BadRequest, what);
    let theirs = DeployRequest::version(body)
        .map_err(|_| bad("the request does not begin with a version; is it an agent's?"))?;
    let ours = Version::CURRENT;
    if theirs.major != ours.major {
        let older = if theirs.major < ours.major { "agent" } else { "accelerator" };
        return Err(Refusal::new(
            FailureCode::Version,
            format!(
                "the agent speaks version {}.{} of the protocol and the accelerator {}.{}; \
                 update the {older}",
                theirs.major, theirs.minor, ours.major, ours.minor
            ),
        ));
    }
    let request = DeployRequest::decode(body)
        .map_err(|_| bad("the request does not decode; update the agent or the accelerator"))?;
    if !request.codecs.contains(Codecs::DEFLATE) {
        return Err(bad("the agent does not offer deflate, which every agent has to decode"));
    }
    let wanted: &[&str] = match &request.want {
        Want::Images(images) if images.is_empty() => {
            return Err(bad("the request asks for no image; name at least one"));
        }
        Want::Images(images) => images,
        Want::Application(_) => &[],
        _ => return Err(bad("the request asks for something unknown; update the accelerator")),
    };
    let held = request.held.iter().map(|held| held.reference);
    if wanted.iter().copied().chain(held).any(|reference| reference.len() > MAX_REFERENCE) {
        return Err(bad("an image reference in the request is longer than 512 bytes"));
    }
    if request.held.iter().any(|held| held.depth == 0) {
        return Err(bad("a held image has no layers, which can't be"));
    }
    if !is_class(request.hydration.class) {
        return Err(bad("the device's class is not at most 64 letters, digits, `.`, `_` and `-`"));
    }
    if !are_digests(request.digests) {
        return Err(bad("the request's digests are not at most 1024 of 32 bytes each"));
    }
    let version = theirs.min(ours);
    Ok((request, version))
}
