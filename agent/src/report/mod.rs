//! What the agent says while it works: a line that changes on a terminal, nothing on a pipe, JSON
//! lines with `--json`.

mod verify;

pub use verify::Verified;

use crate::json;
use crate::target::HeldImage;
use serde::{Deserialize, Serialize};
use skiff_protocol::response::{Phase, Plan, Progress};
use smol::channel::Sender;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How to report.
#[derive(Debug)]
pub struct Report {
    json: bool,
    terminal: bool,
    shown: Option<Instant>,
    to: To,
}

/// Where to.
#[derive(Debug)]
enum To {
    /// This process' standard output and error.
    Own,
    /// Those of another process, which asked this one.
    Peer(Sender<Said>),
    /// Nowhere.
    Nobody,
}

/// What goes to another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// For its standard output.
    Out(String),
    /// For its standard error.
    Err(String),
    /// It ends, with this exit code.
    Exit(u8),
}

/// One image of a finished pull.
#[derive(Debug, Clone, Serialize)]
pub struct ImageSummary {
    /// Its reference.
    pub name: String,
    /// Digest of its index or manifest.
    pub digest: String,
    /// Whether a snapshot was made, or the device had it.
    pub fetched: bool,
}

/// A finished pull, in numbers.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Summary {
    /// The images.
    pub images: Vec<ImageSummary>,
    /// Bytes received over the network, everything counted.
    pub bytes_received: u64,
    /// Bytes sent over the network, everything counted.
    pub bytes_sent: u64,
    /// Encoded bytes of packs among the bytes received.
    pub pack_bytes: u64,
    /// All other bytes, in both directions.
    pub overhead_bytes: u64,
    /// HTTP requests.
    pub requests: u32,
    /// Files that are cold: the images can be started before these are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cold_files: Option<u64>,
    /// Wall-clock time.
    #[serde(serialize_with = "json::seconds")]
    pub seconds: Duration,
    /// What the pull would receive (`--dry-run`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_receive: Option<u64>,
}

/// A line of JSON.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    Accelerator {
        phase: &'a str,
        done: u64,
        total: u64,
    },
    HeldUnknown {
        image: &'a str,
    },
    Plan {
        packs: u32,
        content_bytes: u64,
        wire_bytes: u64,
        exact: bool,
    },
    Transferred {
        content_bytes: u64,
        of: u64,
    },
    Damaged {
        contents: u32,
    },
    Resumed {
        contents: u32,
        bytes: u64,
    },
    Waiting {
        reason: &'a str,
        #[serde(serialize_with = "json::seconds")]
        seconds: Duration,
    },
    Eager {
        reason: &'a str,
    },
    Cold {
        files: usize,
    },
    Hydrating {
        files: usize,
        bytes: u64,
    },
    Committing,
    Different {
        image: &'a str,
        path: &'a str,
        what: &'a [&'a str],
    },
    Verified(&'a Verified),
    Unverified {
        image: &'a str,
        reason: &'a str,
    },
    Done(&'a Summary),
}

/// Shortest time between two progress lines.
const PACE: Duration = Duration::from_millis(200);

impl Report {
    /// Reports to standard error for people, or to standard output as JSON.
    pub fn new(json: bool) -> Self {
        Self { json, terminal: !json && is_terminal(), shown: None, to: To::Own }
    }

    /// Reports to another process, which has a terminal or not. What it is too slow for is left out.
    pub fn to_peer(json: bool, terminal: bool, peer: Sender<Said>) -> Self {
        Self { json, terminal: !json && terminal, shown: None, to: To::Peer(peer) }
    }

    /// Reports nothing.
    pub fn silent() -> Self {
        Self { json: false, terminal: false, shown: None, to: To::Nobody }
    }

    fn out(&self, text: String) {
        match &self.to {
            // A closed pipe ends quietly: nobody listens any more.
            To::Own => drop(std::io::stdout().lock().write_all(text.as_bytes())),
            To::Peer(peer) => drop(peer.try_send(Said::Out(text))),
            To::Nobody => {}
        }
    }

    fn err(&self, text: String) {
        match &self.to {
            To::Own => drop(std::io::stderr().lock().write_all(text.as_bytes())),
            To::Peer(peer) => drop(peer.try_send(Said::Err(text))),
            To::Nobody => {}
        }
    }

    /// The accelerator works on something.
    pub fn accelerator_busy(&mut self, progress: &Progress) {
        let phase = match progress.phase {
            Phase::Ingest => "reads the image from the registry",
            _ => "plans",
        };
        let (done, total) = (progress.done, progress.total);
        self.event(&Event::Accelerator { phase, done, total });
        self.transient(|| format!("the accelerator {phase}: {}", of(done, total)));
    }

    /// A held image can't be used.
    pub fn held_unknown(&mut self, image: &HeldImage) {
        let name = &image.name;
        if name.is_empty() {
            // What lies on it is an image that the accelerator knows, or is told of as well.
            return self.event(&Event::HeldUnknown { image: &image.snapshot.to_string() });
        }
        self.event(&Event::HeldUnknown { image: name });
        self.line(&format!(
            "{name} is on this device but no more in the registry; it is not used as a base"
        ));
    }

    /// The plan is known.
    pub fn plan(&mut self, plan: &Plan) {
        let (packs, content_bytes) = (plan.packs, plan.content_bytes);
        let (wire_bytes, exact) = (plan.wire_bytes, plan.exact);
        self.event(&Event::Plan { packs, content_bytes, wire_bytes, exact });
    }

    /// So many content bytes of all packs are in their files.
    pub fn transferred(&mut self, content_bytes: u64, of_all: u64) {
        if self.due() {
            self.event(&Event::Transferred { content_bytes, of: of_all });
            self.transient(|| format!("unpacked {}", of(content_bytes, of_all)));
        }
    }

    /// Some local sources were changed; they are fetched.
    pub fn damaged(&mut self, contents: u32) {
        self.event(&Event::Damaged { contents });
        self.line(&format!(
            "{contents} files of images on this device are not as they were; fetching them instead"
        ));
    }

    /// An earlier pull has brought some of it.
    pub fn resumed(&mut self, contents: u32, bytes: u64) {
        self.event(&Event::Resumed { contents, bytes });
        self.line(&format!("{} are there from a pull that did not end", size(bytes)));
    }

    /// Something failed that may pass.
    pub fn waiting(&mut self, reason: &str, pause: Duration) {
        self.event(&Event::Waiting { reason, seconds: pause });
        let seconds = (milliseconds(pause) + 500) / 1000;
        self.line(&format!("{reason}; trying again in {seconds} s"));
    }

    /// Everything is there and is being made durable.
    pub fn committing(&mut self) {
        self.event(&Event::Committing);
        self.transient(|| "syncing and committing".to_owned());
    }

    /// The end.
    pub fn done(&mut self, summary: &Summary) {
        self.event(&Event::Done(summary));
        self.clear();
        if self.json {
            return;
        }
        if let Some(bytes) = summary.would_receive {
            return self.out(format!("the pull would receive {}\n", size(bytes)));
        }
        for image in &summary.images {
            let how = if image.fetched { "" } else { " (was on this device)" };
            self.out(format!("{} {}{how}\n", image.name, image.digest));
        }
        let cold = match summary.cold_files {
            Some(files) => format!("; it can be started, {files} files are still to come"),
            None => String::new(),
        };
        self.out(format!(
            "received {}, sent {}, {} request{}, {} s{cold}\n",
            size(summary.bytes_received),
            size(summary.bytes_sent),
            summary.requests,
            if summary.requests == 1 { "" } else { "s" },
            fraction(milliseconds(summary.seconds), 100, 10)
        ));
    }

    /// Everything is fetched before the start, although a daemon could do better.
    pub fn eager(&mut self, reason: &str) {
        self.event(&Event::Eager { reason });
        self.line(&format!("everything is fetched before the start: {reason}"));
    }

    /// So many files are to come before the images can be started.
    pub fn cold_files(&mut self, left: usize) {
        if self.due() {
            self.event(&Event::Cold { files: left });
            self.transient(|| format!("{left} files are without their bytes"));
        }
    }

    /// The daemon hydrates: so many files and bytes are to come.
    pub fn hydrating(&mut self, files: usize, bytes: u64) {
        if self.due() {
            self.event(&Event::Hydrating { files, bytes });
            self.transient(|| format!("{files} files, {} to come", size(bytes)));
        }
    }

    fn due(&mut self) -> bool {
        let now = Instant::now();
        let due = self.shown.is_none_or(|shown| now - shown >= PACE);
        if due {
            self.shown = Some(now);
        }
        due
    }

    fn event(&self, event: &Event<'_>) {
        if self.json {
            self.out(line(event));
        }
    }

    fn transient(&self, text: impl FnOnce() -> String) {
        if self.terminal {
            self.err(format!("\r\x1b[K{}", text()));
        }
    }

    fn line(&self, text: &str) {
        self.clear();
        if !self.json {
            self.err(format!("skiff: {text}\n"));
        }
    }

    /// Takes the changing line away.
    pub fn clear(&self) {
        if self.terminal {
            self.err("\r\x1b[K".to_owned());
        }
    }
}

/// Whether progress can be shown on standard error.
pub fn is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

fn line(value: &impl Serialize) -> String {
    let mut line = json::text(value).unwrap_or_default();
    line.push('\n');
    line
}

/// Prints one line of JSON. A closed pipe ends quietly: nobody listens any more.
pub fn json_line(value: &impl Serialize) {
    let _ = std::io::stdout().lock().write_all(line(value).as_bytes());
}

fn of(done: u64, total: u64) -> String {
    if total == 0 { size(done) } else { format!("{} of {}", size(done), size(total)) }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 2)
}

/// Bytes for people, in units of 1000.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", fraction(bytes, 100, 10)),
        1_000_000..1_000_000_000 => format!("{} MB", fraction(bytes, 100_000, 10)),
        _ => format!("{} GB", fraction(bytes, 10_000_000, 100)),
    }
}

/// A number of which the last digit counts so much, with one digit behind the point or two (10, 100).
fn fraction(number: u64, last: u64, point: u64) -> String {
    let rounded = number.saturating_add(last / 2) / last;
    let digits = if point == 10 { 1 } else { 2 };
    format!("{}.{:0digits$}", rounded / point, rounded % point)
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (12_349, "12.3 kB"),
            (12_350, "12.4 kB"),
            (74_100_000, "74.1 MB"),
            (2_500_000_000, "2.50 GB"),
            (2_054_999_999, "2.05 GB"),
        ] {
            assert_eq!(super::size(bytes), text);
        }
    }
}
