//! A tar header block, 512 bytes: ustar, GNU and the old V7 form, read as Go's `archive/tar`
//! reads it, since that is what containerd uses.

/// Bytes of a block.
pub(super) const BLOCK: usize = 512;

/// A header block's fields, before PAX records and GNU long names have their say.
#[derive(Debug, Clone)]
pub(super) struct Header {
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    pub mode: i64,
    pub uid: i64,
    pub gid: i64,
    pub size: i64,
    pub mtime: (i64, u32),
    pub kind: u8,
    pub dev: (i64, i64),
    pub gnu: bool,
}

type Result<T> = std::result::Result<T, &'static str>;

/// Parses a block that is not all zeros.
pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Header> {
    check_sum(block)?;
    // Go doesn't look at ustar's version, which follows the magic.
    let ustar = &block[257..263] == b"ustar\0";
    let star = ustar && &block[508..512] == b"tar\0";
    let gnu = &block[257..265] == b"ustar  \0";
    let mut header = Header {
        name: string(&block[0..100]).to_vec(),
        link: string(&block[157..257]).to_vec(),
        mode: number(&block[100..108])?,
        uid: number(&block[108..116])?,
        gid: number(&block[116..124])?,
        size: number(&block[124..136])?,
        mtime: (number(&block[136..148])?, 0),
        kind: block[156],
        dev: (0, 0),
        gnu,
    };
    if ustar || gnu {
        header.dev = (number(&block[329..337])?, number(&block[337..345])?);
    }
    let prefix = if star {
        string(&block[345..476])
    } else if ustar || (gnu && !times_valid(block) && string(&block[345..500]).is_ascii()) {
        // Go before 1.8 wrote a prefix into GNU headers, over the access and change times.
        string(&block[345..500])
    } else {
        &[]
    };
    if !prefix.is_empty() {
        header.name = [prefix, b"/", &header.name].concat();
    }
    Ok(header)
}

/// Whether a GNU header's access and change times are absent or numbers.
fn times_valid(block: &[u8; BLOCK]) -> bool {
    [&block[345..357], &block[357..369]].iter().all(|f| f[0] == 0 || number(f).is_ok())
}

/// The sum of all bytes with the sum's own field as spaces; some writers summed signed bytes.
fn check_sum(block: &[u8; BLOCK]) -> Result<()> {
    let (mut unsigned, mut signed) = (0i64, 0i64);
    for (i, &byte) in block.iter().enumerate() {
        let byte = if (148..156).contains(&i) { b' ' } else { byte };
        unsigned += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    let stored = octal(&block[148..156])?;
    if stored == unsigned || stored == signed {
        Ok(())
    } else {
        Err("a header's checksum is wrong")
    }
}

/// The bytes before the first NUL.
pub(super) fn string(field: &[u8]) -> &[u8] {
    field.split(|&b| b == 0).next().unwrap_or_default()
}

/// A number: octal text, or big-endian two's complement where the top bit is set (the bit itself
/// is no part of the number).
pub(super) fn number(field: &[u8]) -> Result<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => {
            let invert = if first & 0x40 != 0 { 0xff } else { 0 };
            let mut value = 0u64;
            for (i, &byte) in field.iter().enumerate() {
                let byte = byte ^ invert;
                let byte = if i == 0 { byte & 0x7f } else { byte };
                if value >> 56 > 0 {
                    return Err("a header's number is too large");
                }
                value = value << 8 | u64::from(byte);
            }
            let value = i64::try_from(value).map_err(|_| "a header's number is too large")?;
            Ok(if invert == 0 { value } else { !value })
        }
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Result<i64> {
    const WHAT: &str = "a header's number isn't octal";
    let blank = |b: &u8| matches!(b, b' ' | 0);
    let from = field.iter().position(|b| !blank(b)).unwrap_or(field.len());
    let to = field.iter().rposition(|b| !blank(b)).map_or(from, |i| i + 1);
    let digits = string(&field[from..to]);
    let mut value = 0i64;
    for &digit in digits {
        if !(b'0'..=b'7').contains(&digit) {
            return Err(WHAT);
        }
        value = value.checked_mul(8).ok_or(WHAT)? + i64::from(digit - b'0');
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let cases: [(&[u8], Option<i64>); 12] = [
            (b"0000644\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"12345678", None),
            (b"12 3\0\0\0\0", None),
            (b"\x80\0\0\0\0\0\x01\x02", Some(0x102)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", None),
            (b"77777777777\0", Some(0o77_777_777_777)),
        ];
        for (field, expected) in cases {
            assert_eq!(number(field).ok(), expected, "{field:?}");
        }
    }

    #[test]
    fn strings() {
        assert_eq!(string(b"ab\0c"), b"ab");
        assert_eq!(string(b"abc"), b"abc");
        assert_eq!(string(b"\0"), b"");
    }
}
