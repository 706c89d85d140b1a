//! A pack as it is sent: its encoded bytes, cut into frames. Nothing in these frames depends on
//! the plan, so that one copy, in memory or in the cache, is sent to every device as it is.

use crate::mapped::Mapped;
use bytes::Bytes;
use skiff_protocol::Error;
use skiff_protocol::frame::{HEADER_LEN, Header, Kind};
use skiff_protocol::limits::MAX_PAYLOAD;
use std::sync::{Arc, Weak};

/// What is encoded, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Form {
    /// A script, not the pack's own bytes.
    pub is_script: bool,
    /// Quickly: when there is time it is worth compressing it again ([`super::again`]).
    pub is_quick: bool,
}

/// PackData frames.
#[derive(Debug, Clone)]
pub struct Pack {
    frames: Arc<Mapped>,
    form: Form,
}

/// A pack that lives as long as somebody sends it.
#[derive(Debug)]
pub struct WeakPack {
    frames: Weak<Mapped>,
    form: Form,
}

impl Pack {
    /// Encoded bytes, in frames.
    ///
    /// # Errors
    /// The system has no memory.
    pub fn new(encoded: &[u8], form: Form) -> std::io::Result<Self> {
        let len = usize::try_from(sliced_len(encoded.len())).unwrap_or(usize::MAX);
        let mut frames = Mapped::zeroed(len)?;
        let mut rest = &mut frames[..];
        slice(Kind::PackData, encoded, |bytes| {
            let (to, behind) = std::mem::take(&mut rest).split_at_mut(bytes.len());
            to.copy_from_slice(bytes);
            rest = behind;
        })
        .map_err(std::io::Error::other)?;
        Ok(Self::of_frames(frames, form))
    }

    /// From what [`frames`](Self::frames) gave.
    pub fn of_frames(frames: Mapped, form: Form) -> Self {
        Self { frames: Arc::new(frames), form }
    }

    /// What is encoded, and how.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The same frames, for which another form is said.
    pub fn with_form(self, form: Form) -> Self {
        Self { form, ..self }
    }

    /// The frames, without a copy.
    pub fn frames(&self) -> Bytes {
        Bytes::from_owner(self.clone())
    }

    /// What the frames carry.
    ///
    /// # Errors
    /// The system has no memory.
    pub fn encoded(&self) -> std::io::Result<Mapped> {
        let len = usize::try_from(self.encoded_len()).unwrap_or(usize::MAX);
        let mut encoded = Mapped::zeroed(len)?;
        let frames = self.frames.chunks(HEADER_LEN + MAX_PAYLOAD);
        for (to, frame) in encoded.chunks_mut(MAX_PAYLOAD).zip(frames) {
            to.copy_from_slice(&frame[HEADER_LEN..]);
        }
        Ok(encoded)
    }

    /// Bytes without the frames' headers.
    pub fn encoded_len(&self) -> u64 {
        encoded_len(self.frames.len() as u64)
    }

    /// A reference that does not keep it.
    pub fn downgrade(&self) -> WeakPack {
        WeakPack { frames: Arc::downgrade(&self.frames), form: self.form }
    }
}

impl WeakPack {
    /// The pack, if it is there still.
    pub fn upgrade(&self) -> Option<Pack> {
        Some(Pack { frames: self.frames.upgrade()?, form: self.form })
    }

    /// Whether it is there still.
    pub fn is_alive(&self) -> bool {
        self.frames.strong_count() > 0
    }
}

impl AsRef<[u8]> for Pack {
    fn as_ref(&self) -> &[u8] {
        &self.frames
    }
}

/// Gives the frames of a stream, header and payload in turn.
pub(crate) fn slice(kind: Kind, stream: &[u8], mut push: impl FnMut(&[u8])) -> Result<(), Error> {
    for payload in stream.chunks(MAX_PAYLOAD) {
        push(&Header::new(kind, payload)?.to_bytes());
        push(payload);
    }
    Ok(())
}

/// Bytes of a stream that is cut into frames.
pub fn sliced_len(len: usize) -> u64 {
    (len + len.div_ceil(MAX_PAYLOAD) * HEADER_LEN) as u64
}

/// Bytes of a stream whose frames have so many.
pub fn encoded_len(framed: u64) -> u64 {
    let whole = (HEADER_LEN + MAX_PAYLOAD) as u64;
    let rest = (framed % whole).saturating_sub(HEADER_LEN as u64);
    framed / whole * MAX_PAYLOAD as u64 + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_lead_to_each_other() {
        for len in [0, 1, MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 1_050_000] {
            assert_eq!(encoded_len(sliced_len(len)), len as u64, "{len}");
            let bytes = vec![7; len];
            let pack = Pack::new(&bytes, Form::default()).unwrap();
            assert_eq!(pack.encoded().unwrap()[..], bytes);
            assert_eq!(
                (pack.frames().len() as u64, pack.encoded_len()),
                (sliced_len(len), len as u64)
            );
        }
    }
}
