//! Whatever is written is read back the same, and whatever is read is either a message or an error.

use proptest::collection::vec;
use proptest::prelude::*;
use skiff_protocol::record::{Entry, Kind, Metadata, Record, Splitter, Xattrs};
use skiff_protocol::request::DeployRequest;
use skiff_protocol::trace::{TraceEntries, TraceRecord};
use skiff_protocol::{frame, limits, response};

fn kind(choice: u8, number: u32, bytes: &[u8]) -> Kind<'_> {
    match choice % 9 {
        0 => Kind::Directory { opaque: number.is_multiple_of(2) },
        1 => Kind::EmptyFile,
        2 => Kind::File { content: number },
        3 => Kind::Symlink { target: bytes },
        4 => Kind::HardLink { first: bytes },
        5 => Kind::CharDevice { major: number, minor: !number },
        6 => Kind::BlockDevice { major: !number, minor: number },
        7 => Kind::Fifo,
        _ => Kind::Whiteout,
    }
}

proptest! {
    #[test]
    fn records_survive_any_cutting_of_the_stream(
        entries in vec((any::<u8>(), any::<u32>(), any::<i64>(), vec(any::<u8>(), 0..300)), 1..20),
        cut in 1_usize..700,
    ) {
        let records: Vec<Record<'_>> = entries.iter().map(|(choice, number, mtime, bytes)| {
            let meta = Metadata {
                mode: 0o7777, uid: *number, gid: !*number, mtime: *mtime, mtime_nanos: 999_999_999,
                xattrs: Xattrs(bytes),
            };
            let kind = kind(*choice, *number, bytes);
            Record::Entry(Entry { prefix: u16::from(*choice), suffix: bytes, kind, meta })
        }).collect();
        let mut stream = Vec::new();
        let mut buffer = vec![0; limits::MAX_RECORD + 2];
        for record in &records {
            stream.extend_from_slice(record.encode(&mut buffer).unwrap());
        }
        let mut splitter = Splitter::new();
        let mut expected = records.iter();
        for mut chunk in stream.chunks(cut) {
            while let Some(record) = splitter.next(&mut chunk).unwrap() {
                prop_assert_eq!(Some(&record), expected.next());
            }
        }
        prop_assert!(splitter.is_between_records());
        prop_assert_eq!(expected.next(), None);
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in vec(any::<u8>(), 0..400)) {
        let _ = DeployRequest::decode(&bytes);
        let _ = response::decode::<response::Plan>(&bytes);
        let _ = response::decode::<response::Failure<'_>>(&bytes);
        let _ = response::decode::<response::Complete>(&bytes);
        let _ = frame::read_blocking(&mut &bytes[..], &mut frame::Buffer::new());
        let mut splitter = Splitter::new();
        let mut rest = &bytes[..];
        while let Ok(Some(_)) = splitter.next(&mut rest) {}
        let (mut rest, mut paths) = (&bytes[..], TraceEntries::new());
        while let Ok(record) = TraceRecord::take(&mut rest) {
            if let TraceRecord::Entry(entry) = record {
                let _ = paths.path(&entry);
            }
        }
        // Each attribute takes at least five bytes, so the iterator ends.
        prop_assert!(Xattrs(&bytes).iter().count() <= bytes.len() / 5 + 1);
    }
}
