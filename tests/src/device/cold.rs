//! Files that are kept cold on a device: every way to open them ([`skiff_cold`]), and what becomes of who waits for one when
//! processes of the agent end. One image has a tree for each case; the relay holds its stream, so that
//! whatever comes was asked for because somebody waits.

use super::{Device, Model, built, guest_url};
use crate::cold::{PRIVILEGED, base, privileged, tree};
use crate::harness::{Accelerator, Fault, Relay, Sandbox};
use crate::layout::{Image, Layer, Layout, digest};
use crate::startable::FILLER;
use crate::tarball::Entry;
use skiff_cold::{Needs, Programs, cases, noise};

/// Where the images lie on the device.
const ROOT: &str = "/var/lib/cold";
const STATE: &str = "/var/lib/cold/skiff";
/// Files beside the cases' trees.
const SPARE: u64 = 20;
/// The plan and the table of contents have less than the first, and no file of a case as much as the second; the filler has
/// more. However slow the device is, and however often the daemon asks again, the stream gets no further.
const HOLD: Fault = Fault::HoldLong { first: 512 << 10, answer: 5 << 19 };
/// What the scripts begin with.
const FUNCTIONS: &str = r#"
one() { # WORDS: the process with this command line
    for p in /proc/[0-9]*; do
        case "$(tr '\0' ' ' <$p/cmdline 2>/dev/null)" in "skiff $1 "*) echo ${p#/proc/} ;; esac
    done
}
opens() { # NUMBER: somebody opens the file and waits
    sha256sum /run/merged/$1 >/run/opened.$1 2>&1 &
    for i in $(seq 100); do grep -qs __break_lease /proc/$!/wchan && return; sleep 0.1; done
    echo "nobody waits for $1"; cat /run/opened.$1; exit 1
}
waits() { [ ! -s /run/opened.$1 ] || { echo "$1 was answered:"; cat /run/opened.$1; exit 1; }; }
"#;

fn spare(number: u64) -> (String, Vec<u8>) {
    (format!("{number:02}"), noise(70_000 + number, 50_000))
}

/// A device with cold files.
#[derive(Debug)]
pub struct ColdFiles<'a> {
    device: &'a mut Device,
    relay: Relay,
    _accelerator: Accelerator,
}

impl<'a> ColdFiles<'a> {
    /// Pulls the image.
    pub fn pull(sandbox: &Sandbox, device: &'a mut Device, model: Model) -> Self {
        let layouts = sandbox.directory("cold-layouts");
        let compiled = |name: &str| built(&format!("cross/tests/{}/{name}", model.triple()));
        let hello = compiled("skiff-cold");
        let busybox = built(&format!("qemu/{}/busybox", model.name()));
        let small = Programs { hello: hello.clone(), busybox: None, library: None };
        let whole = Programs { busybox: Some(busybox), ..small.clone() };
        let library = Some(["uses_magic", "libmagic.so"].map(compiled));
        let mapping = Programs { library, ..small.clone() };
        let mut below = vec![Entry::directory("spare/")];
        let mut above = vec![Entry::file(FILLER, noise(77, 4 << 20))];
        above.push(Entry::directory("spare/"));
        above.extend(privileged("spare", &hello, 0));
        for number in 0..SPARE {
            let (name, bytes) = spare(number);
            above.push(Entry::file(format!("spare/{name}"), bytes));
        }
        for (number, case) in (0..).zip(cases()) {
            let programs = match case.needs {
                Needs::Nothing => &small,
                Needs::Busybox | Needs::Runc => &whole,
                Needs::Compiled => &mapping,
            };
            below.extend(base(&number.to_string()));
            above.extend(tree(&number.to_string(), number, programs));
        }
        let (architecture, variant) = model.platform();
        let layout = Layout::create(&layouts, "cold");
        for (tag, entries) in [("0", below), ("1", above)] {
            let image = Image::new(vec![Layer::new(&entries)]);
            layout.add(tag, &image.platform(architecture, variant));
        }
        let accelerator = Accelerator::start(sandbox, &format!("oci:{}", layouts.display()));
        accelerator.set_hot(sandbox, "cold:1", &[FILLER]);
        let relay = Relay::start(&accelerator.address, HOLD);
        device.run(&format!("mkdir -p {ROOT} /run/merged")).ok("directories");
        let options = format!("--root {ROOT}");
        device
            .pull(&format!("{options} --lazy=never"), &["cold:0"], &accelerator.url())
            .ok("cold:0");
        device.start_daemon(STATE);
        device
            .pull(&format!("{options} --lazy=require"), &["cold:1"], &guest_url(&relay.url()))
            .ok("cold:1");
        let mount = format!(
            "cd {ROOT}/snapshots; mkdir -p /var/lib/upper /var/lib/work; \
             mount -t overlay -o lowerdir=2/fs/spare:1/fs/spare,upperdir=/var/lib/upper,workdir=/var/lib/work \
             overlay /run/merged"
        );
        device.run(&mount).ok("mount");
        Self { device, relay, _accelerator: accelerator }
    }

    /// Runs all cases; gives what was printed, a line for each.
    pub fn cases(&mut self) -> String {
        let script = format!(
            "skiff-cold cases {ROOT}/snapshots/2/fs {ROOT}/snapshots/1/fs {ROOT}/scratch 2>&1"
        );
        self.device.run(&script).ok("the cases")
    }

    /// An ordinary user runs programs that have more rights than he has, both at once while both are cold.
    pub fn privileges(&mut self) {
        let mut script = "cd /run/merged\n".to_owned();
        for (program, _) in PRIVILEGED {
            script += &format!("[ $(stat -c %b {program}) = 0 ] || echo {program} is not cold\n");
        }
        for (number, (program, _)) in PRIVILEGED.into_iter().enumerate() {
            script += &format!("skiff-cold as-user ./{program} >/run/ran.{number} 2>&1 &\n");
        }
        let said = self.run("programs with privileges", &(script + "wait; cat /run/ran.*"));
        let lines: Vec<&str> = said.lines().collect();
        let right = PRIVILEGED.iter().zip(&lines).all(|((_, line), said)| said.starts_with(line));
        assert!(right && lines.len() == PRIVILEGED.len(), "{said}");
    }

    fn run(&mut self, what: &str, script: &str) -> String {
        self.device.run(&format!("{FUNCTIONS}\n{script}")).ok(what)
    }

    /// Fails unless who opened these files was answered, with the right bytes.
    fn answered(&mut self, numbers: &[u64]) {
        for number in numbers {
            let (name, bytes) = spare(*number);
            let script = format!(
                "for i in $(seq 300); do [ -s /run/opened.{name} ] && break; sleep 0.1; done; cat /run/opened.{name}"
            );
            let said = self.run("who waited", &script);
            let expected = digest(&bytes);
            let expected = expected.trim_start_matches("sha256:");
            assert!(said.starts_with(expected), "{name}: {said}, not {expected}");
        }
    }

    /// The daemon is killed twice and stopped once while somebody waits, then the holder and the daemon one after the other;
    /// later signals are lost. Files behind those that were opened before may be there already, by reading ahead.
    pub fn takeovers(&mut self) {
        self.relay.pause();
        self.run(
            "a kill",
            "opens 18; opens 17; kill -9 $(one daemon); sleep 0.3; waits 18; opens 16",
        );
        self.device.start_daemon(STATE);
        self.run("another kill", "waits 18; kill -9 $(one daemon); sleep 0.3; waits 17; waits 16");
        self.device.start_daemon(STATE);
        let stop = "d=$(one daemon); kill $d; while [ -d /proc/$d ]; do sleep 0.1; done; waits 18; waits 16";
        self.run("a stop", stop);
        self.device.start_daemon(STATE);
        self.relay.resume();
        self.answered(&[18, 17, 16]);
        self.relay.pause();
        let killed = "h=$(one holder); kill -9 $h; for i in $(seq 100); do n=$(one holder); \
                      [ -n \"$n\" ] && [ \"$n\" != $h ] && break; sleep 0.1; done; sleep 0.5; \
                      opens 10; kill -9 $(one daemon); sleep 0.3; waits 10";
        self.run("another holder", killed);
        self.device.start_daemon(STATE);
        self.relay.resume();
        self.answered(&[10]);
        let lost = "skiff-cold no-signals $(one daemon); \
                    for n in 06 07 08 09; do sha256sum /run/merged/$n >/run/opened.$n & done; wait";
        self.run("lost signals", lost);
        self.answered(&[6, 7, 8, 9]);
    }

    /// Both are killed together while somebody has a cold file open: he is named.
    pub fn both_killed(&mut self) {
        let script = "kill -9 $(one daemon) $(one holder); sleep 0.3; exec 4</run/merged/05; \
                      sleep 1000 & echo $! >/run/reader";
        self.run("both killed", script);
        self.device.start_daemon(STATE);
        let said = self.run(
            "status",
            &format!("skiff status --state {STATE} --root {ROOT} --json; echo code $?"),
        );
        assert!(said.ends_with("code 11"), "{said}");
        assert!(said.contains("spare/05"), "{said}");
        // Who was killed may be there for a moment more.
        let end = "kill $(cat /run/reader) $(one daemon) $(one holder); \
                   for i in $(seq 100); do umount /run/merged 2>/dev/null && exit; sleep 0.1; done; \
                   umount /run/merged";
        self.run("the end", end);
    }
}
