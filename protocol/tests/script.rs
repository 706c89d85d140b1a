//! Scripts: what was written is read back however it is cut, and what is not allowed is refused.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use proptest::collection::vec;
use proptest::prelude::*;
use skiff_protocol::Error;
use skiff_protocol::limits::MAX_PATH;
use skiff_protocol::script::{MAX_POSITION, MAX_SPARE, Operation, Script, Step};

/// A step that keeps its bytes; those of one run are one.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Done {
    Held(u16, Vec<u8>),
    Content(u32),
    Insert(Vec<u8>),
    Copy(u64, u64),
    Add(u64, Vec<u8>),
}

fn read(script: &[u8], len: u64, cut: usize) -> Result<Vec<Done>, Error> {
    let mut decoder = Script::new(len);
    let (mut done, mut made) = (Vec::new(), 0);
    for mut part in script.chunks(cut) {
        while let Some(step) = decoder.next(&mut part)? {
            made += step.makes();
            match (step, done.last_mut()) {
                (Step::Insert(bytes), Some(Done::Insert(before))) => {
                    before.extend_from_slice(bytes)
                }
                (Step::Insert(bytes), _) => done.push(Done::Insert(bytes.to_vec())),
                (Step::Add { at, bytes }, Some(Done::Add(from, before)))
                    if *from + before.len() as u64 == at =>
                {
                    before.extend_from_slice(bytes);
                }
                (Step::Add { at, bytes }, _) => done.push(Done::Add(at, bytes.to_vec())),
                (Step::Copy { at, len }, _) => done.push(Done::Copy(at, len)),
                (Step::BaseHeld { image, path }, _) => done.push(Done::Held(image, path.to_vec())),
                (Step::BaseContent { content }, _) => done.push(Done::Content(content)),
            }
            assert_eq!(made + decoder.left(), len);
        }
        assert!(part.is_empty());
    }
    if decoder.is_complete() { Ok(done) } else { Err(Error::Truncated) }
}

fn written(operations: &[Operation<'_>]) -> Vec<u8> {
    let mut script = Vec::new();
    for operation in operations {
        operation.write(|bytes| script.extend_from_slice(bytes));
    }
    script
}

#[test]
fn what_is_not_allowed_is_refused() {
    use Operation::{Add, BaseContent, BaseHeld, Copy, Insert, SeekBack, SeekForward};
    let long = [b"d/".as_slice(); MAX_PATH / 2 + 1].concat();
    let held = |path| BaseHeld { image: 0, path };
    let largest = (1 << 61) - 1;
    let forward = [SeekForward(largest); 4];
    let far = [&[BaseContent(0)][..], &forward, &[SeekForward(3), Copy(1)]].concat();
    let rows: [(&str, &[Operation<'_>], u64, Error); 17] = [
        ("more bytes than the pack has", &[Insert(b"ab")], 1, Error::BadScript),
        ("a longer copy than the pack", &[BaseContent(0), Copy(2)], 1, Error::BadScript),
        ("something behind the end", &[Insert(b"a"), BaseContent(0)], 1, Error::BadScript),
        ("too little", &[Insert(b"a")], 2, Error::Truncated),
        ("copy without a base", &[Copy(1)], 1, Error::BadScript),
        ("add without a base", &[Add(b"a")], 1, Error::BadScript),
        ("seek without a base", &[SeekForward(1)], 1, Error::BadScript),
        ("insert nothing", &[Insert(b"")], 1, Error::BadScript),
        ("copy nothing", &[BaseContent(0), Copy(0)], 1, Error::BadScript),
        ("add nothing", &[BaseContent(0), Add(b"")], 1, Error::BadScript),
        ("seek nowhere", &[BaseContent(0), SeekForward(0)], 1, Error::BadScript),
        ("seek back nowhere", &[BaseContent(0), SeekBack(0)], 1, Error::BadScript),
        ("before the base", &[BaseContent(0), SeekForward(5), SeekBack(6)], 1, Error::BadScript),
        ("position too high", &far, 1, Error::BadScript),
        ("path out of the tree", &[held(b"a/../../b")], 1, Error::BadPath),
        ("absolute path", &[held(b"/a")], 1, Error::BadPath),
        ("path too long", &[held(&long)], 1, Error::BadPath),
    ];
    for (name, operations, len, error) in rows {
        for cut in [1, 3, usize::MAX] {
            assert_eq!(read(&written(operations), len, cut), Err(error), "{name}");
        }
    }
    let bytes: [(&str, &[u8], u64); 7] = [
        ("kind 7", &[0x0F], 1),
        ("varint with a needless byte", &[0x88, 0x00, b'a'], 1),
        ("varint beyond 64 bits", &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02], 1),
        ("varint of eleven bytes", &[0x80; 11], 1),
        ("image beyond 16 bits", &[0x85, 0x80, 0x20], 1),
        ("content beyond 32 bits", &[0x86, 0x80, 0x80, 0x80, 0x80, 0x01], 1),
        ("nothing for nothing", &[0x08], 0),
    ];
    for (name, script, len) in bytes {
        assert_eq!(read(script, len, 1), Err(Error::BadScript), "{name}");
    }
    assert_eq!(read(&[], 0, 1), Ok(vec![]));
    assert_eq!(MAX_POSITION, 4 * largest + 3);
}

#[test]
fn a_script_that_only_wanders_about_ends() {
    let mut script = written(&[Operation::BaseContent(0)]);
    let about = written(&[Operation::SeekForward(9), Operation::SeekBack(9)]);
    let mut decoder = Script::new(10);
    let mut fed = 0;
    while let Ok(None | Some(Step::BaseContent { .. })) = decoder.next(&mut &script[..]) {
        fed += script.len();
        script.clone_from(&about);
    }
    assert!(u64::try_from(fed).unwrap() <= MAX_SPARE + 20, "{fed}");
}

fn operation() -> impl Strategy<Value = Done> {
    let bytes = || vec(any::<u8>(), 1..200);
    prop_oneof![
        bytes().prop_map(Done::Insert),
        (0..1_u64 << 40, 1_u64..1 << 20).prop_map(|(at, len)| Done::Copy(at, len)),
        (0..1_u64 << 40, bytes()).prop_map(|(at, bytes)| Done::Add(at, bytes)),
        any::<u32>().prop_map(Done::Content),
        (any::<u16>(), vec(b'a'..=b'z', 1..200)).prop_map(|(image, path)| Done::Held(image, path)),
    ]
}

proptest! {
    #[test]
    fn scripts_survive_any_cutting(mut wanted in vec(operation(), 0..30), cut in 1_usize..300) {
        // A base first; what makes bytes last; runs that would be one apart.
        wanted.insert(0, Done::Content(7));
        wanted.push(Done::Copy(0, 1));
        wanted.dedup_by(|a, b| matches!((a, b), (Done::Insert(_), Done::Insert(_)) | (Done::Add(..), Done::Add(..))));
        let (mut position, mut len, mut script) = (0, 0, Vec::new());
        for done in &wanted {
            let mut put = |operation: Operation<'_>| operation.write(|bytes| script.extend_from_slice(bytes));
            if let Done::Copy(at, _) | Done::Add(at, _) = done {
                if *at > position { put(Operation::SeekForward(at - position)) }
                if *at < position { put(Operation::SeekBack(position - at)) }
                position = *at;
            }
            let made = match done {
                Done::Insert(bytes) => { put(Operation::Insert(bytes)); bytes.len() as u64 }
                Done::Copy(_, len) => { put(Operation::Copy(*len)); position += len; *len }
                Done::Add(_, bytes) => { put(Operation::Add(bytes)); position += bytes.len() as u64; bytes.len() as u64 }
                Done::Held(image, path) => { put(Operation::BaseHeld { image: *image, path }); position = 0; 0 }
                Done::Content(content) => { put(Operation::BaseContent(*content)); position = 0; 0 }
            };
            len += made;
        }
        prop_assert_eq!(read(&script, len, cut), Ok(wanted));
    }

    #[test]
    fn any_bytes_are_a_script_or_refused(bytes in vec(any::<u8>(), 0..600), len in 0_u64..5000, cut in 1_usize..40) {
        let (whole, parts) = (read(&bytes, len, usize::MAX), read(&bytes, len, cut));
        prop_assert_eq!(&whole, &parts);
        for done in whole.into_iter().flatten() {
            match done {
                Done::Insert(bytes) => prop_assert!(bytes.len() as u64 <= len),
                Done::Copy(at, n) => prop_assert!(n <= len && at + n <= MAX_POSITION),
                Done::Add(at, bytes) => prop_assert!(at + bytes.len() as u64 <= MAX_POSITION),
                Done::Held(_, path) => prop_assert_eq!(skiff_protocol::path::check(&path), Ok(())),
                Done::Content(_) => {}
            }
        }
    }
}
