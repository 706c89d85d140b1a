//! What a processor must have for what this binary was compiled to (`getauxval(3)`).

/// Whether the processor has the instructions that this binary takes for granted: on 64-bit ARM CRC32, if it was compiled with
/// them (`cross/config.toml`). ARMv8.0 leaves them to the maker, and ARMv8.1 demands them.
pub fn has_instructions() -> bool {
    #[cfg(all(target_arch = "aarch64", target_feature = "crc"))]
    {
        // SAFETY: no memory is passed.
        let capabilities = unsafe { libc::getauxval(libc::AT_HWCAP) };
        capabilities & libc::HWCAP_CRC32 != 0
    }
    #[cfg(not(all(target_arch = "aarch64", target_feature = "crc")))]
    true
}
