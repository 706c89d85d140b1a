//! Fuzz targets: each is a plain function of bytes that panics where an invariant is broken, and a generator of
//! valid inputs.
//!
//! | target | the bytes | says its `//!` what must hold |
//! |---|---|---|
//! | [`frames`] | frames of an answer, and their messages | both |
//! | [`packs`] | packs, encoded or to be encoded | both |
//! | [`table`] | records of the table of contents | agent |
//! | [`layers`] | tars of an image's layers, merged | accelerator |
//! | [`seek`] | layer blobs, and seek indexes | accelerator |
//! | [`requests`] | requests and reports of devices | accelerator |
//! | [`documents`] | indexes, manifests, configs | both |
//! | [`grpc`] | what stands in for containerd says on its socket | agent |
//! | [`script`] | scripts of patched packs, and patches | both |
//! | [`apply`] | a whole answer, taken by a whole pull | agent |
//!
//! The same bodies run twice. `make test` runs them with the stable compiler ([`run`]) over inputs that a seed
//! determines: some are valid, most are valid ones that [`mutate`] has damaged. `make fuzz` runs them under
//! libFuzzer, which looks for inputs that reach new code; it starts with a corpus from the same generators.
//!
//! Each target has a planted fault, too: with it, the part under test (or what stands around it) is wrong in one way
//! that the invariant forbids. `make test` sees that each target finds its own.

pub mod answer;
pub mod apply;
pub mod chance;
pub mod documents;
pub mod frames;
pub mod grpc;
pub mod layers;
pub mod mutate;
pub mod packs;
pub mod requests;
pub mod run;
pub mod script;
pub mod seek;
pub mod table;

use chance::Chance;

/// A target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Its body: panics if an invariant is broken. With the fault planted, some inputs break it.
    pub check: fn(&[u8], Planted),
    /// Makes a valid input.
    pub generate: fn(&mut Chance) -> Vec<u8>,
    /// How many inputs `make test` gives it.
    pub inputs: u32,
}

/// Whether the target's fault is planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// What is tested is what ships.
    Nothing,
    /// It is wrong in the way that the target's `//!` says.
    Fault,
}

impl Planted {
    /// Whether it is.
    pub fn is_fault(self) -> bool {
        self == Self::Fault
    }
}

/// All targets.
pub const TARGETS: [Target; 10] = [
    frames::TARGET,
    packs::TARGET,
    table::TARGET,
    layers::TARGET,
    seek::TARGET,
    requests::TARGET,
    documents::TARGET,
    grpc::TARGET,
    script::TARGET,
    apply::TARGET,
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}
