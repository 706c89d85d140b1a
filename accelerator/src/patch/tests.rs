//! What must hold for any two files, and how much work the nasty ones are.

use super::align::common;
use super::stored::Patch;
use super::{make, make_in_any_case};
use crate::sketch::{SHORTEST, Sketched, Sketcher, Sketches, sketch};
use proptest::collection::vec;
use proptest::prelude::*;
use skiff_protocol::script::{Operation, Script, Step};

/// What a device makes of a script.
fn apply(script: &[u8], len: u64, base: &[u8]) -> Vec<u8> {
    let mut script_with_base = Vec::new();
    Operation::BaseContent(0).write(|bytes| script_with_base.extend_from_slice(bytes));
    script_with_base.extend_from_slice(script);
    let (mut decoder, mut input) = (Script::new(len), &script_with_base[..]);
    let mut made = Vec::new();
    let from = |at: u64| &base[usize::try_from(at).unwrap()..];
    while let Some(step) = decoder.next(&mut input).unwrap() {
        match step {
            Step::Insert(bytes) => made.extend_from_slice(bytes),
            Step::Copy { at, len } => {
                made.extend_from_slice(&from(at)[..usize::try_from(len).unwrap()]);
            }
            Step::Add { at, bytes } => {
                assert!(from(at).len() >= bytes.len());
                made.extend(from(at).iter().zip(bytes).map(|(a, b)| a.wrapping_add(*b)));
            }
            Step::BaseHeld { .. } | Step::BaseContent { .. } => {}
        }
    }
    assert!(decoder.is_complete());
    made
}

fn whole(patch: &Patch, base: &[u8]) -> Vec<u8> {
    let mut script = Vec::new();
    patch.slice(0, patch.len(), 0, &mut script);
    apply(&script, patch.len(), base)
}

fn noise(len: usize, mut state: u64) -> Vec<u8> {
    let step = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..len).map(step).collect()
}

/// A program of sorts: instructions of one to seven bytes, some of which refer to others by their distance.
fn program(len: usize, moved: u32, seed: u64) -> Vec<u8> {
    let (choices, mut program) = (noise(len, seed), Vec::new());
    for (at, &choice) in choices.iter().enumerate() {
        match choice % 8 {
            0 => {
                program.push(0xE8);
                let address = u32::from(choice) * 977 + u32::try_from(at % 1000).unwrap() * 64;
                program.extend_from_slice(&(address + moved).to_le_bytes());
            }
            short => program
                .extend_from_slice(&[short, choice, choice >> 4][..usize::from(short % 3) + 1]),
        }
    }
    program.truncate(len);
    program
}

/// Edits a file: at a place, so many bytes are replaced by others.
fn edit(base: &[u8], edits: &[(usize, usize, Vec<u8>)]) -> Vec<u8> {
    let mut target = base.to_vec();
    for (at, gone, new) in edits {
        let at = at % (target.len() + 1);
        let behind = (at + gone).min(target.len());
        target.splice(at..behind, new.iter().copied());
    }
    target
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn slices_at_any_cuts_make_the_target(
        seed in any::<u64>(), len in 0_usize..200_000, few in any::<bool>(),
        edits in vec((any::<usize>(), 0_usize..5000, vec(any::<u8>(), 0..3000)), 0..8),
        cuts in vec(any::<u64>(), 0..6), before in 0_u64..300_000,
    ) {
        let base = if few { noise(len, seed).iter().map(|byte| byte & 3).collect() } else { program(len, 0, seed) };
        let target = edit(&base, &edits);
        let patch = make_in_any_case(&base, &target, &mut 0).unwrap();
        prop_assert_eq!(patch.len(), target.len() as u64);
        let patch = Patch::from_bytes(&patch.to_bytes()).unwrap();
        let mut cuts: Vec<u64> = cuts.iter().map(|cut| cut % (patch.len() + 1)).collect();
        cuts.extend([0, patch.len()]);
        cuts.sort_unstable();
        // A script of nothing names no base.
        cuts.dedup();
        let in_larger = [&vec![9; usize::try_from(before).unwrap()], &base[..]].concat();
        let mut made = Vec::new();
        for cut in cuts.windows(2) {
            let mut script = Vec::new();
            patch.slice(cut[0], cut[1], before, &mut script);
            made.extend_from_slice(&apply(&script, cut[1] - cut[0], &in_larger));
        }
        prop_assert!(made == target);
    }

    #[test]
    fn damaged_bytes_are_no_patch_or_one_that_can_be_cut(
        seed in any::<u64>(), flips in vec((any::<usize>(), any::<u8>()), 1..4), end in any::<usize>(),
    ) {
        let base = program(5000, 0, seed);
        let mut bytes = make_in_any_case(&base, &program(5000, 80, seed), &mut 0).unwrap().to_bytes();
        for (at, byte) in flips {
            let at = at % bytes.len();
            bytes[at] ^= byte;
        }
        bytes.truncate(bytes.len() - end % 3);
        if let Some(patch) = Patch::from_bytes(&bytes) {
            let mut script = Vec::new();
            patch.slice(patch.len() / 3, patch.len(), 0, &mut script);
            prop_assert!(script.len() <= bytes.len() + 32);
        }
    }

    #[test]
    fn a_sketch_does_not_depend_on_how_bytes_come(bytes in vec(any::<u8>(), 0..9000), cut in 1_usize..5000) {
        let mut sketcher = Sketcher::new();
        bytes.chunks(cut).for_each(|part| sketcher.update(part));
        prop_assert_eq!(sketcher.finish(), sketch(&bytes));
        if let Some(sketch) = sketcher.finish() {
            prop_assert!(bytes.len() as u64 >= SHORTEST);
            let mut sketched = Sketched::default();
            sketched.insert([1; 32], sketch);
            sketched.insert([2; 32], sketch);
            prop_assert_eq!(Sketched::decode(&sketched.encode()), sketched);
        }
    }
}

#[test]
fn nasty_files_are_no_more_work_than_others() {
    const LEN: usize = 1 << 20;
    let random = noise(LEN, 1);
    let zeros = vec![0; LEN];
    let shifted = [&[7][..], &random].concat();
    let (first, second) = random.split_at(LEN / 2);
    let swapped = [second, first].concat();
    let mut rows: Vec<(String, Vec<u8>, Vec<u8>)> = vec![
        ("zeros".into(), zeros.clone(), zeros.clone()),
        ("zeros, one more".into(), zeros.clone(), vec![0; LEN + 1]),
        ("random from zeros".into(), zeros.clone(), random.clone()),
        ("zeros from random".into(), random.clone(), zeros.clone()),
        ("random".into(), noise(LEN, 2), random.clone()),
        ("shifted".into(), random.clone(), shifted),
        ("swapped".into(), random.clone(), swapped),
        ("program".into(), program(LEN, 0, 3), program(LEN, 4096, 3)),
        (
            "every 17th byte differs".into(),
            random.clone(),
            random.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at % 17 == 0)).collect(),
        ),
        (
            "every other byte differs".into(),
            random.clone(),
            random.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at % 2 == 0)).collect(),
        ),
        (
            "zeros with ones".into(),
            zeros.clone(),
            (0..LEN).map(|at| u8::from(at % 23 == 0)).collect(),
        ),
    ];
    for period in 2..=64 {
        let len = LEN / 16;
        let periodic: Vec<u8> = noise(period, 9).into_iter().cycle().take(len).collect();
        let other: Vec<u8> = noise(period + 1, 9).into_iter().cycle().take(len).collect();
        let mut spotted = periodic.clone();
        spotted.iter_mut().step_by(67).for_each(|byte| *byte ^= 1);
        rows.push((
            format!("period {period}, off by one"),
            periodic.clone(),
            periodic[1..].to_vec(),
        ));
        rows.push((format!("period {period}, then longer"), periodic.clone(), other));
        rows.push((format!("period {period}, spotted"), periodic, spotted));
    }
    for (name, base, target) in rows {
        let mut work = 0;
        let patch = make_in_any_case(&base, &target, &mut work).unwrap();
        assert!(whole(&patch, &base) == target, "{name}");
        let each = work / target.len() as u64;
        assert!(each <= 1024, "{name}: {each} bytes are compared for each of the target's");
        let script = patch.to_bytes().len();
        assert!(script <= target.len() + target.len() / 8 + 64, "{name}: {script} bytes");
    }
}

#[test]
fn what_moved_costs_little_and_what_is_new_is_not_patched() {
    let base = program(400_000, 0, 5);
    let patch = make(&base, &program(400_000, 80, 5)).unwrap();
    let (mut compressor, mut script) = (libdeflater::Compressor::default(), Vec::new());
    patch.slice(0, patch.len(), 0, &mut script);
    let mut compress = |bytes: &[u8]| {
        let mut compressed = vec![0; compressor.deflate_compress_bound(bytes.len())];
        compressor.deflate_compress(bytes, &mut compressed).unwrap()
    };
    let (patched, plain) = (compress(&script), compress(&base));
    assert!(patched * 4 < plain, "{patched} of {plain} bytes");
    // The same again.
    assert_eq!(make(&base, &program(400_000, 80, 5)).unwrap(), patch);
    let random = noise(100_000, 8);
    for (name, base, target) in [
        ("nothing in common", &base[..], &random[..]),
        ("no base", &[], &random[..]),
        ("no target", &random[..], &[]),
        ("too short to name a base", &random[..40], &random[..40]),
    ] {
        assert_eq!(make(base, target), None, "{name}");
    }
}

#[test]
fn a_sketch_finds_the_program_that_was_built_anew() {
    let mut sketches = Sketches::default();
    for number in 0..100_u32 {
        let program = program(100_000, 0, u64::from(number) + 1);
        sketches.insert(&sketch(&program).unwrap(), number);
    }
    for number in [0, 17, 99] {
        let anew = program(100_000, 4096, u64::from(number) + 1);
        let found = sketches.nearest(&sketch(&anew).unwrap(), 3);
        assert_eq!(found.first().map(|found| found.0), Some(number), "{found:?}");
    }
    assert!(sketches.nearest(&sketch(&noise(100_000, 12_345)).unwrap(), 3).is_empty());
    assert_eq!(sketch(&vec![0; 100_000]), None, "there is nothing in it");
}

#[test]
fn equal_bytes_are_counted() {
    for (a, b, expected) in [
        (&b""[..], &b"x"[..], 0),
        (b"abc", b"abd", 2),
        (b"abcdefghij", b"abcdefghijk", 10),
        (b"abcdefgh", b"abcdXfgh", 4),
    ] {
        assert_eq!(common(a, b), expected);
    }
}
