//! Packs in a cache: the frames as they are sent, and behind them whether they encode a script.

use super::{Cache, sealed};
use crate::packs::cut::PackError;
use crate::packs::framed::Pack;
use skiff_protocol::Digest;

/// Bytes that a pack has in the cache beside its frames.
pub(crate) const BESIDE: usize = sealed::SEAL + 1;

/// A pack from the cache. A damaged one is none.
pub(crate) fn cached(packs: &Cache, key: Digest) -> Result<Option<Pack>, PackError> {
    let bytes = sealed::get(packs, key).map_err(|error| PackError::Cache(error.into()))?;
    Ok(bytes.and_then(|bytes| {
        let (is_script, frames) = bytes.split_last()?;
        let (is_script, len) = (*is_script != 0, frames.len());
        Some(Pack::of_frames(bytes.cut(0, len), is_script))
    }))
}

/// Puts a pack in the cache, if it has room at all.
pub(crate) fn keep(packs: &Cache, key: Digest, pack: &Pack) -> Result<(), PackError> {
    let pieces = [pack.as_ref(), &[u8::from(pack.is_script())]];
    sealed::put(packs, key, &pieces).map_err(|error| PackError::Cache(error.into()))
}
