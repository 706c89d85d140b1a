//! Skiff agent.
fn main() {}
