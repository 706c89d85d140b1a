//! Runs a target over inputs that a seed determines, with any compiler.

use crate::chance::Chance;
use crate::mutate::mutate;
use crate::{Planted, Target};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// An input that breaks an invariant.
#[derive(Debug)]
pub struct Found {
    /// Which one it was.
    pub number: u32,
    /// The input.
    pub input: Vec<u8>,
}

/// Gives the target so many inputs, a quarter of them valid. Ends with the first that breaks an invariant, whose panic
/// has said what.
///
/// # Errors
/// There is one.
pub fn run(target: &Target, seed: u64, inputs: u32, planted: Planted) -> Result<(), Found> {
    let mut other = Vec::new();
    for number in 0..inputs {
        // Each input can be made again without those before it.
        let mut chance = Chance::new(seed ^ (u64::from(number) << 32));
        let mut input = (target.generate)(&mut chance);
        if number % 4 != 0 {
            let lent = if other.is_empty() { input.clone() } else { std::mem::take(&mut other) };
            let valid = input.clone();
            mutate(&mut input, &lent, &mut chance);
            other = valid;
        }
        let checked = catch_unwind(AssertUnwindSafe(|| (target.check)(&input, planted)));
        if checked.is_err() {
            return Err(Found { number, input });
        }
    }
    Ok(())
}
