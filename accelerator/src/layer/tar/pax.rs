//! PAX extended headers: `LENGTH KEY=VALUE\n` records, and what they override.

use super::header::Header;
use std::collections::BTreeMap;

/// Key → value. A later record of a key overrides an earlier one.
pub(super) type Records = BTreeMap<Vec<u8>, Vec<u8>>;

type Result<T> = std::result::Result<T, &'static str>;

/// The records of one extended header. The pairs of GNU sparse format 0.0 are gathered into one
/// `GNU.sparse.map`, as format 0.1 has it.
pub(super) fn parse(mut rest: &[u8]) -> Result<Records> {
    let mut records = Records::new();
    let mut sparse: Vec<&[u8]> = Vec::new();
    while !rest.is_empty() {
        let (key, value, tail) = record(rest)?;
        rest = tail;
        let offset = key == b"GNU.sparse.offset";
        if offset || key == b"GNU.sparse.numbytes" {
            if offset != sparse.len().is_multiple_of(2) || value.contains(&b',') {
                return Err("a PAX header's sparse map is out of order");
            }
            sparse.push(value);
        } else {
            records.insert(key.to_vec(), value.to_vec());
        }
    }
    if !sparse.is_empty() {
        records.insert(b"GNU.sparse.map".to_vec(), sparse.join(&b','));
    }
    Ok(records)
}

/// Key, value and what follows the record.
fn record(bytes: &[u8]) -> Result<(&[u8], &[u8], &[u8])> {
    const WHAT: &str = "a PAX record is malformed";
    let space = bytes.iter().position(|&b| b == b' ').ok_or(WHAT)?;
    let len = usize::try_from(decimal(&bytes[..space])?).map_err(|_| WHAT)?;
    if len < 5 || len > bytes.len() || len <= space + 1 || bytes[len - 1] != b'\n' {
        return Err(WHAT);
    }
    let (body, rest) = (&bytes[space + 1..len - 1], &bytes[len..]);
    let equals = body.iter().position(|&b| b == b'=').ok_or(WHAT)?;
    let (key, value) = (&body[..equals], &body[equals + 1..]);
    let text = matches!(key, b"path" | b"linkpath" | b"uname" | b"gname");
    if key.is_empty() || (if text { value } else { key }).contains(&0) {
        return Err(WHAT);
    }
    Ok((key, value, rest))
}

/// Lets records override a header's fields. An empty value overrides nothing.
pub(super) fn merge(header: &mut Header, records: &Records) -> Result<()> {
    for (key, value) in records {
        if value.is_empty() {
            continue;
        }
        match key.as_slice() {
            b"path" => header.name.clone_from(value),
            b"linkpath" => header.link.clone_from(value),
            b"uid" => header.uid = decimal(value)?,
            b"gid" => header.gid = decimal(value)?,
            b"size" => header.size = decimal(value)?,
            b"mtime" => header.mtime = time(value)?,
            _ => {}
        }
    }
    Ok(())
}

/// The extended attributes among the records.
pub(super) fn xattrs(records: &Records) -> BTreeMap<Vec<u8>, Vec<u8>> {
    const PREFIX: &[u8] = b"SCHILY.xattr.";
    records
        .range(PREFIX.to_vec()..)
        .map_while(|(key, value)| Some((key.strip_prefix(PREFIX)?.to_vec(), value.clone())))
        .collect()
}

/// A signed decimal number.
pub(super) fn decimal(text: &[u8]) -> Result<i64> {
    const WHAT: &str = "a PAX header's number is malformed";
    std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()).ok_or(WHAT)
}

/// Seconds with a fraction, which is cut after nine digits. The sign holds for the fraction too;
/// the result's nanoseconds count upwards from its seconds.
fn time(text: &[u8]) -> Result<(i64, u32)> {
    const WHAT: &str = "a PAX header's time is malformed";
    let point = text.iter().position(|&b| b == b'.').unwrap_or(text.len());
    let seconds = decimal(&text[..point])?;
    let fraction = text.get(point + 1..).unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(WHAT);
    }
    let digits = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
    let nanos = digits.fold(0, |n, &digit| n * 10 + u32::from(digit - b'0'));
    if text.first() == Some(&b'-') && nanos > 0 {
        return Ok((seconds.checked_sub(1).ok_or(WHAT)?, 1_000_000_000 - nanos));
    }
    Ok((seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let cases: [(&str, Option<(i64, u32)>); 10] = [
            ("1350244992.023960108", Some((1_350_244_992, 23_960_108))),
            ("1350244992.02396010", Some((1_350_244_992, 23_960_100))),
            ("1350244992.0239601089", Some((1_350_244_992, 23_960_108))),
            ("1350244992", Some((1_350_244_992, 0))),
            ("12.", Some((12, 0))),
            ("-1.5", Some((-2, 500_000_000))),
            ("-0.000000001", Some((-1, 999_999_999))),
            ("-1", Some((-1, 0))),
            (".5", None),
            ("1.2x", None),
        ];
        for (text, expected) in cases {
            assert_eq!(time(text.as_bytes()).ok(), expected, "{text}");
        }
    }

    #[test]
    fn records() {
        let one = |text: &[u8]| parse(text).map(|r| r.into_iter().collect::<Vec<_>>());
        let pair = |k: &str, v: &str| (k.as_bytes().to_vec(), v.as_bytes().to_vec());
        assert_eq!(one(b"6 k=1\n"), Ok(vec![pair("k", "1")]));
        assert_eq!(one(b"6 k=1\n6 k=2\n"), Ok(vec![pair("k", "2")]));
        assert_eq!(one(b"7 k=\n=\n"), Ok(vec![pair("k", "\n=")]));
        for bad in ["", " ", "5 =1\n", "6 k=1", "7 k=1\n", "6 k 1\n", "999 k=1\n", "-6 k=1\n"] {
            assert_eq!(one(bad.as_bytes()).is_err(), !bad.is_empty(), "{bad:?}");
        }
        assert!(one(b"13 path=a\0bc\n").is_err());
        let sparse = b"23 GNU.sparse.offset=0\n25 GNU.sparse.numbytes=5\n";
        assert_eq!(one(sparse), Ok(vec![pair("GNU.sparse.map", "0,5")]));
        assert!(one(&sparse[23..]).is_err());
    }
}
