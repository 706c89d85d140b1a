//! Files in a cache with a checksum behind them, since disks are not to be trusted, and nobody waits for them to be on one.

use super::Cache;
use crate::mapped::Mapped;
use skiff_protocol::Digest;
use std::fs::File;
use std::io::{self, Read as _, Write as _};

/// Bytes of the checksum behind a cached file, a CRC-32.
pub(crate) const SEAL: usize = 4;

/// What the cache has under this key, to be read. A damaged file is none.
pub(crate) fn get(cache: &Cache, key: Digest) -> io::Result<Option<Mapped>> {
    let Some(mut file) = cache.get(&key.hex().to_string()) else { return Ok(None) };
    let len = file.metadata()?.len();
    let mut bytes = Mapped::zeroed(usize::try_from(len).unwrap_or(0))?;
    file.read_exact(&mut bytes)?;
    let len = unsealed(&bytes).map(<[u8]>::len);
    Ok(len.map(|len| bytes.cut(0, len)))
}

/// Puts these pieces, one behind the other, in the cache, if it has room for them at all.
pub(crate) fn put(cache: &Cache, key: Digest, pieces: &[&[u8]]) -> io::Result<()> {
    if cache.most() < pieces.iter().map(|piece| piece.len() as u64).sum() {
        return Ok(());
    }
    let temporary = cache.temporary();
    let mut file = File::create(&temporary)?;
    let mut seal = crc32fast::Hasher::new();
    for piece in pieces {
        file.write_all(piece)?;
        seal.update(piece);
    }
    file.write_all(&seal.finalize().to_le_bytes())?;
    cache.take_in(&temporary, &key.hex().to_string()).map(drop)
}

/// What was put in a cached file, if that is what was written.
fn unsealed(bytes: &[u8]) -> Option<&[u8]> {
    let (bytes, sealed) = bytes.split_last_chunk::<SEAL>()?;
    (crc32fast::hash(bytes).to_le_bytes() == *sealed).then_some(bytes)
}
