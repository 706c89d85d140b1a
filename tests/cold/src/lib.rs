//! Every way to open a cold file, through a real overlay mount: each waits, and gets the file's own bytes.
//!
//! The cases know nothing of who keeps the files cold, so that the same ones run on the host (`tests/tests/lazy_cases.rs`, each with
//! an image of its own) and on an emulated device (`skiff-cold`, all of one image): a case gets a [`Ground`], whose layer
//! holds [`FILES`] with bytes that are its own, lies above a layer with [`BASE`], and is cold.
#![allow(clippy::unwrap_used, reason = "tests")]

mod change;
mod container;
mod execute;
mod ground;
mod read;
mod tree;

pub use ground::{BASE, File, Ground, Kind, MTIME, Programs, files, noise, overlay};

use std::path::Path;
use std::process::{Command, Output};

/// What a case needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// A kernel, and what busybox has.
    Nothing,
    /// A static busybox in the image.
    Busybox,
    /// `tests/programs`, compiled.
    Compiled,
    /// A static busybox in the image, and runc.
    Runc,
}

/// A case: what is done with the merged tree.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What it tries.
    pub name: &'static str,
    /// What it needs.
    pub needs: Needs,
    /// Panics if something is wrong.
    pub run: fn(&Ground),
}

const fn case(name: &'static str, run: fn(&Ground)) -> Case {
    Case { name, needs: Needs::Nothing, run }
}

impl Case {
    const fn needs(self, needs: Needs) -> Self {
        Self { needs, ..self }
    }
}

/// All of them.
pub fn cases() -> Vec<Case> {
    let all = [read::CASES, execute::CASES, change::CASES, tree::CASES, container::CASES];
    all.into_iter().flatten().copied().collect()
}

/// Runs a program to its end, twenty seconds at most; gives its standard output.
#[track_caller]
fn run(program: impl AsRef<Path>, arguments: &[&str]) -> Vec<u8> {
    let output = output(program.as_ref(), arguments, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {}: {said}", output.status);
    output.stdout
}

/// Runs a program with more environment; gives what came of it.
fn output(program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new("timeout");
    command.arg("20").arg(program).args(arguments).envs(environment.iter().copied());
    command.output().unwrap()
}
