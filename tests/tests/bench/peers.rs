//! What else brings images to devices, as scripts: `SKIFF_PEERS="NAME=SCRIPT …"`. `tests/peers/README.md` says what a script is
//! asked, and `tests/peers/stock.sh` is one.

use super::ground::{Ground, LIMIT, Pair, Run, start_afresh};
use skiff_tests::harness::{Sandbox, wait_for};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// A peer.
#[derive(Debug)]
pub struct Peer {
    /// For tables.
    pub name: String,
    script: PathBuf,
}

/// The peers that are asked for.
pub fn peers() -> Vec<Peer> {
    let words = std::env::var("SKIFF_PEERS").unwrap_or_default();
    let peer = |word: &str| {
        let (name, script) = word.split_once('=').unwrap_or_else(|| {
            panic!("SKIFF_PEERS has {word:?}, which is not NAME=SCRIPT");
        });
        // Tests run in their package's directory.
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(script);
        Peer { name: name.to_owned(), script: script.canonicalize().unwrap() }
    };
    words.split_whitespace().map(peer).collect()
}

impl Peer {
    /// Brings and starts the pair's new image, as [`Ground::start`] does.
    pub fn start(&self, ground: &Ground, pair: &Pair, updates: bool) -> Run {
        let sandbox = Sandbox::new();
        let directory = sandbox.directory("peer");
        let phase = |phase: &str| {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net={}", ground.wan.device.path())).arg(&self.script).arg(phase);
            command
                .env("SKIFF_DIRECTORY", &directory)
                .env("SKIFF_CLOUD", ground.wan.cloud.path())
                .env("SKIFF_REGISTRY", &ground.registry.host)
                .env("SKIFF_OLD", if updates { &pair.old } else { "" })
                .env("SKIFF_NEW", &pair.new)
                .env("SKIFF_PORT", pair.service.port.to_string());
            command.status().unwrap().success()
        };
        let must = |name: &str| assert!(phase(name), "{} {name} failed", self.script.display());
        must("prepare");
        start_afresh();
        let before = ground.wan.link.counts()[0].bytes;
        let pulled = Instant::now();
        must("pull");
        let started = Instant::now();
        must("run");
        let ready = wait_for(LIMIT, || phase("ready"));
        let (ready, start) = (ready.then(|| pulled.elapsed()), started.elapsed());
        let bytes = ground.wan.link.counts()[0].bytes - before;
        must("stop");
        let ready = ready.unwrap_or_else(|| panic!("{}: the service is silent", self.name));
        Run { ready, start, bytes }
    }
}
