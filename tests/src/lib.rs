//! End-to-end tests of Skiff, and what they stand on: builders of images ([`tarball`],
//! [`layout`], [`hard`]), answers written by hand ([`script`]), the comparer of trees ([`compare`]), a [`disk`] that loses power, an
//! emulated [`device`], a [`fleet`], an image that is [`startable`] and [`cold`], [`certificates`], somebody [`between`], [`bounds`] and [`spans`] to measure against, and a [`harness`] for the real programs: docker-registry, containerd, the
//! accelerator and the agent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper that can't do its work fails the test, and says why"
)]

pub mod between;
pub mod bounds;
pub mod certificates;
pub mod cold;
pub mod device;
pub mod disk;
pub mod fleet;
pub mod gateway;
pub mod hard;
pub mod harness;
pub mod layout;
mod push;
pub mod random;
pub mod script;
pub mod service;
pub mod spans;
pub mod startable;
pub mod tarball;

pub use skiff_compare as compare;
