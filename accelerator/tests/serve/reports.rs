//! Hot sets from a device's report to another's answer, on an image that is ingested.

use crate::common::layout;

use crate::common::{Answer, ask, exchange, get, request};
use crate::runtime;
use skiff_accelerator::hot::take;
use skiff_accelerator::hot::{Item, Listed, Subject};
use skiff_accelerator::library::Images;
use skiff_accelerator::packs::encoding::Levels;
use skiff_accelerator::serve::Service;
use skiff_protocol::limits::MAX_TRACE;
use skiff_protocol::request::{DeployRequest, Hydration};
use skiff_protocol::trace::{TraceEntries, TraceHead, TraceRecord, TracedImage};
use skiff_protocol::{Digest, TRACE_MEDIA_TYPE, Version};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Files of the image with their sizes, all too large to be small, and each of another size.
const FILES: [(&str, usize); 5] = [
    ("bin/sh", 50_000),
    ("opt/late", 60_000),
    ("opt/last", 70_000),
    ("opt/seldom", 80_000),
    ("usr/bin/serve", 90_000),
];

fn tar(directory: &Path) -> Vec<u8> {
    for (path, len) in FILES {
        let file = directory.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let mut bytes = crate::common::memory::bytes(7, len);
        if path == "usr/bin/serve" {
            bytes[..10].copy_from_slice(b"#!/bin/sh\n");
        }
        fs::write(&file, bytes).unwrap();
        let made = Command::new("chmod").arg("755").arg(&file).status().unwrap();
        assert!(made.success());
    }
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "-cf-", "-C"]).arg(directory).args(["bin", "opt", "usr"]);
    let tar = tar.output().unwrap();
    assert!(tar.status.success());
    tar.stdout
}

struct Place {
    _directory: tempfile::TempDir,
    images: Arc<Images>,
    manifest: Digest,
}

impl Place {
    fn new(runtime: &Runtime) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tar = tar(&directory.path().join("root"));
        let image = layout::layout(&directory.path().join("images/a"), tar, r#"{"Cmd":["serve"]}"#);
        let registry = format!("oci:{}/images", directory.path().display());
        let data = directory.path().join("data");
        let images = runtime.block_on(Images::open(&registry, &data, 1 << 30, None)).unwrap();
        Self { _directory: directory, images: Arc::new(images), manifest: image[0].0 }
    }

    fn serve(&self, runtime: &Runtime, open: bool) -> SocketAddr {
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let service = Service::new(Arc::clone(&self.images), Levels::default());
        let reports = take::routes(&self.images, service.metrics(), open);
        runtime.spawn(service.with_guarded(reports).run(listener, std::future::pending()));
        address
    }

    /// A report of these files.
    fn report(&self, class: &str, manifest: Digest, paths: &[&str]) -> Vec<u8> {
        let head = TraceHead {
            version: Version::CURRENT,
            agent: "test",
            platform: request(&[], &[]).platform,
            application: "",
            class,
            images: heapless::Vec::from_slice(&[TracedImage { reference: "a:1", manifest }])
                .unwrap(),
        };
        let (mut entries, mut buffer) = (TraceEntries::new(), [0; 1024]);
        let mut bytes = TraceRecord::Head(head).encode(&mut buffer).unwrap().to_vec();
        for (millis, path) in (0..).zip(paths) {
            let entry = entries.encode(0, millis, path.as_bytes(), &mut buffer).unwrap();
            bytes.extend_from_slice(entry);
        }
        bytes.extend_from_slice(TraceRecord::End.encode(&mut buffer).unwrap());
        bytes
    }
}

fn report(address: SocketAddr, media_type: &str, body: &[u8]) -> (u16, String) {
    let head = format!(
        "POST /v1/trace HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
         Content-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let (status, body) = exchange(address, &[head.as_bytes(), body].concat());
    (status, String::from_utf8(body).unwrap())
}

/// The order of files in an answer to a device of a class.
fn order(address: SocketAddr, class: &str) -> Vec<&'static str> {
    let hydration = Hydration { cold_files: 100, class, ..Hydration::default() };
    let answer: Answer = ask(address, &DeployRequest { hydration, ..request(&["a:1"], &[]) });
    let name = |size| FILES.iter().find(|(_, len)| *len as u64 == size).unwrap().0;
    assert_eq!(answer.check_packed(), FILES.len());
    answer.contents.iter().map(|content| name(content.size)).collect()
}

#[test]
fn a_report_orders_the_next_answers() {
    let runtime = runtime();
    let place = Place::new(&runtime);
    let address = place.serve(&runtime, true);
    let rest = ["opt/last", "opt/late", "opt/seldom"];
    let predicted = [&["usr/bin/serve", "bin/sh"][..], &rest].concat();
    assert_eq!(order(address, ""), predicted);

    let by_hand = Listed { images: Vec::new(), items: vec![Item::file(0, "opt/late")] };
    let subject = Subject::Image("a".to_owned());
    runtime.block_on(place.images.store().put_hot_set(&subject, "", &by_hand)).unwrap();
    let said = order(address, "");
    assert_eq!(said[0], "opt/late");

    let paths = ["opt/seldom", "opt/none", "opt", "usr/bin/serve"];
    let body = place.report("pi", place.manifest, &paths);
    assert_eq!(report(address, TRACE_MEDIA_TYPE, &body), (204, String::new()));
    assert_eq!(order(address, "pi")[..2], ["opt/seldom", "usr/bin/serve"]);
    assert_eq!(order(address, ""), said, "another class");
    let body = place.report("", place.manifest, &["opt/last"]);
    assert_eq!(report(address, TRACE_MEDIA_TYPE, &body).0, 204);
    assert_eq!(order(address, "")[0], "opt/last");
    assert_eq!(order(address, "pc")[0], "opt/last", "a class without a report");
    let (_, metrics) = get(address, "/metrics");
    assert!(metrics.contains("skiff_traces_total{result=\"taken\"} 2"), "{metrics}");
}

#[test]
fn what_is_no_report_or_of_an_unknown_image_is_refused() {
    let runtime = runtime();
    let place = Place::new(&runtime);
    let address = place.serve(&runtime, true);
    let body = place.report("", place.manifest, &["opt/last"]);
    let unknown = report(address, TRACE_MEDIA_TYPE, &body);
    assert!(
        unknown.0 == 404 && unknown.1.contains("a@sha256:"),
        "it was not ingested: {unknown:?}"
    );
    assert_eq!(report(address, "text/plain", &body).0, 415);
    assert_eq!(report(address, TRACE_MEDIA_TYPE, &vec![0; MAX_TRACE + 1]).0, 413);
    let cut = report(address, TRACE_MEDIA_TYPE, &body[..body.len() - 1]);
    assert!(cut.0 == 400 && cut.1.contains("too early"), "{cut:?}");
    let closed = report(place.serve(&runtime, false), TRACE_MEDIA_TYPE, &body);
    assert!(closed.0 == 403 && closed.1.contains("--no-traces"), "{closed:?}");
}
