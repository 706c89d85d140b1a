//! The four ways in which archives say "here are zeros".

use super::Format;
use super::encode::number;

/// How a sparse file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SparseStyle {
    /// GNU type `S`: four pieces in the header, 21 in each block after it.
    OldGnu,
    /// Pax 0.0: a pair of records for each piece.
    Pax00,
    /// Pax 0.1: one record with all pieces.
    Pax01,
    /// Pax 1.0: the map stands before the data.
    Pax10,
}

/// A sparse file's share of an entry.
pub(super) struct Encoded {
    /// What follows the header as its data.
    pub data: Vec<u8>,
    /// Pax records.
    pub records: Vec<(Vec<u8>, Vec<u8>)>,
    /// The name for the header, if a record has the real one.
    pub name: Option<Vec<u8>>,
    /// Bytes for offset 386 of the header.
    pub header: Vec<u8>,
    /// Blocks between header and data that aren't counted as data.
    pub extended: Vec<u8>,
}

pub(super) fn encode(
    style: SparseStyle,
    name: &[u8],
    size: u64,
    pieces: &[(u64, Vec<u8>)],
) -> Encoded {
    let mut map: Vec<(u64, u64)> =
        pieces.iter().map(|(offset, bytes)| (*offset, bytes.len() as u64)).collect();
    // As GNU tar does: a piece of no bytes marks the end of a file that ends in a hole.
    if map.last().is_none_or(|(offset, length)| offset + length < size) {
        map.push((size, 0));
    }
    let bytes = pieces.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
    let mut encoded = Encoded {
        data: bytes,
        records: Vec::new(),
        name: None,
        header: Vec::new(),
        extended: Vec::new(),
    };
    match style {
        SparseStyle::OldGnu => old_gnu(&mut encoded, &map, size),
        SparseStyle::Pax00 => {
            record(&mut encoded, "GNU.sparse.size", size);
            record(&mut encoded, "GNU.sparse.numblocks", map.len());
            for (offset, length) in &map {
                record(&mut encoded, "GNU.sparse.offset", offset);
                record(&mut encoded, "GNU.sparse.numbytes", length);
            }
        }
        SparseStyle::Pax01 => {
            let list: Vec<_> =
                map.iter().map(|(offset, length)| format!("{offset},{length}")).collect();
            record(&mut encoded, "GNU.sparse.size", size);
            record(&mut encoded, "GNU.sparse.numblocks", map.len());
            record(&mut encoded, "GNU.sparse.map", list.join(","));
            renamed(&mut encoded, name);
        }
        SparseStyle::Pax10 => {
            record(&mut encoded, "GNU.sparse.major", 1);
            record(&mut encoded, "GNU.sparse.minor", 0);
            record(&mut encoded, "GNU.sparse.realsize", size);
            renamed(&mut encoded, name);
            let mut front = format!("{}\n", map.len()).into_bytes();
            for (offset, length) in &map {
                front.extend_from_slice(format!("{offset}\n{length}\n").as_bytes());
            }
            front.resize(front.len().next_multiple_of(512), 0);
            front.append(&mut encoded.data);
            encoded.data = front;
        }
    }
    encoded
}

fn record(encoded: &mut Encoded, key: &str, value: impl ToString) {
    encoded.records.push((key.as_bytes().to_vec(), value.to_string().into_bytes()));
}

/// Readers that know nothing of sparse files see a made-up name.
fn renamed(encoded: &mut Encoded, name: &[u8]) {
    encoded.records.push((b"GNU.sparse.name".to_vec(), name.to_vec()));
    let base = name.rsplit(|&byte| byte == b'/').next().unwrap_or(name);
    encoded.name = Some([b"GNUSparseFile.1/", &base[..base.len().min(60)]].concat());
}

fn old_gnu(encoded: &mut Encoded, map: &[(u64, u64)], size: u64) {
    let piece = |out: &mut Vec<u8>, (offset, length): (u64, u64)| {
        for value in [offset, length] {
            let mut field = [0; 12];
            number(&mut field, i128::from(value), Format::Gnu);
            out.extend_from_slice(&field);
        }
    };
    let (first, rest) = map.split_at(map.len().min(4));
    for &pair in first {
        piece(&mut encoded.header, pair);
    }
    encoded.header.resize(96, 0);
    encoded.header.push(u8::from(!rest.is_empty()));
    let mut real = [0; 12];
    number(&mut real, i128::from(size), Format::Gnu);
    encoded.header.extend_from_slice(&real);
    let blocks = rest.chunks(21);
    let last = blocks.len();
    for (index, pairs) in blocks.enumerate() {
        let mut block = Vec::new();
        for &pair in pairs {
            piece(&mut block, pair);
        }
        block.resize(504, 0);
        block.push(u8::from(index + 1 < last));
        block.resize(512, 0);
        encoded.extended.append(&mut block);
    }
}
