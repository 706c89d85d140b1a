//! What images this device runs: its operating system and processor in the words of OCI.

use skiff_protocol::request::Platform;

/// The platform of the machine that this binary runs on, from `uname`. A 32-bit agent on a 64-bit
/// kernel asks for 32-bit images if the kernel reports a 32-bit machine (`linux32`), and for
/// 64-bit ones otherwise: containers run on the kernel, not on the agent.
pub fn of_this_device() -> Platform<'static> {
    from_machine(rustix::system::uname().machine().to_bytes())
}

fn from_machine(machine: &[u8]) -> Platform<'static> {
    let (architecture, variant) = match machine {
        b"x86_64" => ("amd64", ""),
        b"aarch64" => ("arm64", "v8"),
        b"armv8l" | b"armv7l" => ("arm", "v7"),
        b"armv6l" => ("arm", "v6"),
        b"armv5tel" | b"armv5tejl" => ("arm", "v5"),
        b"i686" | b"i586" | b"i386" => ("386", ""),
        b"riscv64" => ("riscv64", ""),
        b"ppc64le" => ("ppc64le", ""),
        b"s390x" => ("s390x", ""),
        _ => (std::env::consts::ARCH, ""),
    };
    Platform { os: "linux", architecture, variant }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_have_oci_names() {
        for (machine, architecture, variant) in [
            (&b"aarch64"[..], "arm64", "v8"),
            (b"armv7l", "arm", "v7"),
            (b"armv6l", "arm", "v6"),
            (b"x86_64", "amd64", ""),
        ] {
            let platform = from_machine(machine);
            assert_eq!((platform.architecture, platform.variant), (architecture, variant));
        }
    }
}
