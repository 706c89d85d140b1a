//! Packs that were compressed while a device waited, compressed again when nobody does: zstd's highest levels make them
//! 9 to 14 % shorter (`make bench PARTS=bytes`), but take fifteen times as long. What a pack decodes to stays as it is.

use super::framed::{Form, Pack};
use super::zstd;
use crate::mapped::Mapped;
use skiff_protocol::limits::MAX_SCRIPT;
use std::io;

/// A quick pack of zstd, at this level if that makes it shorter. Blocks, for some 500 ms.
///
/// # Errors
/// The pack can't be decoded, or the system has no memory.
pub fn again(pack: &Pack, level: i32) -> io::Result<Pack> {
    let form = Form { is_quick: false, ..pack.form() };
    let encoded = pack.encoded()?;
    let mut bytes = Mapped::zeroed(MAX_SCRIPT as usize)?;
    let len = ::zstd::bulk::decompress_to_buffer(&encoded, &mut bytes[..])?;
    let harder = zstd::encode(&bytes[..len], level)?;
    match harder.len() < encoded.len() {
        true => Pack::new(&harder, form),
        false => Ok(pack.clone().with_form(form)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick(bytes: &[u8]) -> Pack {
        let form = Form { is_script: true, is_quick: true };
        Pack::new(&zstd::encode(bytes, 1).unwrap(), form).unwrap()
    }

    #[test]
    fn a_pack_gets_shorter_and_decodes_to_the_same() {
        let text: Vec<u8> = (0..90_000_u32).flat_map(|n| (n * n % 7919).to_le_bytes()).collect();
        let before = quick(&text);
        let after = again(&before, zstd::BEST).unwrap();
        assert!(after.encoded_len() < before.encoded_len());
        assert_eq!(::zstd::bulk::decompress(&after.encoded().unwrap(), text.len()).unwrap(), text);
        assert_eq!(after.form(), Form { is_script: true, is_quick: false });
        // What is as short as can be stays, but is not tried again.
        let once_more = again(&after, 1).unwrap();
        assert_eq!(once_more.frames(), after.frames());
    }

    #[test]
    fn what_is_no_zstd_is_an_error() {
        let pack = Pack::new(b"no frame of zstd", Form::default()).unwrap();
        assert!(again(&pack, zstd::BEST).is_err());
    }
}
