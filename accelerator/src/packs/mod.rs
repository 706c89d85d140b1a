//! Packs: what is cut out of a plan's content space, encoded, cached and sent.
pub mod deflate;
