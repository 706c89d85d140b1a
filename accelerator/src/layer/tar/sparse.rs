//! Sparse maps: which parts of a file the tar holds, in GNU's four notations.

use super::header::{BLOCK, Header, number};
use super::pax::{Records, decimal};

/// Where data lies: offset in the file and length, in the tar's order.
pub(super) type Map = Vec<(u64, u64)>;

type Result<T> = std::result::Result<T, &'static str>;

const WHAT: &str = "a sparse file's map is malformed";

/// How a file's sparse map is found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notation {
    /// The file isn't sparse.
    None,
    /// The PAX header held it (formats 0.0 and 0.1).
    Map(Map),
    /// It precedes the data (format 1.0).
    Ahead,
}

/// Reads the `GNU.sparse.*` records, which also give the file its real name and size.
pub(super) fn from_pax(header: &mut Header, records: &Records) -> Result<Notation> {
    let get = |key: &str| {
        records.get(format!("GNU.sparse.{key}").as_bytes()).map_or(&[][..], Vec::as_slice)
    };
    let ahead = match (get("major"), get("minor")) {
        (b"0", b"0" | b"1") => false,
        (b"1", b"0") => true,
        (b"", b"") if !get("map").is_empty() => false,
        _ => return Ok(Notation::None),
    };
    if !get("name").is_empty() {
        header.name = get("name").to_vec();
    }
    let size = if get("size").is_empty() { get("realsize") } else { get("size") };
    if !size.is_empty() {
        header.size = decimal(size)?;
    }
    if ahead {
        return Ok(Notation::Ahead);
    }
    let count = usize::try_from(decimal(get("numblocks"))?).map_err(|_| WHAT)?;
    let map = get("map");
    let numbers: Vec<&[u8]> =
        if map.is_empty() { Vec::new() } else { map.split(|&b| b == b',').collect() };
    if count.checked_mul(2) != Some(numbers.len()) {
        return Err(WHAT);
    }
    let values = numbers.into_iter().map(natural).collect::<Result<Vec<u64>>>()?;
    Ok(Notation::Map(pairs(&values)))
}

fn natural(text: &[u8]) -> Result<u64> {
    u64::try_from(decimal(text)?).map_err(|_| WHAT)
}

fn pairs(values: &[u64]) -> Map {
    values.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

/// Format 1.0's map, fed block by block: decimal numbers, each with a newline; the first is the
/// number of pairs.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    token: Vec<u8>,
    count: Option<usize>,
    values: Vec<u64>,
}

impl Ahead {
    /// Takes a block; the map, once it is whole.
    pub(super) fn feed(&mut self, block: &[u8; BLOCK]) -> Result<Option<Map>> {
        for &byte in block {
            if byte != b'\n' {
                if self.token.len() >= 32 {
                    return Err(WHAT);
                }
                self.token.push(byte);
                continue;
            }
            let value = natural(&self.token)?;
            self.token.clear();
            match self.count {
                None => self.count = Some(usize::try_from(value).map_err(|_| WHAT)?),
                Some(_) => self.values.push(value),
            }
            if self.count.and_then(|count| count.checked_mul(2)) == Some(self.values.len()) {
                return Ok(Some(pairs(&self.values)));
            }
        }
        Ok(None)
    }
}

/// The entries of the old GNU notation in a header block (four) or an extension block (21):
/// whether another block follows.
pub(super) fn old_gnu(block: &[u8; BLOCK], first: bool, map: &mut Map) -> Result<bool> {
    let (from, to) = if first { (386, 482) } else { (0, 504) };
    for entry in block[from..to].chunks_exact(24) {
        if entry[0] == 0 {
            break;
        }
        let value = |field| u64::try_from(number(field)?).map_err(|_| WHAT);
        map.push((value(&entry[..12])?, value(&entry[12..])?));
    }
    Ok(block[to] != 0)
}

/// Real size of a file in the old GNU notation.
pub(super) fn old_gnu_size(block: &[u8; BLOCK]) -> Result<i64> {
    number(&block[483..495])
}

/// Checks that a map ascends without overlap, ends within `size`, and holds `stored` bytes.
pub(super) fn check(map: &Map, size: u64, stored: u64) -> Result<()> {
    let (mut at, mut sum) = (0u64, 0u64);
    for &(offset, len) in map {
        if offset < at {
            return Err(WHAT);
        }
        at = offset.checked_add(len).filter(|end| *end <= size).ok_or(WHAT)?;
        sum += len;
    }
    if sum == stored { Ok(()) } else { Err("a sparse file's map and its data differ in length") }
}
