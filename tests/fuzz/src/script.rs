//! Scripts of patched packs, as an agent takes them apart, and patches, as an accelerator makes and cuts them.
//!
//! The first byte says which: for a script, how its bytes are cut, how many bytes it is to make, and the script; for a patch,
//! two cuts, how long the base is, and base and target, one behind the other.
//!
//! Must hold, whatever the bytes are:
//! - A script says the same however it is cut.
//! - It never makes more bytes than the pack has, and is complete only with all of them.
//! - What it says, written again, says the same.
//! - A path is one that an entry may have; positions do not overflow.
//! - A patch, cut anywhere, makes the target of the base, also after it was kept as bytes.
//!
//! The planted fault: a decoder that begins anew with each part of its input.

use crate::chance::Chance;
use crate::{Planted, Target};
use skiff_accelerator::patch::{self, Patch};
use skiff_protocol::script::{MAX_POSITION, Operation, Script, Step};
use skiff_protocol::{Error, path};

/// The target.
pub const TARGET: Target = Target { name: "script", check, generate, inputs: 4_000 };

/// What was said, with runs that came in parts as one.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Held(u16, Vec<u8>),
    Content(u32),
    Insert(Vec<u8>),
    Copy(u64, u64),
    Add(u64, Vec<u8>),
}

/// Its body.
pub fn check(input: &[u8], planted: Planted) {
    let [mode, a, b, c, rest @ ..] = input else { return };
    if mode % 2 == 0 {
        let len = u64::from(u16::from_le_bytes([*b, *c]));
        check_script(rest, len, usize::from(*a) + 1, planted);
    } else {
        let (base, target) = rest.split_at(rest.len() * usize::from(*c) / 255);
        check_patch(base, target, [*a, *b]);
    }
}

fn check_script(script: &[u8], len: u64, cut: usize, planted: Planted) {
    let whole = read(script, len, usize::MAX, Planted::Nothing);
    assert!(whole == read(script, len, cut, planted), "it depends on where the script is cut");
    let Ok((said, true)) = whole else { return };
    let again = write(&said);
    assert!(
        read(&again, len, usize::MAX, Planted::Nothing) == Ok((said, true)),
        "what was written again says something else"
    );
}

fn read(script: &[u8], len: u64, cut: usize, planted: Planted) -> Result<(Vec<Said>, bool), Error> {
    let mut decoder = Script::new(len);
    let (mut said, mut made) = (Vec::new(), 0);
    for (number, mut part) in script.chunks(cut).enumerate() {
        if planted.is_fault() && number > 0 {
            decoder = Script::new(len - made);
        }
        while let Some(step) = decoder.next(&mut part)? {
            made += step.makes();
            assert!(made <= len, "{made} bytes of {len}");
            said.push(match step {
                Step::Insert(bytes) => Said::Insert(bytes.to_vec()),
                Step::Add { at, bytes } => Said::Add(at, bytes.to_vec()),
                Step::Copy { at, len } => {
                    assert!(at.checked_add(len).is_some_and(|end| end <= MAX_POSITION));
                    Said::Copy(at, len)
                }
                Step::BaseHeld { image, path } => {
                    // An empty one is that of the entry at hand.
                    let is_right = path.is_empty() || path::check(path).is_ok();
                    assert!(is_right, "an entry may not have this path");
                    Said::Held(image, path.to_vec())
                }
                Step::BaseContent { content } => Said::Content(content),
            });
        }
    }
    let complete = decoder.is_complete();
    assert!(!complete || made == len, "complete with {made} bytes of {len}");
    Ok((joined(said), complete))
}

/// Neighbours of one kind as one, since a cut between two runs is not told from one in a run.
fn joined(said: Vec<Said>) -> Vec<Said> {
    let mut joined: Vec<Said> = Vec::new();
    for next in said {
        match (joined.last_mut(), next) {
            (Some(Said::Insert(before)), Said::Insert(bytes)) => before.extend(bytes),
            (Some(Said::Add(from, before)), Said::Add(at, bytes))
                if *from + before.len() as u64 == at =>
            {
                before.extend(bytes);
            }
            (_, next) => joined.push(next),
        }
    }
    joined
}

fn write(said: &[Said]) -> Vec<u8> {
    let (mut script, mut position) = (Vec::new(), 0);
    for said in said {
        let mut put = |operation: Operation<'_>| {
            operation.write(|bytes| script.extend_from_slice(bytes));
        };
        if let Said::Copy(at, _) | Said::Add(at, _) = *said {
            // A position is too large for one head.
            while at > position {
                let step = (at - position).min((1 << 61) - 1);
                put(Operation::SeekForward(step));
                position += step;
            }
            while position > at {
                let step = (position - at).min((1 << 61) - 1);
                put(Operation::SeekBack(step));
                position -= step;
            }
        }
        match said {
            Said::Insert(bytes) => put(Operation::Insert(bytes)),
            Said::Copy(_, len) => {
                put(Operation::Copy(*len));
                position += len;
            }
            Said::Add(_, bytes) => {
                put(Operation::Add(bytes));
                position += bytes.len() as u64;
            }
            Said::Held(image, path) => {
                put(Operation::BaseHeld { image: *image, path });
                position = 0;
            }
            Said::Content(content) => {
                put(Operation::BaseContent(*content));
                position = 0;
            }
        }
    }
    script
}

#[allow(clippy::expect_used, reason = "that is what it does")]
fn check_patch(base: &[u8], target: &[u8], cuts: [u8; 2]) {
    let Some(patch) = patch::make(base, target) else { return };
    let patch = Patch::from_bytes(&patch.to_bytes()).expect("it was just made");
    assert_eq!(patch.len(), target.len() as u64);
    let mut cuts = cuts.map(|cut| patch.len() * u64::from(cut) / 255);
    cuts.sort_unstable();
    let mut made = Vec::new();
    for (from, to) in [(0, cuts[0]), (cuts[0], cuts[1]), (cuts[1], patch.len())] {
        let mut script = Vec::new();
        Operation::BaseContent(0).write(|bytes| script.extend_from_slice(bytes));
        patch.slice(from, to, 0, &mut script);
        if from < to {
            apply(&script, to - from, base, &mut made);
        }
    }
    assert!(made == target, "the patch makes something else");
}

#[allow(clippy::expect_used, reason = "that is what it does")]
fn apply(script: &[u8], len: u64, base: &[u8], made: &mut Vec<u8>) {
    let part = |at: u64, len: u64| {
        let first = usize::try_from(at).expect("it is in memory");
        let len = usize::try_from(len).expect("it is in memory");
        base.get(first..first + len).expect("the base has it")
    };
    let (mut decoder, mut input) = (Script::new(len), script);
    while let Some(step) = decoder.next(&mut input).expect("it was just made") {
        match step {
            Step::Insert(bytes) => made.extend_from_slice(bytes),
            Step::Copy { at, len } => made.extend_from_slice(part(at, len)),
            Step::Add { at, bytes } => {
                let old = part(at, bytes.len() as u64);
                made.extend(old.iter().zip(bytes).map(|(old, byte)| old.wrapping_add(*byte)));
            }
            Step::BaseHeld { .. } | Step::BaseContent { .. } => {}
        }
    }
    assert!(decoder.is_complete(), "the script of a part is not complete");
}

/// Makes a valid input.
pub fn generate(chance: &mut Chance) -> Vec<u8> {
    if chance.one_in(3) {
        return generate_patch(chance);
    }
    let (mut said, mut len) = (vec![Said::Content(3)], 0);
    for _ in 0..=chance.below(12) {
        let at = chance.number() >> *chance.pick(&[2, 40, 60]);
        let run = chance.below(300) + 1;
        said.push(match chance.below(6) {
            0 => Said::Held(u16::from(chance.byte()), b"usr/bin/x".to_vec()),
            1 => Said::Content(u32::from(chance.byte())),
            2 => Said::Insert(chance.bytes(run)),
            3 => Said::Add(at, chance.bytes(run)),
            _ => Said::Copy(at, run as u64),
        });
        if let Some(Said::Insert(_) | Said::Add(..) | Said::Copy(..)) = said.last() {
            len += run;
        }
    }
    said.push(Said::Insert(vec![7]));
    let [low, high, ..] = (len + 1).to_le_bytes();
    let mut input = vec![0, chance.byte(), low, high];
    input.extend(write(&said));
    input
}

fn generate_patch(chance: &mut Chance) -> Vec<u8> {
    let len = 200 + chance.below(4000);
    let base = chance.bytes(len);
    let mut target = base.clone();
    for _ in 0..chance.below(8) {
        let at = chance.below(target.len());
        let behind = (at + chance.below(60)).min(target.len());
        let many = chance.below(60);
        target.splice(at..behind, chance.bytes(many));
        if target.is_empty() {
            target.push(0);
        }
    }
    let share = (base.len() * 255).div_ceil(base.len() + target.len());
    let mut input = vec![1, chance.byte(), chance.byte(), share.to_le_bytes()[0]];
    input.extend(base);
    input.extend(target);
    input
}
