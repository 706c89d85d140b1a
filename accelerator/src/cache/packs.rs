//! Packs in a cache: the frames as they are sent, and a checksum behind them.

use super::Cache;
use crate::mapped::Mapped;
use crate::packs::cut::PackError;
use crate::packs::framed::Pack;
use skiff_protocol::Digest;
use std::fs::File;
use std::io::{Read as _, Write as _};

/// A pack from the cache. A damaged one is none.
pub(crate) fn cached(packs: &Cache, key: Digest) -> Result<Option<Pack>, PackError> {
    let failed = |error: std::io::Error| PackError::Cache(error.into());
    let Some(mut file) = packs.get(&key.hex().to_string()) else { return Ok(None) };
    let len = file.metadata().map_err(failed)?.len();
    let mut bytes = Mapped::zeroed(usize::try_from(len).unwrap_or(0)).map_err(failed)?;
    file.read_exact(&mut bytes).map_err(failed)?;
    let len = unsealed(&bytes).map(<[u8]>::len);
    Ok(len.map(|len| Pack::of_frames(bytes.cut(0, len))))
}

/// Puts a pack in the cache, if it has room at all.
pub(crate) fn keep(packs: &Cache, key: Digest, pack: &Pack) -> Result<(), PackError> {
    let pack = pack.as_ref();
    if packs.most() < pack.len() as u64 {
        return Ok(());
    }
    let failed = |error: std::io::Error| PackError::Cache(error.into());
    let temporary = packs.temporary();
    let mut file = File::create(&temporary).map_err(failed)?;
    file.write_all(pack).and_then(|()| file.write_all(&seal(pack))).map_err(failed)?;
    packs.take_in(&temporary, &key.hex().to_string()).map(drop).map_err(failed)
}

/// Bytes of the checksum behind a cached pack.
pub(crate) const SEAL: usize = 4;

/// What lies behind a pack in the cache: its CRC-32, since disks are not to be trusted.
fn seal(pack: &[u8]) -> [u8; SEAL] {
    crc32fast::hash(pack).to_le_bytes()
}

/// The pack in a cached file, if it is what was written.
fn unsealed(bytes: &[u8]) -> Option<&[u8]> {
    let (pack, sealed) = bytes.split_last_chunk::<SEAL>()?;
    (seal(pack) == *sealed).then_some(pack)
}
