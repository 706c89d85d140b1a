//! How many files may be cold at once.
//!
//! Each costs a descriptor and about 1.6 KB of kernel memory (an open file, a lease, an inode that can't be
//! dropped; measured on Linux 6.18), which the agent's own memory does not show.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::system::sysinfo;

/// However much memory there is.
const MOST: u64 = 16_384;
/// Kernel memory of one cold file, bytes.
const COST: u64 = 1_638;
/// Descriptors for everything else: connections, directories, files that are written.
const OTHERS: u64 = 256;

/// The least of [`MOST`], what 5 % of the memory allows, and the descriptors that this process may have, whose limit
/// is raised as far as it goes.
pub fn most_cold_files() -> u32 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // If it can't be raised there are fewer.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let info = sysinfo();
    #[allow(clippy::useless_conversion, reason = "32 bits where the processor has 32")]
    bound(u64::from(info.totalram) * u64::from(info.mem_unit), descriptors)
}

fn bound(memory: u64, descriptors: u64) -> u32 {
    let most = MOST.min(memory / 20 / COST).min(descriptors.saturating_sub(OTHERS));
    u32::try_from(most).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::bound;

    #[test]
    fn the_least_of_three() {
        for (memory, descriptors, files) in [
            (1 << 30, 1 << 20, 16_384),
            (256 << 20, 1 << 20, 8_194),
            (1 << 30, 1_024, 768),
            (1 << 30, 100, 0),
        ] {
            assert_eq!(bound(memory, descriptors), files, "{memory} {descriptors}");
        }
    }
}
