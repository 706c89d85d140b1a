//! Which device: `qemu/README.md` has their table.

/// The emulated devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// ARMv8, 64 bits, with containerd.
    Arm64,
    /// ARMv7 with hardware floating point, 32 bits, without containerd.
    Armv7,
}

/// Whose kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Debian's.
    Old,
    /// Its backports'.
    New,
}

impl Model {
    /// What `qemu/run.sh --device` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::Armv7 => "armv7",
        }
    }

    /// Debian's name of its architecture.
    pub fn debian(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::Armv7 => "armhf",
        }
    }

    /// Architecture and variant in an image, in Go's words.
    pub fn platform(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Arm64 => ("arm64", None),
            Self::Armv7 => ("arm", Some("v7")),
        }
    }

    /// What `uname -m` calls it.
    pub fn machine(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64",
            Self::Armv7 => "armv7l",
        }
    }

    /// What the compiler calls it.
    pub fn triple(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64-unknown-linux-musl",
            Self::Armv7 => "armv7-unknown-linux-musleabihf",
        }
    }
}

impl Kernel {
    /// What `qemu/run.sh --kernel` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
    }
}
