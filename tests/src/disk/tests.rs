//! The medium alone, against a list of what each sector may be; the protocol, byte by byte; and
//! qemu's own clients.
//!
//! qemu-io flushes when it ends, so it is ended by a signal where nothing shall be flushed. Without
//! `-t writeback` all its writes have FUA set.

use super::cache::{Change, SECTOR};
use super::*;
use crate::harness::{Sandbox, run};
use crate::random::SplitMix64;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::{Command, Output};

mod protocol;

const SIZE: u64 = 8 << 20;
/// Ends qemu-io without a flush.
const DIE: &str = "sigraise 9";

struct Bench {
    sandbox: Sandbox,
    disk: Disk,
}

/// A disk whose base has 1 MiB of `b` at its start.
fn bench() -> Bench {
    let sandbox = Sandbox::new();
    let base = sandbox.path().join("base");
    let file = File::create(&base).unwrap();
    file.set_len(SIZE).unwrap();
    file.write_all_at(&[b'b'; 1 << 20], 0).unwrap();
    let disk = Disk::new(&base, &sandbox.path().join("socket"));
    Bench { sandbox, disk }
}

impl Bench {
    fn url(&self) -> String {
        format!("nbd+unix:///?socket={}", self.sandbox.path().join("socket").display())
    }

    fn try_io(&self, mode: &str, commands: &[&str]) -> Output {
        let mut command = Command::new("qemu-io");
        command.args(["-f", "raw", "-t", mode]);
        for line in commands {
            command.args(["-c", line]);
        }
        command.arg(self.url()).output().unwrap()
    }

    /// Commands for qemu-io, with writes that are cached.
    fn io(&self, commands: &[&str]) {
        let output = self.try_io("writeback", commands);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let killed = commands.last() == Some(&DIE);
        assert_eq!(output.status.success(), !killed, "{commands:?}: {output:?}");
        assert!(!said.contains("failed"), "{commands:?}: {said}");
    }

    /// Does the disk hold `byte` there? `place` is qemu-io's "OFFSET LENGTH".
    fn holds(&self, byte: u8, place: &str) {
        self.io(&[&format!("read -P {byte} {place}")]);
    }

    /// What is durable.
    fn saved(&self) -> Vec<u8> {
        let path = self.sandbox.directory("saved").join("disk");
        self.disk.save(&path);
        fs::read(path).unwrap()
    }
}

#[test]
fn what_was_flushed_survives_and_the_rest_is_lost() {
    let bench = bench();
    bench.io(&["write -P 1 0 64k", "flush", "write -P 2 32k 64k", "read -P 2 32k 64k", DIE]);
    // The next client sees it, as long as the power is on.
    bench.io(&["read -P 1 0 32k", "read -P 2 32k 64k", DIE]);
    assert_eq!(bench.disk.stats().unflushed, 128);
    assert_eq!(bench.disk.cut(Cut::DropAll), Lost { kept: 0, dropped: 128 });
    bench.holds(1, "0 64k");
    bench.holds(b'b', "64k 960k");
    bench.holds(0, "1M 7M");
    assert_eq!(bench.disk.cut(Cut::Seeded(1)), Lost::default());
    // Without the signal qemu-io flushes when it ends.
    bench.io(&["write -P 3 0 64k"]);
    assert_eq!(bench.disk.cut(Cut::DropAll), Lost::default());
    bench.holds(3, "0 64k");
}

#[test]
fn a_write_with_fua_survives_alone() {
    let bench = bench();
    let disk = &bench.disk;
    bench.io(&["write -P 1 0 8k", "write -f -P 2 4k 4k", "write -P 3 6k 4k", DIE]);
    assert_eq!((disk.stats().writes, disk.stats().forced), (3, 1));
    let saved = bench.saved();
    assert!(saved[..4096] == [b'b'; 4096] && saved[4096..8192] == [2; 4096]);
    assert!(saved[8192..1 << 20].iter().all(|byte| *byte == b'b'));
    assert_eq!(disk.cut(Cut::DropAll), Lost { kept: 0, dropped: 24 });
    bench.holds(b'b', "0 4k");
    bench.holds(2, "4k 4k");
    bench.holds(b'b', "8k 4k");
    // qemu-io's own default: each write has FUA.
    assert!(!bench.try_io("writethrough", &["write -P 4 0 8k", DIE]).status.success());
    assert_eq!(disk.cut(Cut::DropAll), Lost::default());
    bench.holds(4, "0 8k");
}

#[test]
fn trims_and_zeros_are_writes_that_can_be_lost() {
    let bench = bench();
    let zero = ["discard 0 64k", "write -z 128k 64k", "write -z -u 256k 64k"];
    bench.io(&[&zero[..], &["read -P 0 0 64k", "read -P 0 128k 64k", DIE]].concat());
    assert_eq!(bench.disk.cut(Cut::DropAll), Lost { kept: 0, dropped: 384 });
    bench.holds(b'b', "0 1M");
    bench.io(&[&zero[..], &["flush", DIE]].concat());
    assert_eq!(bench.disk.cut(Cut::DropAll), Lost::default());
    for (byte, place) in [(0, "0 64k"), (b'b', "64k 64k"), (0, "128k 64k"), (0, "256k 64k")] {
        bench.holds(byte, place);
    }
    bench.io(&["write -z -f 512k 64k", DIE]);
    bench.disk.cut(Cut::DropAll);
    bench.holds(0, "512k 64k");
    bench.holds(b'b', "576k 448k");
}

#[test]
fn a_seed_takes_the_same_part_every_time() {
    let bench = bench();
    let mut seen = Vec::new();
    for seed in (0..24).chain(0..24) {
        bench.disk.reset();
        bench.io(&["write -P 1 0 256k", "flush", "write -P 2 64k 512k", "write -P 3 0 128k", DIE]);
        let lost = bench.disk.cut(Cut::Seeded(seed));
        assert_eq!(lost.kept + lost.dropped, 1280);
        let saved = bench.saved();
        assert!(saved[..65536].iter().all(|byte| [1, 3].contains(byte)));
        assert!(saved[65536..131_072].iter().all(|byte| [1, 2, 3].contains(byte)));
        assert!(saved[131_072..262_144].iter().all(|byte| [1, 2].contains(byte)));
        assert!(saved[262_144..589_824].iter().all(|byte| [b'b', 2].contains(byte)));
        seen.push((lost, saved));
    }
    let (first, second) = seen.split_at(24);
    assert!(first == second, "the same seeds took different parts");
    assert!(first.iter().any(|(lost, _)| lost.kept == 0));
    assert!(first.iter().any(|(lost, _)| lost.kept > lost.dropped && lost.dropped > 0));
    assert!(first.iter().any(|(lost, _)| (512..=768).contains(&lost.kept)));
}

#[test]
fn the_base_comes_back_and_stays_as_it_was() {
    let bench = bench();
    let base = fs::read(bench.sandbox.path().join("base")).unwrap();
    bench.io(&["write -P 1 0 2M", "flush", "write -P 2 4M 1M", DIE]);
    bench.disk.reset();
    assert_eq!(bench.disk.stats(), Stats::default());
    assert!(bench.saved() == base);
    bench.holds(b'b', "0 1M");
    bench.holds(0, "1M 7M");
    assert!(fs::read(bench.sandbox.path().join("base")).unwrap() == base);
}

#[test]
fn what_is_saved_is_what_is_read() {
    let bench = bench();
    bench.io(&["write -P 1 512 1024", "write -P 2 3M 5M", "discard 1M 64k", "flush"]);
    let path = bench.sandbox.path().join("saved");
    bench.disk.save(&path);
    let raw = path.display().to_string();
    run("qemu-img", &["compare", "-f", "raw", "-F", "raw", &raw, &bench.url()]);
    let there = fs::metadata(&path).unwrap();
    assert_eq!(there.len(), SIZE);
    assert!(there.blocks() * 512 <= (6 << 20) + 65536, "it is not sparse");
}

#[test]
fn a_filesystem_written_through_it_is_clean() {
    let bench = bench();
    let files = bench.sandbox.directory("files");
    for name in 0..50_u8 {
        fs::write(files.join(name.to_string()), vec![name; 50_000]).unwrap();
    }
    let path = |name: &str| bench.sandbox.path().join(name).display().to_string();
    run("mke2fs", &["-q", "-t", "ext4", "-d", &files.display().to_string(), &path("fs"), "8M"]);
    run("qemu-img", &["convert", "-n", "-f", "raw", "-O", "raw", &path("fs"), &bench.url()]);
    // qemu-img's last act is a flush.
    bench.disk.cut(Cut::DropAll);
    bench.disk.save(Path::new(&path("saved")));
    run("e2fsck", &["-f", "-n", &path("saved")]);
    assert!(fs::read(path("saved")).unwrap() == fs::read(path("fs")).unwrap());
}

#[test]
fn flushes_are_counted() {
    let bench = bench();
    bench.io(&["write 0 4k", "flush", "write 0 4k", "flush", "read 0 4k", DIE]);
    let stats = bench.disk.stats();
    assert_eq!((stats.writes, stats.flushes, stats.unflushed), (2, 2, 0));
    assert!(stats.reads >= 1);
}

/// What a write of `value` puts into a sector: no two sectors get the same, unless they get zeros.
fn content(value: u8, sector: usize) -> [u8; 512] {
    let place = u8::try_from(sector).unwrap();
    std::array::from_fn(|at| if value == 0 || at % 2 == 0 { value } else { place })
}

/// Random requests to the medium alone; then each sector has to be what one of its writes since the
/// last flush put there, or what was durable, and never older than a write with FUA.
#[test]
fn each_sector_is_one_of_its_writes() {
    const SECTORS: usize = 64;
    let sandbox = Sandbox::new();
    let base = sandbox.path().join("base");
    fs::write(&base, [0; SECTORS * 512]).unwrap();
    let mut medium = Medium::new(&base, &sandbox.path().join("socket")).unwrap();
    let (mut overwritten, mut oldest) = (0, 0);
    for seed in 0..400 {
        let mut random = SplitMix64(seed);
        medium.reset().unwrap();
        // What each sector may be, oldest first.
        let mut may: Vec<Vec<u8>> = vec![vec![0]; SECTORS];
        for value in 1..=random.next() % 30 {
            let first = usize::try_from(random.next() % 64).unwrap();
            let count = usize::try_from(1 + random.next() % 32).unwrap().min(SECTORS - first);
            let value = u8::try_from(value).unwrap();
            let bytes: Vec<u8> =
                (first..first + count).flat_map(|sector| content(value, sector)).collect();
            let kind = random.next() % 16;
            let (value, change) = match kind {
                0..6 => (0, Change::Zeros { length: bytes.len() as u64, hole: kind < 3 }),
                _ => (value, Change::Bytes(&bytes)),
            };
            let forced = random.next().is_multiple_of(8);
            medium.write(first as u64 * SECTOR, change, forced).unwrap();
            for sector in &mut may[first..first + count] {
                if forced {
                    sector.clear();
                }
                sector.push(value);
            }
            if random.next().is_multiple_of(16) {
                medium.flush().unwrap();
                may.iter_mut().for_each(|sector| drop(sector.drain(..sector.len() - 1)));
            }
        }
        let mut disk = vec![0; SECTORS * 512];
        // In two pieces, so that reads begin and end within writes.
        let middle = random.next() % SECTORS as u64 * SECTOR;
        let (low, high) = disk.split_at_mut(usize::try_from(middle).unwrap());
        medium.read(0, low).unwrap();
        medium.read(middle, high).unwrap();
        for (sector, (bytes, may)) in disk.chunks(512).zip(&may).enumerate() {
            let newest = *may.last().unwrap();
            assert!(bytes == content(newest, sector), "seed {seed}: a read is not the newest");
        }
        let cut = if seed % 16 == 0 { Cut::DropAll } else { Cut::Seeded(seed) };
        medium.cut(cut).unwrap();
        medium.read(0, &mut disk).unwrap();
        for (sector, (bytes, may)) in disk.chunks(512).zip(&may).enumerate() {
            let at = may.iter().position(|value| bytes == content(*value, sector));
            let at = at.unwrap_or_else(|| panic!("seed {seed}: {bytes:?} is none of {may:?}"));
            assert!(cut != Cut::DropAll || at == 0, "seed {seed}: something was kept");
            overwritten += usize::from(at > 0 && at + 1 < may.len());
            oldest += usize::from(at == 0 && may.len() > 2);
        }
    }
    assert!(overwritten > 100 && oldest > 100, "{overwritten} {oldest}");
}

#[test]
fn the_generator_is_the_known_one() {
    let mut random = SplitMix64(1_234_567);
    let numbers = [(); 3].map(|()| random.next());
    assert_eq!(numbers, [6457827717110365317, 3203168211198807973, 9817491932198370423]);
}
