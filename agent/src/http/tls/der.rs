//! As much of DER (X.690) as keys and signatures of P-256 have: the crates for all of it are 14 KB.

use futures_rustls::pki_types::{PrivateKeyDer, alg_id};

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
/// Element 0 of a structure, with its type within.
const FIRST: u8 = 0xa0;

/// Takes an element of this type from the front; gives what is in it.
fn element<'a>(from: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (head, rest) = from.split_first_chunk::<2>()?;
    let (len, rest) = match *head {
        [found, _] if found != tag => return None,
        [_, len @ 0..=0x7f] => (usize::from(len), rest),
        [_, 0x81] => {
            let (&len, rest) = rest.split_first()?;
            (usize::from(len), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    *from = rest;
    Some(content)
}

/// The secret number of a key on P-256, in PKCS#8 (RFC 5958) or alone (RFC 5915).
pub fn secret(key: &PrivateKeyDer<'_>) -> Option<[u8; 32]> {
    match key {
        PrivateKeyDer::Sec1(key) => alone(key.secret_sec1_der(), false),
        PrivateKeyDer::Pkcs8(key) => {
            let mut all = key.secret_pkcs8_der();
            let mut fields = element(&mut all, SEQUENCE)?;
            element(&mut fields, INTEGER)?;
            let algorithm = element(&mut fields, SEQUENCE)?;
            let is_ours = algorithm == &*alg_id::ECDSA_P256;
            is_ours.then(|| alone(element(&mut fields, OCTET_STRING)?, true))?
        }
        _ => None,
    }
}

/// What is written alone has to say its curve, unless that is known.
fn alone(mut all: &[u8], is_ours: bool) -> Option<[u8; 32]> {
    let mut fields = element(&mut all, SEQUENCE)?;
    element(&mut fields, INTEGER)?;
    let secret = element(&mut fields, OCTET_STRING)?;
    // The algorithm of a key is written with its curve at the end.
    let is_ours = is_ours || alg_id::ECDSA_P256.ends_with(element(&mut fields, FIRST)?);
    is_ours.then(|| secret.try_into().ok())?
}

/// The two numbers of a signature (RFC 3279, section 2.2.3).
pub fn signature(mut all: &[u8]) -> Option<[[u8; 32]; 2]> {
    let mut fields = element(&mut all, SEQUENCE)?;
    let numbers = [number(&mut fields)?, number(&mut fields)?];
    (all.is_empty() && fields.is_empty()).then_some(numbers)
}

fn number(from: &mut &[u8]) -> Option<[u8; 32]> {
    let digits = match element(from, INTEGER)? {
        // A zero in front keeps a number from being negative, and stands nowhere else.
        [0, digits @ ..] if digits.first() >= Some(&0x80) => digits,
        digits @ [1..0x80, ..] => digits,
        _ => return None,
    };
    let mut number = [0; 32];
    number.get_mut(32usize.checked_sub(digits.len())?..)?.copy_from_slice(digits);
    Some(number)
}

/// Writes a signature.
pub fn write_signature(numbers: &[u8; 64]) -> Vec<u8> {
    let mut fields = Vec::new();
    for number in numbers.chunks(32) {
        let zeros = number.iter().take_while(|&&digit| digit == 0).count();
        let digits = &number[zeros..];
        let front: &[u8] =
            if digits.first().is_some_and(|digit| *digit >= 0x80) { &[0] } else { &[] };
        put(&mut fields, INTEGER, &[front, digits].concat());
    }
    let mut all = Vec::new();
    put(&mut all, SEQUENCE, &fields);
    all
}

/// Writes an element of less than 128 bytes.
fn put(to: &mut Vec<u8>, tag: u8, content: &[u8]) {
    to.extend([tag, u8::try_from(content.len()).unwrap_or(u8::MAX)]);
    to.extend(content);
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_rustls::pki_types::pem::PemObject as _;

    const SECRET: &str = "58ed2df771958a81d72daf99e660fa983149248fa51b83cd993c6e9a5c75c09a";
    const PKCS8: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgWO0t93GVioHXLa+Z5mD6mDFJJI+lG4PNmTxumlx1wJ\
        qhRANCAAR+TkQ++dOdU4G8te7lq7Y4SuPmK72VcIlj0nybsbsCuiGF+7z/BEUOcE5P5ewzoeUZoxVjtXwjmFBCL1Qn\
        5i27";
    const SEC1: &str = "MHcCAQEEIFjtLfdxlYqB1y2vmeZg+pgxSSSPpRuDzZk8bppcdcCaoAoGCCqGSM49AwEHoUQDQgAEfk5EPvnTnVOBvL\
        Xu5au2OErj5iu9lXCJY9J8m7G7Arohhfu8/wRFDnBOT+XsM6HlGaMVY7V8I5hQQi9UJ+Ytuw==";
    /// On secp256k1.
    const OTHER: &str = "MHQCAQEEIO06kOzElhLJ7n1rC6r1/e18MDp5VXfl0qF+Q/f5V4/1oAcGBSuBBAAKoUQDQgAEBzFtxVm3In8Oc8cQ2d\
        qZrRrVIDwIv+xGS7LoTGUIEBnfXK96vLAKj0ceP52PcIVhST52j57M0OWXsxH5DBeFqw==";
    /// The same, with its algorithm.
    const OTHER_PKCS8: &str = "MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQg7TqQ7MSWEsnufWsLqvX97XwwOnlVd+XSoX5D9/lXj/WhRA\
        NCAAQHMW3FWbcifw5zxxDZ2pmtGtUgPAi/7EZLsuhMZQgQGd9cr3q8sAqPRx4/nY9whWFJPnaPnszQ5ZezEfkMF4Wr";

    #[test]
    fn keys_are_read() {
        for (kind, text, is_ours) in [
            ("PRIVATE KEY", PKCS8, true),
            ("EC PRIVATE KEY", SEC1, true),
            ("EC PRIVATE KEY", OTHER, false),
            ("PRIVATE KEY", OTHER_PKCS8, false),
        ] {
            let pem = format!("-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n");
            let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
            let found =
                secret(&key).map(|secret| secret.map(|byte| format!("{byte:02x}")).concat());
            assert_eq!(found.as_deref(), is_ours.then_some(SECRET), "{text}");
            let mut der = key.secret_der().to_vec();
            while der.pop().is_some() {
                let cut = match kind {
                    "PRIVATE KEY" => PrivateKeyDer::Pkcs8(der.clone().into()),
                    _ => PrivateKeyDer::Sec1(der.clone().into()),
                };
                assert_eq!(secret(&cut), None, "{} bytes of {text}", der.len());
            }
        }
    }

    #[test]
    fn signatures_are_read_as_they_are_written() {
        let small = [[0; 31].as_slice(), &[1], &[0; 30], &[0x80, 0]].concat();
        let most = vec![0xff; 64];
        for (numbers, len) in [(small, 3 + 5 + 2), (most, 2 * 35 + 2)] {
            let numbers: [u8; 64] = numbers.try_into().unwrap();
            let written = write_signature(&numbers);
            assert_eq!(written.len(), len);
            assert_eq!(signature(&written).unwrap().concat(), numbers);
            for cut in 0..len {
                assert_eq!(signature(&written[..cut]), None, "{cut} bytes");
            }
        }
        for (bad, what) in [
            (&[0x30, 6, 2, 1, 1, 2, 1, 0x80][..], "negative"),
            (&[0x30, 6, 2, 1, 1, 2, 1, 0], "zero"),
            (&[0x30, 7, 2, 1, 1, 2, 2, 0, 1], "a zero too many"),
            (&[0x30, 6, 2, 1, 1, 2, 1, 1, 0], "something behind"),
            (&[0x30, 7, 2, 1, 1, 2, 1, 1, 0], "something behind, within"),
            (&[0x30, 0x81, 6, 2, 1, 1, 2, 0x82, 0, 1, 1], "a length of a length"),
        ] {
            assert_eq!(signature(bad), None, "{what}");
        }
    }
}
