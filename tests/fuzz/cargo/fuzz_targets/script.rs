//! Hands libFuzzer's bytes to the target.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    skiff_fuzz::script::check(input, skiff_fuzz::Planted::Nothing);
});
