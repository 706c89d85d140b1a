//! Files that may have been read as zeros: cold, open in some process, and under no lease when the daemon came. That takes the
//! death of daemon and holder at once.
//!
//! They are kept in `STATE/zeros`, a line of JSON each, until `skiff gc`, so that `skiff status` names them however often
//! the daemon starts.

use super::processes;
use crate::hydrate::Unguarded;
use crate::json;
use crate::state::StateError;
use crate::sync;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// One file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename = "may_have_read_zeros")]
pub struct Zeros {
    path: String,
    processes: Vec<String>,
}

impl Zeros {
    /// For `skiff status`.
    pub fn line(&self, json: bool) -> String {
        if json {
            return json::text(self).unwrap_or_default() + "\n";
        }
        let who = match &*self.processes.join(", ") {
            "" => "processes that have ended".to_owned(),
            processes => processes.to_owned(),
        };
        format!("/{} may have been read as zeros by {who}; restart what uses it\n", self.path)
    }
}

fn place(state: &Path) -> PathBuf {
    state.join("zeros")
}

/// Those that are known.
pub fn read(state: &Path) -> Vec<Zeros> {
    let text = fs::read_to_string(place(state)).unwrap_or_default();
    text.lines().filter_map(|line| json::read(&mut line.as_bytes()).ok()).collect()
}

/// Adds files, with the processes that have them open.
pub fn add(state: &Path, files: &[Unguarded], known: &mut Vec<Zeros>) -> Result<(), StateError> {
    if files.is_empty() {
        return Ok(());
    }
    let inodes: Vec<_> = files.iter().map(|file| file.inode).collect();
    let open = processes::that_have_open(&inodes);
    known.extend(files.iter().map(|file| Zeros {
        path: file.path.clone(),
        processes: open.get(&file.inode.number).cloned().unwrap_or_default(),
    }));
    let text: String = known.iter().map(|found| found.line(true)).collect();
    let path = place(state);
    sync::replace(&path, |file| file.write_all(text.as_bytes()))
        .map_err(|e| StateError::io(&path, e))
}

/// Forgets them: `skiff gc`.
pub fn forget(state: &Path) -> Result<(), StateError> {
    let path = place(state);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(StateError::io(&path, e)),
        _ => Ok(()),
    }
}
