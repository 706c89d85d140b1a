//! What devices send: requests and trace reports.
//!
//! The first byte says which of the two the rest is.
//!
//! Must hold, whatever the bytes are:
//! - A request that decodes is the same request after it was encoded again, and its lists are within their limits.
//! - A report that is taken has files of its own images only, each once, under paths that stay inside, and no more
//!   than a hot set may have.
//!
//! The planted fault: a report whose entries are not looked at.

use crate::chance::Chance;
use crate::table::check_path;
use crate::{Planted, Target};
use skiff_accelerator::hot::report;
use skiff_protocol::limits::{MAX_HELD, MAX_RANGES, MAX_TRACED, MAX_WANTED};
use skiff_protocol::request::{
    Codecs, DeployRequest, Held, Hydration, Part, Platform, Purpose, Want,
};
use skiff_protocol::trace::{TraceEntries, TraceHead, TraceRecord, TracedImage};
use skiff_protocol::{Digest, Ranges, Version};
use std::collections::HashSet;

/// The target.
pub const TARGET: Target = Target { name: "requests", check, generate, inputs: 60_000 };

/// Its body.
pub fn check(input: &[u8], planted: Planted) {
    match input {
        [mode, rest @ ..] if mode % 2 == 0 => request(rest),
        [_, rest @ ..] => match planted {
            Planted::Nothing => trace(rest),
            Planted::Fault => trace_of_anything(rest),
        },
        [] => {}
    }
}

#[allow(clippy::expect_used, reason = "that is what it does")]
fn request(input: &[u8]) {
    let Ok(request) = DeployRequest::decode(input) else { return };
    assert!(request.held.len() <= MAX_HELD);
    if let Want::Images(images) = &request.want {
        assert!(images.len() <= MAX_WANTED);
    }
    if let Part::Resume { have: ranges, .. } | Part::Repair { contents: ranges, .. } = &request.part
    {
        assert!(ranges.iter().count() <= MAX_RANGES);
    }
    let mut buffer = vec![0; 2 * input.len() + 64];
    let encoded = request.encode(&mut buffer).expect("what was decoded can be encoded");
    assert_eq!(DeployRequest::decode(encoded), Ok(request), "a request after it was encoded again");
}

fn trace(input: &[u8]) {
    let Ok(report) = report::read(input) else { return };
    let files = report.items.iter().map(|item| (item.image, item.path.as_slice()));
    files_are_sound(files, report.images.len());
}

fn files_are_sound<'a>(files: impl Iterator<Item = (u16, &'a [u8])>, images: usize) {
    let mut seen = HashSet::new();
    for (image, path) in files {
        assert!(usize::from(image) < images, "a file of image {image} of {images}");
        check_path(path);
        assert!(seen.insert((image, path)), "twice: {}", path.escape_ascii());
    }
    assert!(seen.len() <= MAX_TRACED, "{} files", seen.len());
}

fn trace_of_anything(input: &[u8]) {
    let mut rest = input;
    let Ok(TraceRecord::Head(head)) = TraceRecord::take(&mut rest) else { return };
    let mut files = Vec::new();
    while let Ok(TraceRecord::Entry(entry)) = TraceRecord::take(&mut rest) {
        files.push((entry.image, entry.suffix));
    }
    files_are_sound(files.into_iter(), head.images.len());
}

const PLATFORM: Platform<'static> = Platform { os: "linux", architecture: "arm64", variant: "v8" };
const REFERENCES: [&str; 4] = ["web:1", "host:5000/team/web:2", "", "db@sha256:0"];

fn generate(chance: &mut Chance) -> Vec<u8> {
    let mode = chance.byte();
    let bytes = if mode.is_multiple_of(2) { a_request(chance) } else { a_report(chance) };
    [vec![mode], bytes].concat()
}

fn ranges(chance: &mut Chance) -> Ranges {
    let mut ranges = Ranges::new();
    let mut numbers: Vec<u32> = (0..chance.below(9)).map(|_| chance.byte().into()).collect();
    numbers.sort_unstable();
    numbers.into_iter().for_each(|number| ranges.insert(number));
    ranges
}

fn a_request(chance: &mut Chance) -> Vec<u8> {
    let mut want = Want::Application("shop");
    if chance.one_in(2) {
        let count = 1 + chance.below(MAX_WANTED);
        want = Want::Images((0..count).map(|_| *chance.pick(&REFERENCES)).collect());
    }
    let held = |chance: &mut Chance| Held {
        reference: chance.pick::<&str>(&REFERENCES),
        manifest: Digest([chance.byte(); 32]),
        depth: 1 + u16::from(chance.byte()),
    };
    let plan = Digest([1; 32]);
    let digests: Vec<u8> = (0..32 * chance.below(5)).map(|_| chance.byte()).collect();
    let part = match chance.below(6) {
        0 => Part::Whole,
        1 => Part::Resume { plan, have: ranges(chance) },
        2 => Part::Rest { plan, have: ranges(chance) },
        3 => Part::Metadata,
        4 => Part::Contents,
        _ => Part::Repair { plan, contents: ranges(chance) },
    };
    let request = DeployRequest {
        version: Version { minor: u16::from(chance.byte() % 5), ..Version::CURRENT },
        agent: "skiff/0.1.0",
        platform: PLATFORM,
        codecs: Codecs::DEFLATE,
        want,
        held: (0..chance.below(MAX_HELD)).map(|_| held(chance)).collect(),
        purpose: *chance.pick(&[Purpose::Deliver, Purpose::Measure]),
        max_bytes: chance.one_in(2).then(|| chance.number()),
        part,
        hydration: Hydration {
            deployment: [3; 16],
            cold_files: 9,
            urgent: false,
            class: "gateway",
        },
        digests: &digests,
    };
    let mut buffer = vec![0; 64 << 10];
    request.encode(&mut buffer).map(<[u8]>::to_vec).unwrap_or_default()
}

fn a_report(chance: &mut Chance) -> Vec<u8> {
    let image = |reference| TracedImage { reference, manifest: Digest([5; 32]) };
    let head = TraceRecord::Head(TraceHead {
        version: Version::CURRENT,
        agent: "skiff/0.1.0",
        platform: PLATFORM,
        application: "shop",
        class: "gateway",
        images: [image("web:1"), image("db:2")].into_iter().collect(),
    });
    let mut buffer = vec![0; 64 << 10];
    let mut report = head.encode(&mut buffer).map(<[u8]>::to_vec).unwrap_or_default();
    let mut entries = TraceEntries::new();
    for _ in 0..chance.below(9) {
        let path = *chance.pick(&["usr/bin/web", "usr/lib/libc.so.6", "etc/passwd", "a"]);
        let image = u16::from(chance.one_in(2));
        let entry = entries.encode(image, 7, path.as_bytes(), &mut buffer);
        report.extend_from_slice(entry.unwrap_or_default());
    }
    report.extend_from_slice(TraceRecord::End.encode(&mut buffer).unwrap_or_default());
    report
}
