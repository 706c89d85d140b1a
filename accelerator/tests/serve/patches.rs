//! Packs that are patches.

use super::common::memory::{Files, Memory, bytes};
use super::{MIB, ask, held, plan_id, ranges, request, runtime, serve_from};
use skiff_protocol::Version;
use skiff_protocol::request::{Codecs, Part, Purpose};
use skiff_protocol::response::{Codec, Notice};
use std::sync::Arc;

/// What is made of one seed begins alike.
const FIRST: Files = &[("a", 1, 3 * MIB), ("b", 2, 100_000), ("lib.so.1", 3, MIB), ("same", 4, 9)];
const SECOND: Files =
    &[("a", 1, 3 * MIB + 70_000), ("b", 7, 100_000), ("lib.so.2", 3, MIB - 5), ("same", 4, 9)];

/// With a budget packs wait for their patches, however slow the machine is.
const PATIENT: Option<u64> = Some(1 << 40);

fn both(codecs: Codecs) -> Codecs {
    codecs.and(Codecs::PATCHES)
}

fn memory() -> Arc<Memory> {
    Arc::new(Memory::new(&[("old", FIRST), ("new", SECOND)]))
}

/// The file that a patch of `new` refers to.
fn base(image: u16, path: &[u8]) -> Vec<u8> {
    assert_eq!(image, 0);
    let path = std::str::from_utf8(path).unwrap();
    let (_, seed, len) = FIRST.iter().find(|(name, ..)| *name == path).unwrap();
    bytes(*seed, *len)
}

#[test]
fn what_is_much_alike_comes_as_a_patch() {
    let runtime = runtime();
    let address = serve_from(&runtime, memory());
    let mut request = request(&["new"], &[held("old")]);
    request.max_bytes = PATIENT;
    let plain = ask(address, &request);
    assert!(plain.notices.is_empty() && plain.scripts.is_empty());
    for (codecs, codec) in [
        (both(Codecs::DEFLATE), Codec::DeflateScript),
        (both(Codecs::DEFLATE.and(Codecs::ZSTD)), Codec::ZstdScript),
    ] {
        request.codecs = codecs;
        let mut answer = ask(address, &request);
        assert_eq!(answer.notices, [Notice::PatchBase(0)]);
        assert!(answer.codecs.contains(&codec), "{:?}", answer.codecs);
        assert_eq!((plan_id(&answer), &answer.contents), (plan_id(&plain), &plain.contents));
        assert!(answer.patch(base) >= 3);
        assert_eq!(answer.check_packed(), 3);
        let (patched, whole) = (answer.bytes_from_plan, plain.bytes_from_plan);
        assert!(patched * 4 < whole, "{patched} bytes, {whole} without patches");

        let estimate = ask(address, &request).plan.unwrap();
        request.purpose = Purpose::Measure;
        let measured = ask(address, &request).plan.unwrap();
        assert!(measured.exact && measured.wire_bytes == patched, "{measured:?}");
        assert_eq!(estimate.wire_bytes, patched, "what is cached is known");
        request.purpose = Purpose::Deliver;
    }
}

#[test]
fn who_does_not_know_patches_gets_none_and_single_contents_are_whole() {
    let runtime = runtime();
    let address = serve_from(&runtime, memory());
    let mut request = request(&["new"], &[held("old")]);
    request.codecs = both(Codecs::DEFLATE);
    let plan = plan_id(&ask(address, &request));
    request.version = Version { minor: 4, ..Version::CURRENT };
    let old = ask(address, &request);
    assert!(old.scripts.is_empty() && old.notices.is_empty());
    request.version = Version::CURRENT;
    request.part = Part::Repair { plan, contents: ranges(&[0]) };
    assert!(ask(address, &request).scripts.is_empty());
    request.part = Part::Rest { plan, have: ranges(&[0]) };
    let rest = ask(address, &request);
    assert!(!rest.scripts.is_empty() && rest.packs.is_empty());
    assert!(rest.notices.is_empty(), "they were told");
}

#[test]
fn what_the_registry_has_no_more_is_no_base() {
    let runtime = runtime();
    let memory = memory();
    memory.gone.lock().unwrap().insert("old".to_owned());
    let address = serve_from(&runtime, memory);
    let mut request = request(&["new"], &[held("old")]);
    request.codecs = both(Codecs::DEFLATE);
    let answer = ask(address, &request);
    assert_eq!((answer.scripts.len(), answer.check_packed()), (0, 3));
}

/// `c` begins as `a` does, and `d` as `b` does; `b` and `c` share a pack.
const ALIKE: Files = &[("a", 1, MIB), ("b", 2, 100_000), ("c", 1, 3 * MIB), ("d", 2, 90_000)];

#[test]
fn what_is_alike_within_a_stream_comes_once() {
    let runtime = runtime();
    let address = serve_from(&runtime, Arc::new(Memory::new(&[("new", ALIKE)])));
    let mut request = request(&["new"], &[]);
    request.max_bytes = PATIENT;
    let plain = ask(address, &request);
    assert!(plain.scripts.is_empty());
    request.codecs = both(Codecs::DEFLATE);
    let mut answer = ask(address, &request);
    assert!(answer.notices.is_empty(), "nothing is held");
    assert_eq!((plan_id(&answer), &answer.contents), (plan_id(&plain), &plain.contents));
    assert!(!answer.scripts.contains_key(&0), "nothing is before the first pack");
    assert_eq!(answer.patch(|_, _| panic!("nothing is held")), 4);
    assert_eq!(answer.check_packed(), 4);
    let (patched, whole) = (answer.bytes_from_plan, plain.bytes_from_plan);
    assert!(patched < whole, "{patched} bytes, {whole} without patches");

    // The rest for a device that has the first two packs, and for one that knows no patches.
    let (plan, have) = (plan_id(&answer), ranges(&[0, 1]));
    request.part = Part::Rest { plan, have: have.clone() };
    let rest = ask(address, &request);
    assert_eq!(rest.scripts.keys().copied().collect::<Vec<_>>(), [2, 3, 4]);
    request.codecs = Codecs::DEFLATE;
    assert!(ask(address, &request).scripts.is_empty());
    request.part = Part::Repair { plan, contents: ranges(&[2]) };
    request.codecs = both(Codecs::DEFLATE);
    assert!(ask(address, &request).scripts.is_empty());
}

#[test]
fn what_is_not_there_yet_is_no_base() {
    let runtime = runtime();
    let like_all: Files = &[("a", 1, 2 * MIB), ("b", 2, 80_000)];
    let memory = Memory::new(&[("old", like_all), ("new", ALIKE)]);
    let address = serve_from(&runtime, Arc::new(memory));
    let mut request = request(&["new"], &[held("old")]);
    request.max_bytes = PATIENT;
    request.codecs = both(Codecs::DEFLATE).and(Codecs::NO_HELD_BASES);
    let mut cold = ask(address, &request);
    assert!(cold.notices.is_empty());
    let plan = plan_id(&cold);
    // As for a device that holds nothing.
    assert_eq!(cold.patch(|_, _| panic!("it is not there")), 4);
    assert_eq!(cold.check_packed(), 4);

    request.codecs = both(Codecs::DEFLATE);
    let warm = ask(address, &request);
    assert_eq!(warm.notices, [Notice::PatchBase(0)]);
    // A device goes on with a plan that was made for another, whose files were there.
    assert_eq!(plan_id(&warm), plan);
    request.part = Part::Resume { plan, have: ranges(&[]) };
    request.codecs = both(Codecs::DEFLATE).and(Codecs::NO_HELD_BASES);
    let mut resumed = ask(address, &request);
    assert!(resumed.notices.is_empty());
    resumed.patch(|_, _| panic!("it is not there"));
    resumed.check_packed();
}
