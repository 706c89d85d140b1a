//! Frames of an answer, as bytes that the response body takes.

use axum::body::Bytes;
use serde::Serialize;
use skiff_protocol::Error;
use skiff_protocol::frame::{HEADER_LEN, Header, Kind};
use skiff_protocol::limits::MAX_PAYLOAD;
use skiff_protocol::response::{self, Codec, Pack};

/// A frame whose payload is a message.
pub fn message<M: Serialize>(kind: Kind, message: &M) -> Result<Bytes, Error> {
    let mut payload = vec![0; MAX_PAYLOAD];
    let payload = response::encode(message, &mut payload)?;
    let mut bytes = Vec::with_capacity(HEADER_LEN + payload.len());
    push(&mut bytes, kind, payload)?;
    Ok(bytes.into())
}

/// A frame without a payload.
pub fn empty(kind: Kind) -> Result<Bytes, Error> {
    let mut bytes = Vec::new();
    push(&mut bytes, kind, &[])?;
    Ok(bytes.into())
}

/// A stretch of the metadata stream, as frames.
pub fn metadata(stream: &[u8]) -> Result<Bytes, Error> {
    let mut bytes = Vec::with_capacity(stream.len() + HEADER_LEN);
    slices(&mut bytes, Kind::Metadata, stream)?;
    Ok(bytes.into())
}

/// Pack `number`, which holds `len` content bytes, as frames.
pub fn pack(number: u32, len: u32, encoded: &[u8]) -> Result<Bytes, Error> {
    let head = head(number, len, encoded.len())?;
    let mut bytes = Vec::with_capacity(encoded.len() + HEADER_LEN * 64);
    bytes.extend_from_slice(&message(Kind::Pack, &head)?);
    slices(&mut bytes, Kind::PackData, encoded)?;
    Ok(bytes.into())
}

/// Bytes of [`pack`] for a pack of this many encoded bytes.
pub fn pack_len(number: u32, len: u32, encoded_len: usize) -> Result<u64, Error> {
    let head = message(Kind::Pack, &head(number, len, encoded_len)?)?;
    Ok(head.len() as u64 + sliced_len(encoded_len))
}

/// Bytes of a stream that is cut into frames.
pub fn sliced_len(len: usize) -> u64 {
    (len + len.div_ceil(MAX_PAYLOAD) * HEADER_LEN) as u64
}

fn head(number: u32, len: u32, encoded_len: usize) -> Result<Pack, Error> {
    let encoded_len = u32::try_from(encoded_len).map_err(|_| Error::Malformed)?;
    Ok(Pack { number, codec: Codec::Deflate, len, encoded_len })
}

fn slices(bytes: &mut Vec<u8>, kind: Kind, stream: &[u8]) -> Result<(), Error> {
    stream.chunks(MAX_PAYLOAD).try_for_each(|slice| push(bytes, kind, slice))
}

fn push(bytes: &mut Vec<u8>, kind: Kind, payload: &[u8]) -> Result<(), Error> {
    bytes.extend_from_slice(&Header::new(kind, payload)?.to_bytes());
    bytes.extend_from_slice(payload);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_foretold() {
        for len in [0, 1, 127, MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 1_050_000] {
            let bytes = vec![7; len];
            assert_eq!(metadata(&bytes).unwrap().len() as u64, sliced_len(len), "{len}");
            for number in [0, 200, u32::MAX] {
                let told = pack_len(number, 1 << 20, len).unwrap();
                assert_eq!(pack(number, 1 << 20, &bytes).unwrap().len() as u64, told, "{len}");
            }
        }
    }
}
