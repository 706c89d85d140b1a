//! Skiff tests.
