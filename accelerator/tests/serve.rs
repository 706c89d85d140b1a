//! The service over TCP, on images that lie in memory: every kind of request and refusal. Images
//! from a registry are in `deploy.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "serve/access.rs"]
mod access;
mod common;
#[path = "serve/hydration.rs"]
mod hydration;
#[path = "serve/patches.rs"]
mod patches;
#[path = "serve/reports.rs"]
mod reports;

use common::memory::{Files, Memory, sha256};
use common::{Answer, ask, check, get, post, ranges, request};
use skiff_accelerator::packs::encoding::Levels;
use skiff_accelerator::serve::Service;
use skiff_protocol::limits::MAX_REQUEST;
use skiff_protocol::record::Parent;
use skiff_protocol::request::{Codecs, DeployRequest, Held, Part, Purpose, Want};
use skiff_protocol::response::{Codec, FailureCode, Notice};
use skiff_protocol::{Digest, MEDIA_TYPE, Version};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const MIB: usize = 1 << 20;
const OLD: Files = &[("a", 1, 100), ("b", 2, 3 * MIB), ("c", 3, 5), ("gone", 4, 9), ("z", 5, 0)];
/// Nearer to `new` than to `old`, but with the largest file of `old`.
const THIRD: Files = &[
    ("a", 1, 100),
    ("b", 11, 2 * MIB),
    ("c", 3, 6),
    ("d", 4, 9),
    ("old", 2, 3 * MIB),
    ("z", 5, 0),
];
const NEW: Files = &[("a", 1, 100), ("b", 9, 3 * MIB + 7), ("c", 3, 6), ("d", 4, 9), ("z", 5, 0)];

/// A service with images `old` and `new`, which lives as long as the runtime.
fn serve(runtime: &tokio::runtime::Runtime) -> SocketAddr {
    serve_from(runtime, Arc::new(Memory::new(&[("old", OLD), ("new", NEW)])))
}

fn serve_from(runtime: &tokio::runtime::Runtime, memory: Arc<Memory>) -> SocketAddr {
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(Service::new(memory, Levels::default()).run(listener, std::future::pending()));
    address
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

fn held(name: &'static str) -> Held<'static> {
    Held { reference: name, manifest: sha256(name.as_bytes()), depth: 1 }
}

fn plan_id(answer: &Answer) -> Digest {
    answer.plan.unwrap().id
}

#[test]
fn a_fresh_pull_has_everything_once() {
    let runtime = runtime();
    let answer = ask(serve(&runtime), &request(&["old"], &[]));
    assert_eq!(answer.paths(0), ["a", "b", "c", "gone", "z"]);
    assert_eq!((answer.check_packed(), answer.layers[0].0.parent), (4, Parent::None));
    assert_eq!(answer.images, [("old".to_owned(), sha256(b"old"), Some(0))]);
    let plan = answer.plan.unwrap();
    assert_eq!(
        (plan.images, plan.layers, plan.entries, plan.contents, plan.packs),
        (1, 1, 5, 4, 4)
    );
    assert_eq!(plan.content_bytes, 3 * MIB as u64 + 114);
    let complete = answer.complete.unwrap();
    assert_eq!((complete.plan, &complete.trees[..]), (plan.id, &[sha256(b"old")][..]));
}

#[test]
fn an_update_is_a_delta() {
    let runtime = runtime();
    let answer = ask(serve(&runtime), &request(&["new"], &[held("old")]));
    assert_eq!(answer.paths(0), ["b", "c", "d", "gone"]);
    assert_eq!((answer.check_packed(), answer.layers[0].0.parent), (2, Parent::Held(0)));
    assert_eq!(answer.contents[2].held, Some((0, b"gone".to_vec())));
    let whiteout = &answer.layers[0].1[3];
    assert_eq!(whiteout.kind, "Whiteout");
}

#[test]
fn what_is_held_already_has_no_layer_and_no_content() {
    let runtime = runtime();
    let answer = ask(serve(&runtime), &request(&["old"], &[held("old")]));
    assert_eq!(answer.images[0].2, None);
    assert!(answer.layers.is_empty() && answer.packs.is_empty() && answer.contents.is_empty());
}

#[test]
fn several_images_share_contents() {
    let runtime = runtime();
    let address = serve(&runtime);
    let answer = ask(address, &request(&["old", "new", "old"], &[]));
    assert_eq!(answer.images.iter().map(|i| i.2).collect::<Vec<_>>(), [Some(0), Some(1), Some(0)]);
    assert_eq!((answer.layers.len(), answer.check_packed()), (2, 6));
}

#[test]
fn a_measurement_tells_the_exact_size() {
    let runtime = runtime();
    let address = serve(&runtime);
    let estimate = ask(address, &request(&["new"], &[held("old")]));
    assert!(!estimate.plan.unwrap().exact);
    let mut measure = request(&["old"], &[]);
    measure.purpose = Purpose::Measure;
    let measured = ask(address, &measure);
    let plan = measured.plan.unwrap();
    assert!(plan.exact && measured.packs.is_empty() && measured.layers.is_empty());
    let delivered = ask(address, &request(&["old"], &[]));
    assert_eq!(delivered.plan, Some(plan), "packs are cached now");
    assert_eq!(delivered.bytes_from_plan, plan.wire_bytes);
}

/// Whether the first bytes are as many as the others, give or take a hundredth.
fn is_near(estimate: u64, bytes: u64) -> bool {
    estimate.abs_diff(bytes) * 100 <= bytes
}

#[test]
fn what_a_delta_took_is_the_next_estimate() {
    let runtime = runtime();
    let images = [("old", OLD), ("new", NEW), ("third", THIRD)];
    let memory = Arc::new(Memory::new(&images));
    let address = serve_from(&runtime, memory.clone());
    // In the second row, what is needed comes not only from the parent.
    for (held_images, is_remembered) in
        [(vec![held("old")], true), (vec![held("old"), held("new")], false)]
    {
        let update = request(&["third"], &held_images);
        let ask = || {
            memory.packs.lock().unwrap().clear();
            let answer = ask(address, &update);
            let plan = answer.plan.unwrap();
            assert!(!plan.exact);
            (plan.wire_bytes, answer.bytes_from_plan)
        };
        let (guessed, bytes) = ask();
        assert!(!is_near(guessed, bytes), "{guessed} is guessed by chance, {bytes} came");
        let (estimate, bytes) = ask();
        assert_eq!(is_near(estimate, bytes), is_remembered, "{estimate}, {bytes} came");
    }
}

#[test]
fn a_device_gets_packs_that_it_decodes_and_others_are_not_its_own() {
    let runtime = runtime();
    let memory = Arc::new(Memory::new(&[("old", OLD), ("new", NEW)]));
    let address = serve_from(&runtime, memory.clone());
    let both = Codecs::DEFLATE.and(Codecs::ZSTD);
    // An agent of before, one of today, one of some day; each asks twice, and gets what is cached then.
    let of_before = Version { major: 1, minor: 4 };
    let mut sizes = Vec::new();
    for (version, codecs, codec, packs) in [
        (of_before, Codecs::DEFLATE, Codec::Deflate, 4),
        (Version::CURRENT, both, Codec::Zstd, 8),
        (Version::CURRENT, Codecs(u32::MAX), Codec::Zstd, 8),
        (Version::CURRENT, Codecs::DEFLATE, Codec::Deflate, 8),
    ] {
        for _ in 0..2 {
            let answer = ask(address, &DeployRequest { version, codecs, ..request(&["old"], &[]) });
            assert_eq!(answer.codecs, [codec; 4], "{codecs:?}");
            assert_eq!(answer.check_packed(), 4);
            assert_eq!(answer.plan.unwrap().version, version);
            assert_eq!(memory.packs.lock().unwrap().len(), packs, "{codecs:?}");
            sizes.push((codec, answer.bytes_from_plan, plan_id(&answer)));
        }
    }
    // One plan for all, whatever they decode: so a device may go on with another codec.
    assert!(sizes.iter().all(|(.., id)| *id == sizes[0].2));
    let size = |codec| sizes.iter().rfind(|(of, ..)| *of == codec).unwrap().1;
    assert_ne!(size(Codec::Deflate), size(Codec::Zstd));
    let mut rest = request(&["old"], &[]);
    rest.codecs = both;
    rest.part = Part::Rest { plan: sizes[0].2, have: ranges(&[0, 2]) };
    let answer = ask(address, &rest);
    assert_eq!((answer.packs.len(), answer.codecs), (2, vec![Codec::Zstd; 2]));
    rest.part = Part::Repair { plan: sizes[0].2, contents: ranges(&[2]) };
    assert_eq!(ask(address, &rest).codecs, [Codec::Zstd]);
}

#[test]
fn what_is_measured_for_one_codec_is_no_estimate_for_another() {
    let runtime = runtime();
    let memory = Arc::new(Memory::new(&[("old", OLD), ("new", NEW)]));
    let address = serve_from(&runtime, memory.clone());
    let mut update = request(&["new"], &[held("old")]);
    let mut estimates = Vec::new();
    for codecs in [Codecs::DEFLATE, Codecs::DEFLATE.and(Codecs::ZSTD)].repeat(2) {
        update.codecs = codecs;
        memory.packs.lock().unwrap().clear();
        let answer = ask(address, &update);
        estimates.push((answer.plan.unwrap().wire_bytes, answer.bytes_from_plan));
    }
    let is_good = estimates.iter().map(|(estimate, bytes)| is_near(*estimate, *bytes));
    assert_eq!(is_good.collect::<Vec<_>>(), [false, false, true, true], "{estimates:?}");
    // And a measurement is exact for the codec that it is asked with.
    for codecs in [Codecs::DEFLATE, Codecs::DEFLATE.and(Codecs::ZSTD)] {
        memory.packs.lock().unwrap().clear();
        let mut measure = request(&["old"], &[]);
        (measure.purpose, measure.codecs) = (Purpose::Measure, codecs);
        let plan = ask(address, &measure).plan.unwrap();
        let delivered = ask(address, &DeployRequest { codecs, ..request(&["old"], &[]) });
        assert!(plan.exact && delivered.bytes_from_plan == plan.wire_bytes, "{codecs:?}");
    }
}

#[test]
fn a_budget_is_kept_to_the_byte() {
    let runtime = runtime();
    let address = serve(&runtime);
    let whole = ask(address, &request(&["old"], &[])).bytes;
    for (max, fits) in [(whole + 16, true), (whole - 100, false), (0, false)] {
        let mut request = request(&["old"], &[]);
        request.max_bytes = Some(max);
        let answer = ask(address, &request);
        assert_eq!(answer.complete.is_some(), fits, "{max} of {whole}");
        if !fits {
            let (code, message) = answer.failure();
            assert_eq!(code, FailureCode::OverBudget);
            assert!(message.contains(&format!("allows {max}")), "{message}");
        }
    }
}

#[test]
fn a_device_resumes_with_the_packs_that_it_lacks() {
    let runtime = runtime();
    let address = serve(&runtime);
    let whole = ask(address, &request(&["old"], &[]));
    let mut resume = request(&["old"], &[]);
    resume.part = Part::Resume { plan: plan_id(&whole), have: ranges(&[0, 2]) };
    let rest = ask(address, &resume);
    assert_eq!(rest.packs.keys().collect::<Vec<_>>(), [&1, &3]);
    assert!(rest.packs.iter().all(|(number, pack)| whole.packs[number] == *pack));
    assert_eq!((plan_id(&rest), &rest.layers), (plan_id(&whole), &whole.layers));
    let mut cut = resume.clone();
    cut.part = Part::Rest { plan: plan_id(&whole), have: ranges(&[0, 2]) };
    let again = ask(address, &cut);
    assert!(again.layers.is_empty() && again.packs == rest.packs);
    resume.held.push(held("new")).unwrap();
    assert_eq!(ask(address, &resume).failure().0, FailureCode::PlanChanged);

    let mut metadata = request(&["old"], &[]);
    metadata.part = Part::Metadata;
    let answer = ask(address, &metadata);
    assert_eq!((plan_id(&answer), &answer.layers), (plan_id(&whole), &whole.layers));
    assert!(answer.packs.is_empty() && answer.plan.unwrap().wire_bytes < 1000);
}

#[test]
fn damaged_local_sources_are_repaired() {
    let runtime = runtime();
    let address = serve(&runtime);
    let whole = ask(address, &request(&["new"], &[held("old")]));
    let mut repair = request(&["new"], &[held("old")]);
    repair.part = Part::Repair { plan: plan_id(&whole), contents: ranges(&[2]) };
    let answer = ask(address, &repair);
    assert!(answer.layers.is_empty());
    assert_eq!(answer.plan.unwrap().content_bytes, 9);
    let content = &whole.contents[2];
    assert_eq!(check(&answer.space(), [(content.size, content.sha256)].into_iter()), 1);
}

#[test]
fn contents_are_had_by_digest() {
    let runtime = runtime();
    let address = serve(&runtime);
    let whole = ask(address, &request(&["new"], &[held("old")]));
    let by_digest = |digests: &[u8]| {
        let part = Part::Contents;
        ask(address, &DeployRequest { part, digests, ..request(&["new"], &[]) })
    };
    // One that the device was to copy, and the order is the device's.
    let chosen = [&whole.contents[2], &whole.contents[0]];
    let digests = chosen.map(|content| content.sha256.0).concat();
    let answer = by_digest(&digests);
    assert!(answer.layers.is_empty());
    let expected = chosen.map(|content| (content.size, content.sha256));
    assert_eq!(check(&answer.space(), expected.into_iter()), 2);
    for wrong in [&[7; 32][..], &digests[1..]] {
        assert_eq!(by_digest(wrong).failure().0, FailureCode::BadRequest);
    }
}

#[test]
fn refusals_have_a_code_and_a_sentence() {
    let runtime = runtime();
    let address = serve(&runtime);
    let unknown = request(&["nowhere"], &[]);
    let mut version = request(&["old"], &[]);
    version.version = Version { major: 9, minor: 0 };
    let mut codecs = request(&["old"], &[]);
    codecs.codecs = Codecs::ZSTD;
    let mut application = request(&["old"], &[]);
    application.want = Want::Application("shop");
    let rows = [
        (unknown, FailureCode::NotFound, "no image nowhere"),
        (version, FailureCode::Version, "update the accelerator"),
        (codecs, FailureCode::BadRequest, "deflate"),
        (application, FailureCode::NotFound, "\"shop\""),
        (request(&[], &[]), FailureCode::BadRequest, "name at least one"),
    ];
    for (request, code, text) in rows {
        let answer = ask(address, &request);
        let (found, message) = answer.failure();
        assert_eq!(found, code, "{message}");
        assert!(message.contains(text), "{message}");
    }
    let (_, body) = post(address, MEDIA_TYPE, b"\x01");
    assert_eq!(common::read_answer(&body).failure().0, FailureCode::BadRequest);
}

#[test]
fn an_unknown_held_image_counts_as_not_held() {
    let runtime = runtime();
    let answer = ask(serve(&runtime), &request(&["old"], &[held("lost"), held("new")]));
    assert_eq!(answer.notices, [Notice::HeldUnknown(0)]);
    assert_eq!(answer.layers[0].0.parent, Parent::Held(1));
}

#[test]
fn clients_that_speak_no_skiff_get_plain_http() {
    let runtime = runtime();
    let address = serve(&runtime);
    assert_eq!(post(address, MEDIA_TYPE, &vec![0; MAX_REQUEST + 1]).0, 413);
    assert_eq!(post(address, "text/plain", b"hello").0, 415);
    assert_eq!(get(address, "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(get(address, "/nothing").0, 404);
    let sent = ask(address, &request(&["old"], &[])).bytes;
    let (_, metrics) = get(address, "/metrics");
    for line in [
        "skiff_build_info{version=\"0.1.0\"} 1".to_owned(),
        "skiff_deployments_total{result=\"complete\"} 1".to_owned(),
        format!("skiff_sent_bytes_total {sent}"),
        "skiff_plan_seconds_count 1".to_owned(),
    ] {
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
}

#[test]
fn a_device_that_waits_hears_progress_and_one_that_leaves_ends_the_work() {
    use std::io::{Read as _, Write as _};
    let runtime = runtime();
    let address = serve(&runtime);
    let mut buffer = [0; 1024];
    let body = request(&["slow"], &[]).encode(&mut buffer).unwrap().to_vec();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /v1/deploy HTTP/1.1\r\nHost: test\r\nContent-Type: {MEDIA_TYPE}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
    let (started, mut seen) = (std::time::Instant::now(), Vec::new());
    while seen.iter().filter(|byte| **byte == skiff_protocol::frame::MAGIC).count() < 2 {
        let mut some = [0; 256];
        let len = stream.read(&mut some).unwrap();
        assert!(len > 0);
        seen.extend_from_slice(&some[..len]);
    }
    let waited = started.elapsed();
    assert!(waited > Duration::from_secs(1) && waited < Duration::from_secs(6), "{waited:?}");
    drop(stream);
    let gone = "skiff_deployments_total{result=\"gone\"} 1";
    let until = std::time::Instant::now() + Duration::from_secs(6);
    while !get(address, "/metrics").1.contains(gone) {
        assert!(std::time::Instant::now() < until, "the answer goes on");
        std::thread::sleep(Duration::from_millis(50));
    }
}
