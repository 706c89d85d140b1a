//! Skiff accelerator library.
