//! Which of an index's manifests a device runs: the rules of containerd's `platforms.Only`
//! (`platforms/compare.go` and `database.go` in 1.6), so that a device gets the manifest that a
//! stock pull gives it.
//!
//! A device of ARM v7 takes v7, else v6, else v5, never a later one; arm64 is v8 and takes 32-bit
//! ARM where there is nothing else; amd64 takes its lower levels and then 386.

use std::fmt;
use std::str::FromStr;

/// An operating system, architecture and variant, in the OCI's words.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: String,
}

/// Why a text is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no platform; write it like `linux/arm/v7`")]
pub struct PlatformError(String);

impl Platform {
    /// A platform, with the names in their normal form (`aarch64` is `arm64`, `arm` is `arm/v7`).
    pub fn new(os: &str, architecture: &str, variant: &str) -> Self {
        let os = os.to_ascii_lowercase();
        let os = if os == "macos" { "darwin".to_owned() } else { os };
        let (architecture, variant) =
            normalize(architecture.to_ascii_lowercase(), variant.to_ascii_lowercase());
        Self { os, architecture, variant }
    }

    /// Operating system, architecture, variant.
    pub fn parts(&self) -> [&str; 3] {
        [&self.os, &self.architecture, &self.variant]
    }

    /// How well an image for `offered` suits this device: 0 is best, `None` is not at all.
    pub fn rank(&self, offered: &Self) -> Option<usize> {
        self.accepted().iter().position(|accepted| accepted == offered)
    }

    /// What this device runs, best first.
    fn accepted(&self) -> Vec<Self> {
        let lower = |lowest: u8| {
            let own = self.variant.strip_prefix('v').and_then(|v| v.parse::<u8>().ok());
            let range = lowest..own.unwrap_or(0);
            range.rev().map(|v| Self::new(&self.os, &self.architecture, &format!("v{v}")))
        };
        let mut accepted = vec![self.clone()];
        match self.architecture.as_str() {
            "amd64" => {
                accepted.extend(lower(1));
                accepted.push(Self::new(&self.os, "386", ""));
            }
            "arm" => accepted.extend(lower(5)),
            "arm64" => {
                let variant = if self.variant.is_empty() { "v8" } else { &self.variant };
                accepted.extend(Self::new(&self.os, "arm", variant).accepted());
            }
            _ => {}
        }
        accepted
    }
}

fn normalize(architecture: String, variant: String) -> (String, String) {
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64", other) => ("amd64", other),
        ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
        ("aarch64", other) => ("arm64", other),
        ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
        ("armel", _) | ("arm", "6") => ("arm", "v6"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "8") => ("arm", "v8"),
        _ => return (architecture, variant),
    };
    (architecture.to_owned(), variant.to_owned())
}

impl From<&skiff_protocol::request::Platform<'_>> for Platform {
    fn from(platform: &skiff_protocol::request::Platform<'_>) -> Self {
        Self::new(platform.os, platform.architecture, platform.variant)
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Err(PlatformError(text.to_owned()));
        }
        match parts[..] {
            [os, architecture] => Ok(Self::new(os, architecture, "")),
            [os, architecture, variant] => Ok(Self::new(os, architecture, variant)),
            _ => Err(PlatformError(text.to_owned())),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_an_index() {
        let all = "linux/amd64 linux/386 linux/arm/v5 linux/arm/v6 linux/arm/v7 linux/arm64/v8";
        let rows = [
            ("linux/amd64", all, Some("linux/amd64")),
            ("linux/x86_64", all, Some("linux/amd64")),
            ("linux/amd64/v3", "linux/amd64 linux/amd64/v2", Some("linux/amd64/v2")),
            ("linux/amd64/v2", "linux/amd64/v3 linux/amd64/v1", Some("linux/amd64")),
            ("linux/amd64", "linux/amd64/v2", None),
            ("linux/amd64", "linux/386", Some("linux/386")),
            ("linux/386", "linux/amd64", None),
            ("linux/arm/v7", all, Some("linux/arm/v7")),
            ("linux/arm", all, Some("linux/arm/v7")),
            ("linux/armhf", all, Some("linux/arm/v7")),
            ("linux/arm/v7", "linux/arm/v5 linux/arm/v6", Some("linux/arm/v6")),
            ("linux/arm/v7", "linux/arm/v5", Some("linux/arm/v5")),
            ("linux/arm/v6", "linux/arm/v7 linux/arm/v5", Some("linux/arm/v5")),
            ("linux/arm/v6", "linux/arm/v7 linux/arm64", None),
            ("linux/arm/v6", "linux/arm", None),
            ("linux/armel", "linux/arm/6", Some("linux/arm/v6")),
            ("linux/arm/v5", all, Some("linux/arm/v5")),
            ("linux/arm64", all, Some("linux/arm64")),
            ("linux/aarch64/8", "linux/arm64", Some("linux/arm64")),
            ("linux/arm64", "linux/arm/v6 linux/arm/v7", Some("linux/arm/v7")),
            ("linux/arm64", "linux/amd64", None),
            ("linux/riscv64", all, None),
            ("linux/amd64", "windows/amd64", None),
            ("Linux/AMD64", "linux/amd64", Some("linux/amd64")),
        ];
        for (device, index, expected) in rows {
            let device: Platform = device.parse().unwrap();
            let offered = index.split(' ').map(|text| text.parse::<Platform>().unwrap());
            let best = offered
                .filter_map(|offered| Some((device.rank(&offered)?, offered)))
                .min_by_key(|(rank, _)| *rank)
                .map(|(_, offered)| offered.to_string());
            assert_eq!(best.as_deref(), expected, "{device} of {index}");
        }
    }

    #[test]
    fn what_is_no_platform() {
        for text in ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux//v7"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
