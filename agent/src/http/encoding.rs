//! Keys and digests as people write them: in hexadecimal, or in Base64 (RFC 4648) of a length that ends with one `=`.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// 32 bytes, by their 64 digits.
pub fn hex(text: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (to, pair) in bytes.iter_mut().zip(text.chunks(2)) {
        let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
        *to = u8::try_from(high? * 16 + low?).ok()?;
    }
    Some(bytes)
}

/// As many bytes as that: 2 more than a multiple of 3.
pub fn base64<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digits = text.strip_suffix(b"=")?;
    if digits.len() != (N * 8).div_ceil(6) {
        return None;
    }
    let mut bytes = [0; N];
    let (mut bits, mut have, mut at) = (0u32, 0, 0);
    for digit in digits {
        let value = ALPHABET.iter().position(|one| one == digit)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        have += 6;
        if have >= 8 {
            have -= 8;
            let [.., byte] = (bits >> have).to_be_bytes();
            *bytes.get_mut(at)? = byte;
            at += 1;
        }
    }
    Some(bytes)
}

/// Writes bytes in Base64, with its padding.
pub fn to_base64(
    bytes: &[u8],
    mut write: impl FnMut(char) -> std::fmt::Result,
) -> std::fmt::Result {
    for three in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|at| u32::from(three.get(at).copied().unwrap_or(0)));
        let bits = a << 16 | b << 8 | c;
        for digit in 0..4 {
            let index = bits >> (18 - 6 * digit) & 63;
            let is_of_bytes = digit <= three.len();
            write(if is_of_bytes { char::from(ALPHABET[index as usize]) } else { '=' })?;
        }
    }
    Ok(())
}
