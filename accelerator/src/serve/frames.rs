//! Frames of an answer, as bytes that the response body takes.

use crate::packs::framed::slice;
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
    slice(Kind::Metadata, stream, |slice| bytes.extend_from_slice(slice))?;
    Ok(bytes.into())
}

/// The frame before a pack's data: pack `number` holds `len` content bytes.
pub fn pack_head(number: u32, codec: Codec, len: u32, encoded_len: u64) -> Result<Bytes, Error> {
    let encoded_len = u32::try_from(encoded_len).map_err(|_| Error::Malformed)?;
    message(Kind::Pack, &Pack { number, codec, len, encoded_len })
}

fn push(bytes: &mut Vec<u8>, kind: Kind, payload: &[u8]) -> Result<(), Error> {
    bytes.extend_from_slice(&Header::new(kind, payload)?.to_bytes());
    bytes.extend_from_slice(payload);
    Ok(())
}
