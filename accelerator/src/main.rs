//! Skiff accelerator.
fn main() {}
