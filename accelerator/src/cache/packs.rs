//! Packs in a cache: the frames as they are sent, and behind them their form.

use super::{Cache, sealed};
use crate::packs::cut::PackError;
use crate::packs::framed::{Form, Pack};
use skiff_protocol::Digest;

/// Bytes that a pack has in the cache beside its frames.
pub(crate) const BESIDE: usize = sealed::SEAL + 1;

/// Bits of a form.
const SCRIPT: u8 = 1;
const QUICK: u8 = 2;

/// A pack from the cache. A damaged one is none.
pub(crate) fn cached(packs: &Cache, key: Digest) -> Result<Option<Pack>, PackError> {
    let bytes = sealed::get(packs, key).map_err(|error| PackError::Cache(error.into()))?;
    Ok(bytes.and_then(|bytes| {
        let (bits, frames) = bytes.split_last()?;
        let form = Form { is_script: bits & SCRIPT != 0, is_quick: bits & QUICK != 0 };
        let len = frames.len();
        Some(Pack::of_frames(bytes.cut(0, len), form))
    }))
}

/// Puts a pack in the cache, if it has room at all.
pub(crate) fn keep(packs: &Cache, key: Digest, pack: &Pack) -> Result<(), PackError> {
    let Form { is_script, is_quick } = pack.form();
    let bits = (u8::from(is_script) * SCRIPT) | (u8::from(is_quick) * QUICK);
    let pieces = [pack.as_ref(), &[bits]];
    sealed::put(packs, key, &pieces).map_err(|error| PackError::Cache(error.into()))
}
