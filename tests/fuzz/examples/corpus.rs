//! `corpus TARGET DIRECTORY`: writes valid inputs of a target, for libFuzzer to begin with. `corpus` alone lists the
//! targets.

use skiff_fuzz::chance::Chance;
use skiff_fuzz::{TARGETS, target};
use std::path::PathBuf;

/// How many inputs.
const INPUTS: u64 = 200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(directory)) = (arguments.next(), arguments.next()) else {
        TARGETS.iter().for_each(|target| println!("{}", target.name));
        return Ok(());
    };
    let target = target(&name).ok_or("there is no such target")?;
    let directory = PathBuf::from(directory);
    std::fs::create_dir_all(&directory)?;
    for seed in 0..INPUTS {
        let input = (target.generate)(&mut Chance::new(seed));
        std::fs::write(directory.join(format!("seed-{seed}")), input)?;
    }
    Ok(())
}
