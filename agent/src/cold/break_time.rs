//! `/proc/sys/fs/lease-break-time`: after so many seconds the kernel ends a lease that somebody waits for, and the
//! reader would see zeros.
//!
//! So it is 0, which means never, while there are cold files. The setting is one for the whole machine (NFS and Samba
//! servers use leases, too); the old value is written to `STATE/lease-break-time` first, and put back when nothing is
//! cold any more, by whichever process finds it there.

use crate::state::StateError;
use crate::sync;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

const SETTING: &str = "/proc/sys/fs/lease-break-time";
const NAME: &str = "lease-break-time";

/// The setting, and where its old value is kept.
#[derive(Debug)]
pub struct BreakTime {
    saved: PathBuf,
}

impl BreakTime {
    /// For this state directory.
    pub fn new(state: &Path) -> Self {
        Self { saved: state.join(NAME) }
    }

    /// Leases last for ever from now on.
    pub fn stop(&self) -> Result<(), StateError> {
        let now = read(Path::new(SETTING))?;
        if now.trim() == "0" {
            return Ok(());
        }
        let write = sync::replace(&self.saved, |file| file.write_all(now.trim().as_bytes()));
        write.map_err(|e| StateError::io(&self.saved, e))?;
        set("0")
    }

    /// Puts the old value back, if there is one.
    pub fn put_back(&self) -> Result<(), StateError> {
        if !self.saved.exists() {
            return Ok(());
        }
        set(read(&self.saved)?.trim())?;
        fs::remove_file(&self.saved).map_err(|e| StateError::io(&self.saved, e))
    }
}

fn read(path: &Path) -> Result<String, StateError> {
    fs::read_to_string(path).map_err(|e| StateError::io(path, e))
}

fn set(value: &str) -> Result<(), StateError> {
    fs::write(SETTING, value).map_err(|e| StateError::io(Path::new(SETTING), e))
}
