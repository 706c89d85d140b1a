//! Devices that start before everything is there: the order of contents, plans that are asked for again, and
//! urgent answers.

use crate::common::memory::{Files, Memory};
use crate::common::{Answer, ask, check, get, ranges, request};
use crate::{plan_id, runtime};
use nix::sys::socket::{setsockopt, sockopt};
use skiff_accelerator::hot::Item;
use skiff_accelerator::packs::encoding::Levels;
use skiff_accelerator::serve::Service;
use skiff_protocol::request::{DeployRequest, Hydration, Part};
use skiff_protocol::response::FailureCode;
use skiff_protocol::{Digest, MEDIA_TYPE, Version};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

const MIB: usize = 1 << 20;
/// In order of their names: large, small, large, small, large.
const APP: Files =
    &[("a", 1, 2 * MIB), ("b", 2, 100), ("c", 3, MIB + 1), ("d", 4, 7), ("e", 5, MIB)];
const NEXT: Files = &[("a", 1, 2 * MIB), ("b", 9, 101)];
const BIG: Files = &[("big", 6, 16 * MIB)];

fn library() -> Arc<Memory> {
    let memory = Memory::new(&[("app", APP), ("next", NEXT), ("big", BIG)]);
    *memory.hot.lock().unwrap() = ["e", "gone", "b"].map(|path| Item::file(0, path)).to_vec();
    Arc::new(memory)
}

fn serve(runtime: &Runtime, library: &Arc<Memory>) -> SocketAddr {
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(
        Service::new(Arc::clone(library), Levels::default()).run(listener, std::future::pending()),
    );
    address
}

fn cold<'a>(want: &[&'a str], cold_files: u32) -> DeployRequest<'a> {
    let hydration = Hydration { deployment: [7; 16], cold_files, ..Hydration::default() };
    DeployRequest { hydration, ..request(want, &[]) }
}

/// The sizes of contents, in their order.
fn sizes(answer: &Answer) -> Vec<u64> {
    answer.contents.iter().map(|content| content.size).collect()
}

#[test]
fn what_is_needed_first_comes_first() {
    let runtime = runtime();
    let address = serve(&runtime, &library());
    let (a, b, c, d, e) = (2 * MIB as u64, 100, MIB as u64 + 1, 7, MIB as u64);
    let rows: [(u32, &[u64], usize); 5] = [
        (0, &[a, b, c, d, e], 0),
        (9, &[e, b, d, a, c], 2),
        (5, &[e, b, d, a, c], 2),
        (4, &[d, e, b, a, c], 2),
        (1, &[b, c, d, e, a], 3),
    ];
    let mut ids = Vec::new();
    for (cold_files, order, first_packs) in rows {
        let answer = ask(address, &cold(&["app"], cold_files));
        assert_eq!(
            (sizes(&answer), answer.first_packs),
            (order.to_vec(), first_packs),
            "{cold_files}"
        );
        assert_eq!(answer.check_packed(), 5);
        ids.push(plan_id(&answer));
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), rows.len(), "how many files are cold is part of a plan's name");
    let older = DeployRequest { version: Version { major: 1, minor: 1 }, ..cold(&["app"], 9) };
    assert_eq!(sizes(&ask(address, &older)), rows[0].1);
}

#[test]
fn a_plan_is_made_again_whatever_has_changed() {
    let (runtime, library) = (runtime(), library());
    let whole = ask(serve(&runtime, &library), &cold(&["app"], 9));
    // The hot set changes, the tag moves, and another accelerator with the same database is asked.
    library.hot.lock().unwrap().clear();
    let target = {
        let mut images = library.images.lock().unwrap();
        let (app, next) = (images["app"].clone(), images["next"].clone());
        images.insert("app", next);
        images.insert("was app", app.clone());
        app.target
    };
    let address = serve(&runtime, &library);
    let now = ask(address, &cold(&["app"], 9));
    assert_ne!(plan_id(&now), plan_id(&whole));

    let mut resume = cold(&["app"], 9);
    resume.part = Part::Resume { plan: plan_id(&whole), have: ranges(&[0]) };
    let rest = ask(address, &resume);
    assert_eq!((plan_id(&rest), &rest.layers), (plan_id(&whole), &whole.layers));
    assert_eq!((sizes(&rest), rest.first_packs), (sizes(&whole), 1));
    assert_eq!(rest.images[0].0, "app");
    assert!(rest.packs.iter().all(|(number, pack)| whole.packs[number] == *pack));

    let by_digest = format!("app@{target}");
    let rows: [(&str, u32, bool); 3] =
        [(&by_digest, 9, true), (&by_digest, 0, true), ("next", 9, false)];
    for (reference, cold_files, is_of_the_plan) in rows {
        let mut repair = cold(&[reference], cold_files);
        repair.part = Part::Repair { plan: plan_id(&whole), contents: ranges(&[1, 4]) };
        repair.hydration.urgent = true;
        let answer = ask(address, &repair);
        if !is_of_the_plan {
            assert_eq!(answer.failure().0, FailureCode::PlanChanged);
            continue;
        }
        assert_eq!((plan_id(&answer), answer.layers.len()), (plan_id(&whole), 0));
        let named = [1, 4].map(|number| &whole.contents[number]);
        let named = named.into_iter().map(|content| (content.size, content.sha256));
        assert_eq!(check(&answer.space(), named), 2);
    }
    resume.part = Part::Resume { plan: Digest([9; 32]), have: ranges(&[]) };
    assert_eq!(ask(address, &resume).failure().0, FailureCode::PlanChanged, "an unknown plan");
}

/// The request as HTTP has it, on a connection that stays open.
fn post(request: &DeployRequest<'_>) -> Vec<u8> {
    let mut buffer = [0; 1024];
    let body = request.encode(&mut buffer).unwrap();
    let head = format!(
        "POST /v1/deploy HTTP/1.1\r\nHost: test\r\nContent-Type: {MEDIA_TYPE}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Reads until the bytes are `end`'s.
fn read_until(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let (mut bytes, mut some) = (Vec::new(), [0; 64 << 10]);
    while !bytes.ends_with(end) {
        let len = stream.read(&mut some).unwrap();
        assert!(len > 0, "the connection ends after {} bytes", bytes.len());
        bytes.extend_from_slice(&some[..len]);
    }
    bytes
}

const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

#[test]
fn several_requests_go_over_one_connection() {
    let runtime = runtime();
    let address = serve(&runtime, &library());
    let mut stream = TcpStream::connect(address).unwrap();
    for _ in 0..3 {
        stream.write_all(&post(&cold(&["app"], 9))).unwrap();
        let answer = read_until(&mut stream, LAST_CHUNK);
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
}

/// Reads until nothing comes for a moment; gives the bytes.
fn drain(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
    let (mut bytes, mut some) = (Vec::new(), vec![0; 256 << 10]);
    while let Ok(len) = stream.read(&mut some) {
        bytes.extend_from_slice(&some[..len]);
        if bytes.ends_with(LAST_CHUNK) {
            break;
        }
    }
    stream.set_read_timeout(None).unwrap();
    bytes
}

#[test]
fn an_urgent_answer_has_the_link_for_itself() {
    let runtime = runtime();
    let address = serve(&runtime, &library());
    let mut behind = TcpStream::connect(address).unwrap();
    setsockopt(&behind, sockopt::RcvBuf, &(32 << 10)).unwrap();
    behind.write_all(&post(&cold(&["big"], 9))).unwrap();
    let mut first = [0; 64 << 10];
    behind.read_exact(&mut first).unwrap();

    // It waits for its image; once its answer has begun, it is known.
    let mut urgent = cold(&["slow"], 9);
    urgent.hydration.urgent = true;
    let mut ahead = TcpStream::connect(address).unwrap();
    ahead.write_all(&post(&urgent)).unwrap();
    assert!(ahead.read(&mut [0; 64]).unwrap() > 0);

    let mut bytes = first.to_vec();
    bytes.extend(drain(&mut behind));
    assert!(!bytes.ends_with(LAST_CHUNK), "nothing held it back");
    assert!(bytes.len() < 2 * MIB, "{} bytes were out of our hands", bytes.len());
    let (_, metrics) = get(address, "/metrics");
    assert!(metrics.contains("skiff_urgent_answers_total 1"), "{metrics}");

    // The device goes away from the urgent answer.
    drop(ahead);
    bytes.extend(read_until(&mut behind, LAST_CHUNK));
    assert!(bytes.len() > 4 * MIB);
}

#[test]
fn a_class_is_a_word() {
    let runtime = runtime();
    let mut request = cold(&["app"], 9);
    request.hydration.class = "a b";
    let answer = ask(serve(&runtime, &library()), &request);
    let (code, message) = answer.failure();
    assert!(code == FailureCode::BadRequest && message.contains("class"), "{message}");
}
