//! What is hydrated, for `skiff status`.

use super::{Daemon, processes};
use crate::hydrate::Hydration;
use crate::json;
use crate::report::size;
use serde::Serialize;

/// One deployment.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "hydrating", rename_all = "snake_case")]
pub struct Hydrating {
    images: Vec<String>,
    cold_files: usize,
    cold_bytes: u64,
    hydrated_bytes: u64,
    bytes_per_second: u64,
    seconds_left: Option<u64>,
    trouble: Option<String>,
    waited_for: Vec<String>,
    waiting: Vec<String>,
}

impl Hydrating {
    /// How this one is doing.
    pub fn of(hydration: &Hydration) -> Self {
        let progress = hydration.progress();
        let seconds = progress.since.elapsed().as_secs().max(1);
        let rate = progress.hydrated_bytes / seconds;
        let waited_for = hydration.waited_for();
        let waiting = if waited_for.is_empty() { Vec::new() } else { processes::waiting() };
        let images = hydration.journal().images.iter().map(|image| image.reference.clone());
        Self {
            images: images.collect(),
            cold_files: progress.cold_files,
            cold_bytes: progress.cold_bytes,
            hydrated_bytes: progress.hydrated_bytes,
            bytes_per_second: rate,
            seconds_left: progress.cold_bytes.checked_div(rate),
            trouble: progress.trouble,
            waited_for,
            waiting,
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{} can be started: {} files, {} to come; {} came",
            self.images.join(" "),
            self.cold_files,
            size(self.cold_bytes),
            size(self.hydrated_bytes),
        );
        if let Some(seconds) = self.seconds_left {
            text += &format!(", {}/s, {seconds} s left", size(self.bytes_per_second));
        }
        if let Some(trouble) = &self.trouble {
            text += &format!("\n  nothing comes: {trouble}");
        }
        for path in &self.waited_for {
            text += &format!("\n  {path} is waited for");
        }
        for process in &self.waiting {
            text += &format!("\n  {process} waits");
        }
        text + "\n"
    }
}

impl Daemon {
    /// The text of a status, and the exit code: its own if something may have been read as zeros.
    pub fn status(&self, json: bool) -> (String, u8) {
        let mut text = String::new();
        for hydration in self.hydrations.borrow().iter() {
            let found = Hydrating::of(hydration);
            if json {
                text += &json::text(&found).unwrap_or_default();
                text.push('\n');
            } else {
                text += &found.text();
            }
        }
        let zeros = self.zeros.borrow();
        zeros.iter().for_each(|found| text += &found.line(json));
        (text, if zeros.is_empty() { 0 } else { 11 })
    }
}
