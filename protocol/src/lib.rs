#![no_std]
//! Skiff wire format.
