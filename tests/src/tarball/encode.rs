//! Headers, and what goes before them for fields that they can't hold.

use super::sparse::{self, SparseStyle};
use super::{Entry, Format, Kind, Time};

const BLOCK: usize = 512;

/// The parts of a header that are written as they are.
pub(super) struct Header<'a> {
    pub name: &'a [u8],
    pub link: &'a [u8],
    pub typeflag: u8,
    pub size: u64,
    pub device: (u32, u32),
}

/// Writes one entry: its extensions, header, data and padding.
pub(super) fn entry(out: &mut Vec<u8>, entry: &Entry) {
    let mut header =
        Header { name: &entry.name, link: b"", typeflag: b'0', size: 0, device: (0, 0) };
    let mut data: &[u8] = b"";
    let mut records = Vec::new();
    let sparse = if let Kind::Sparse { style, size, pieces } = &entry.kind {
        Some(sparse::encode(*style, &entry.name, *size, pieces))
    } else {
        None
    };
    match &entry.kind {
        Kind::File(bytes) => {
            data = bytes;
            if entry.format == Format::V7 {
                header.typeflag = 0;
            }
        }
        Kind::Sparse { style, .. } => {
            if *style == SparseStyle::OldGnu {
                header.typeflag = b'S';
            }
        }
        Kind::Directory => header.typeflag = b'5',
        Kind::Symlink(to) => (header.typeflag, header.link) = (b'2', to),
        Kind::Hardlink(to) => (header.typeflag, header.link) = (b'1', to),
        Kind::Character(major, minor) => {
            (header.typeflag, header.device) = (b'3', (*major, *minor))
        }
        Kind::Block(major, minor) => (header.typeflag, header.device) = (b'4', (*major, *minor)),
        Kind::Fifo => header.typeflag = b'6',
        Kind::Global(global) => {
            extension(out, b'g', b"pax_global_header", &pax(global));
            return;
        }
    }
    if let Some(sparse) = &sparse {
        data = &sparse.data;
        records.extend_from_slice(&sparse.records);
        if let Some(name) = &sparse.name {
            header.name = name;
        }
    }
    header.size = data.len() as u64;
    if entry.format == Format::Pax {
        pax_records(
            &mut records,
            entry,
            &header,
            sparse.as_ref().is_some_and(|s| s.name.is_some()),
        );
        if !records.is_empty() {
            extension(out, b'x', b"PaxHeaders/x", &pax(&records));
        }
    }
    if entry.format == Format::Gnu {
        for (flag, long) in [(b'L', header.name), (b'K', header.link)] {
            if long.len() > 100 {
                extension(out, flag, b"././@LongLink", &[long, b"\0"].concat());
            }
        }
    }
    let mut block = block(entry, &header);
    if let Some(sparse) = &sparse {
        block[386..386 + sparse.header.len()].copy_from_slice(&sparse.header);
    }
    checksum(&mut block);
    out.extend_from_slice(&block);
    if let Some(sparse) = &sparse {
        out.extend_from_slice(&sparse.extended);
    }
    padded(out, data);
}

/// Records for each field that ustar can't hold, and for each xattr.
fn pax_records(
    records: &mut Vec<(Vec<u8>, Vec<u8>)>,
    entry: &Entry,
    header: &Header<'_>,
    name_is_elsewhere: bool,
) {
    let mut say = |key: &str, value: Vec<u8>| records.push((key.as_bytes().to_vec(), value));
    if !name_is_elsewhere && (header.name.len() > 100 || !header.name.is_ascii()) {
        say("path", header.name.to_vec());
    }
    if header.link.len() > 100 || !header.link.is_ascii() {
        say("linkpath", header.link.to_vec());
    }
    for (key, value) in [("uid", entry.uid), ("gid", entry.gid)] {
        if value > 0o7_777_777 {
            say(key, value.to_string().into_bytes());
        }
    }
    let Time { sec, nsec } = entry.mtime;
    if nsec != 0 || !(0..=0o77_777_777_777).contains(&sec) {
        say("mtime", decimal(entry.mtime).into_bytes());
    }
    for (name, value) in &entry.xattrs {
        records.push(([b"SCHILY.xattr.", name.as_slice()].concat(), value.clone()));
    }
}

/// A time as pax writes it: `-1.5` is one and a half second before 1970.
fn decimal(time: Time) -> String {
    let (sign, sec, nsec) = match time {
        Time { sec, nsec: 0 } => (if sec < 0 { "-" } else { "" }, sec.unsigned_abs(), 0),
        Time { sec, nsec } if sec < 0 => ("-", (sec + 1).unsigned_abs(), 1_000_000_000 - nsec),
        Time { sec, nsec } => ("", sec.unsigned_abs(), nsec),
    };
    if nsec == 0 {
        return format!("{sign}{sec}");
    }
    let text = format!("{sign}{sec}.{nsec:09}");
    text.trim_end_matches('0').to_owned()
}

/// Records as pax lays them out. A record's length counts its own digits.
fn pax(records: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        out.extend_from_slice(format!("{length} ").as_bytes());
        out.extend_from_slice(key);
        out.push(b'=');
        out.extend_from_slice(value);
        out.push(b'\n');
    }
    out
}

/// An entry that describes the next one.
fn extension(out: &mut Vec<u8>, typeflag: u8, name: &[u8], data: &[u8]) {
    let format = if typeflag == b'L' || typeflag == b'K' { Format::Gnu } else { Format::Ustar };
    let of = Entry::file(name, "").mtime(0, 0).format(format);
    let size = data.len() as u64;
    let mut block = block(&of, &Header { name, link: b"", typeflag, size, device: (0, 0) });
    checksum(&mut block);
    out.extend_from_slice(&block);
    padded(out, data);
}

fn padded(out: &mut Vec<u8>, data: &[u8]) {
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

fn block(entry: &Entry, header: &Header<'_>) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut name = header.name;
    if entry.format == Format::Ustar && name.len() > 100 {
        let slash = (0..name.len())
            .find(|&at| name[at] == b'/' && name.len() - at - 1 <= 100)
            .expect("ustar: the last part of a name has at most 100 bytes");
        assert!(slash <= 155, "ustar: a name's prefix has at most 155 bytes");
        block[345..345 + slash].copy_from_slice(&name[..slash]);
        name = &name[slash + 1..];
    }
    let extended = matches!(entry.format, Format::Gnu | Format::Pax);
    text(&mut block[..100], name, extended);
    text(&mut block[157..257], header.link, extended);
    number(&mut block[100..108], i128::from(entry.mode), entry.format);
    number(&mut block[108..116], i128::from(entry.uid), entry.format);
    number(&mut block[116..124], i128::from(entry.gid), entry.format);
    number(&mut block[124..136], i128::from(header.size), entry.format);
    number(&mut block[136..148], i128::from(entry.mtime.sec), entry.format);
    block[156] = header.typeflag;
    match entry.format {
        Format::V7 => return block,
        Format::Gnu => block[257..265].copy_from_slice(b"ustar  \0"),
        Format::Ustar | Format::Pax => block[257..265].copy_from_slice(b"ustar\x0000"),
    }
    number(&mut block[329..337], i128::from(header.device.0), entry.format);
    number(&mut block[337..345], i128::from(header.device.1), entry.format);
    block
}

/// A name; what is longer is cut where an extension has it whole.
fn text(field: &mut [u8], value: &[u8], cut: bool) {
    let length = value.len().min(field.len());
    assert!(cut || length == value.len(), "a name of {} bytes does not fit", value.len());
    field[..length].copy_from_slice(&value[..length]);
}

/// Octal with a NUL at its end; GNU's base-256 where that can't hold it.
pub(super) fn number(field: &mut [u8], value: i128, format: Format) {
    let digits = field.len() - 1;
    let octal = format!("{value:0digits$o}");
    if value >= 0 && octal.len() <= digits {
        field[..digits].copy_from_slice(octal.as_bytes());
        return;
    }
    match format {
        Format::Gnu => {
            let bytes = value.to_be_bytes();
            let (length, first) = (field.len(), bytes.len() - field.len());
            field.copy_from_slice(&bytes[first..]);
            field[0] = if value < 0 { 0xff } else { 0x80 };
            debug_assert!(length >= 8);
        }
        // A pax record has it.
        Format::Pax => field[..digits].fill(b'0'),
        Format::V7 | Format::Ustar => panic!("{value} does not fit into a plain header"),
    }
}

fn checksum(block: &mut [u8; BLOCK]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_decimals() {
        for (sec, nsec, text) in [
            (0, 0, "0"),
            (7, 500_000_000, "7.5"),
            (10, 0, "10"),
            (-1, 0, "-1"),
            (-2, 500_000_000, "-1.5"),
            (-1, 999_999_999, "-0.000000001"),
            (4_294_967_296, 1, "4294967296.000000001"),
        ] {
            let said = decimal(Time { sec, nsec });
            assert_eq!(said, text);
        }
    }

    #[test]
    fn a_records_length_counts_itself() {
        for length in 0..130 {
            let bytes = pax(&[(b"k".to_vec(), vec![b'v'; length])]);
            let text = String::from_utf8(bytes).unwrap();
            let said: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(said, text.len());
        }
    }
}
