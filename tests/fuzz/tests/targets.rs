//! Every target over the inputs of one seed (`SKIFF_SEED=N` for another): nothing is found, and with its planted
//! fault something is. Needs root: the pulls among them make devices and change owners.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use skiff_fuzz::run::run;
use skiff_fuzz::{Planted, Target, target};
use std::path::PathBuf;

fn seed() -> u64 {
    std::env::var("SKIFF_SEED").map_or(1, |text| text.parse().unwrap())
}

fn check(name: &str) {
    let target: Target = target(name).unwrap();
    if let Err(found) = run(&target, seed(), target.inputs, Planted::Nothing) {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let file = directory.join(format!("{name}-{}-{}", seed(), found.number));
        std::fs::write(&file, &found.input).unwrap();
        panic!("{name}: input {} breaks an invariant; it is in {}", found.number, file.display());
    }
    let planted = run(&target, seed(), target.inputs, Planted::Fault);
    assert!(planted.is_err(), "{name} does not see its planted fault");
}

macro_rules! targets {
    ($($name:ident)*) => { $(#[test] fn $name() { check(stringify!($name)); })* };
}

targets! { frames packs table layers seek requests documents grpc script apply }

#[test]
fn there_are_no_others() {
    assert_eq!(skiff_fuzz::TARGETS.len(), 10);
}
