//! What stands between: an HTTP proxy of the environment, by both of its forms, and nginx before the accelerator, which buffers
//! and closes idle connections. Both are Debian's.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_protocol::{DEPLOY_PATH, MEDIA_TYPE};
use skiff_tests::certificates::{Ca, Certificate, Key};
use skiff_tests::compare::{NEVER, report};
use skiff_tests::hard::noise;
use skiff_tests::harness::{
    Accelerator, Fault, Nginx, Outcome, Relay, Sandbox, Skiff, SkiffDaemon, Tinyproxy, alone,
};
use skiff_tests::layout::{Image, Layer, Layout};
use skiff_tests::tarball::Entry;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Exit codes, as `skiff --help` lists them.
const USAGE: i32 = 2;
const LINK: i32 = 4;

const OLD: &str = "app:1";
const NEW: &str = "app:2";
const FILES: u64 = 20;
const SIZE: usize = 60_000;
const GOOD: (i32, i32) = (2020, 2099);

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Two versions of an image, a certificate of a private CA, and an accelerator.
struct Ground {
    accelerator: Accelerator,
    registry: String,
    ca: Ca,
    certificate: Certificate,
    sandbox: Sandbox,
}

impl Ground {
    fn new(has_tls: bool) -> Self {
        let sandbox = Sandbox::new();
        let layouts = sandbox.directory("layouts");
        let layout = Layout::create(&layouts, "app");
        for (tag, first) in [("1", 0), ("2", FILES / 2)] {
            let filler = Entry::file("filler", noise(first + 900, 4 << 20)).mtime(1_600_000_000, 5);
            let file = |number| {
                Entry::file(format!("f/{number:02}"), noise(number, SIZE)).mtime(1_600_000_000, 5)
            };
            let files = (first..first + FILES).map(file);
            let entries = [Entry::directory("f/"), filler].into_iter().chain(files);
            layout.add(tag, &Image::new(vec![Layer::new(&entries.collect::<Vec<_>>())]));
        }
        let registry = format!("oci:{}", layouts.display());
        let files = sandbox.directory("files");
        let ca = Ca::new(&files, "ca", Key::P256);
        let certificate = ca.sign(&files.join("server.pem"), &["127.0.0.1"], GOOD, Key::P256);
        let tls = ["--tls-cert", text(&certificate.file), "--tls-key", text(&certificate.key)];
        let tls = if has_tls { &tls[..] } else { &[] };
        let accelerator =
            Accelerator::start_with(&sandbox.directory("accelerator"), &registry, tls);
        Self { accelerator, registry, ca, certificate, sandbox }
    }

    fn skiff(&self, name: &str) -> Skiff {
        Skiff::root(&self.sandbox, &self.sandbox.directory(name))
    }

    /// What each version should be: pulled without anything between.
    fn expect(&self, skiff: &Skiff) {
        let straight =
            Accelerator::start_with(&self.sandbox.directory("straight"), &self.registry, &[]);
        let eager = self.skiff("eager");
        for image in [OLD, NEW] {
            pull(&eager, image, &straight.url(), &[]).ok("straight");
            let (expected, found) = (eager.tree(image).unwrap(), skiff.tree(image).unwrap());
            assert_eq!(report(&expected, &found, &NEVER), None, "{image}");
        }
    }
}

fn pull(skiff: &Skiff, image: &str, url: &str, options: &[&str]) -> Outcome {
    let pull = ["pull", image, "--json", "--lazy=never", "--tries=1", "--accelerator", url];
    skiff.run(&[&pull[..], options].concat())
}

fn layer(skiff: &Skiff) -> PathBuf {
    let snapshots = skiff.state.parent().unwrap().join("snapshots");
    fs::read_dir(snapshots).unwrap().next().unwrap().unwrap().path().join("fs")
}

/// Opens cold files, and reads what is theirs.
fn read(layer: &Path, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        let found = fs::read(layer.join(format!("f/{number:02}"))).unwrap();
        assert!(found == noise(number, SIZE), "f/{number:02}: {} bytes", found.len());
    }
}

#[test]
fn the_environment_names_a_proxy() {
    for (scheme, has_tls) in [("http", false), ("https", true)] {
        let ground = Ground::new(has_tls);
        let proxy = Tinyproxy::start(&ground.sandbox, "device", "s3cret");
        let url = format!("{scheme}://{}", ground.accelerator.address);
        let trust: &[&str] = if has_tls { &["--ca", text(&ground.ca.file)] } else { &[] };
        let variable = if has_tls { "https_proxy" } else { "http_proxy" };
        let right = format!("http://device:s3cret@{}", proxy.address);
        let through = ground.skiff("device").with_environment(&[(variable, &right)]);
        for image in [OLD, NEW] {
            pull(&through, image, &url, trust).ok("through the proxy");
        }
        let asked = match has_tls {
            true => format!("CONNECT {} HTTP/1.1", ground.accelerator.address),
            false => format!("POST {url}/v1/deploy HTTP/1.1"),
        };
        assert_eq!(proxy.requests(), [&*asked, &asked]);
        ground.expect(&through);

        let (wrong, none) = (format!("device:x@{}", proxy.address), &*proxy.address);
        let (silent, other) = ("127.0.0.1:1", "ftp://127.0.0.1");
        let refused = "does not let this device reach";
        for (value, bypass, code, words) in [
            (&*wrong, "", LINK, refused),
            (none, "a.example,127.0.0.2", LINK, refused),
            (silent, "", LINK, "by the proxy at 127.0.0.1:1: "),
            (other, "", USAGE, "is not an address like http://proxy.example:3128"),
            (silent, "127.0.0.0/8", 0, ""),
            (silent, "*", 0, ""),
        ] {
            let variables = [(variable, value), ("no_proxy", bypass)];
            let skiff = ground.skiff("other").with_environment(&variables);
            let outcome = pull(&skiff, OLD, &url, &[&["--dry-run"], trust].concat());
            let Outcome { code: found, stderr, .. } = outcome;
            assert_eq!(found, code, "{variables:?}: {stderr}");
            assert!(
                stderr.contains(words) && !stderr.contains("s3cret"),
                "{variables:?}: {stderr}"
            );
        }
        // Upper case counts, but for HTTP_PROXY.
        let upper = ground.skiff("upper").with_environment(&[
            ("HTTP_PROXY", silent),
            ("HTTPS_PROXY", silent),
            ("NO_PROXY", "a.example"),
        ]);
        let code = if has_tls { LINK } else { 0 };
        assert_eq!(pull(&upper, OLD, &url, &[&["--dry-run"], trust].concat()).code, code);
    }
}

#[test]
fn a_proxy_that_lies() {
    let ground = Ground::new(true);
    let endless = [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'y'; 1 << 20]].concat();
    for (row, said, words) in [
        ("hangs up", b"".to_vec(), "by the proxy at"),
        ("hangs up later", b"HTTP/1.1 200 OK\r\n".to_vec(), "by the proxy at"),
        ("no HTTP", b"220 mail.example ESMTP\r\n\r\n".to_vec(), "what it says is not HTTP"),
        ("an endless head", endless, "longer than 16 KiB"),
        ("busy", b"HTTP/1.0 503 Busy\r\n\r\n".to_vec(), "HTTP status 503"),
        ("redirects", b"HTTP/1.1 302 Found\r\n\r\n".to_vec(), "HTTP status 302"),
        ("no tunnel", b"HTTP/1.1 200 OK\r\n\r\n220 mail.example\r\n".to_vec(), "not TLS"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&said);
            let _ = stream.shutdown(Shutdown::Write);
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
        let skiff = ground.skiff("device").with_environment(&[("https_proxy", &proxy)]);
        let trust = ["--ca", text(&ground.ca.file), "--dry-run"];
        let outcome = pull(&skiff, OLD, &ground.accelerator.https(), &trust);
        assert_eq!(outcome.code, LINK, "{row}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(words), "{row}: {}", outcome.stderr);
    }
}

#[test]
fn a_token_is_not_shown_to_a_proxy() {
    let ground = Ground::new(false);
    let proxy = Tinyproxy::start(&ground.sandbox, "device", "s3cret");
    let token = ground.sandbox.directory("files").join("token");
    fs::write(&token, "token").unwrap();
    let through = format!("http://device:s3cret@{}", proxy.address);
    let with_token = |bypass: &str| {
        let variables = [("http_proxy", &*through), ("no_proxy", bypass)];
        let skiff = ground.skiff("device").with_environment(&variables);
        let options = ["--dry-run", "--token-file", text(&token)];
        pull(&skiff, OLD, &ground.accelerator.url(), &options)
    };
    let refused = with_token("");
    assert_eq!(refused.code, USAGE, "{}", refused.stderr);
    assert!(refused.stderr.contains("not shown to a proxy"), "{}", refused.stderr);
    with_token("127.0.0.1").ok("this machine itself");
    assert_eq!(proxy.requests(), [""; 0]);
}

/// Cold files are opened while the stream stands still, one after the other and after a pause in which what is between
/// closes idle connections; then it flows on.
fn start_cold(skiff: &Skiff, url: &str, options: &[&str], relay: &Relay, pause: impl Fn()) {
    let daemon = SkiffDaemon::start_with(skiff, options);
    let lazy = ["pull", OLD, "--json", "--lazy=require", "--accelerator", url];
    skiff.run(&lazy).ok("pull");
    assert!(daemon.cold_files() > 0);
    let layer = layer(skiff);
    read(&layer, [15]);
    read(&layer, [7]);
    pause();
    read(&layer, [11]);
    relay.release();
    daemon.wait_until_warm();
    read(&layer, 0..FILES);
}

#[test]
fn cold_files_come_through_a_proxy() {
    let _alone = alone();
    for (scheme, has_tls) in [("http", false), ("https", true)] {
        let ground = Ground::new(has_tls);
        let proxy = Tinyproxy::start(&ground.sandbox, "device", "s3cret");
        let relay = Relay::start(&ground.accelerator.address, Fault::HoldFirst(64 << 10));
        let url = format!("{scheme}://{}", relay.address);
        let right = format!("http://device:s3cret@{}", proxy.address);
        let variables = [("http_proxy", &*right), ("HTTPS_PROXY", &right)];
        let skiff = ground.skiff("device").with_environment(&variables);
        let trust: &[&str] = if has_tls { &["--ca", text(&ground.ca.file)] } else { &[] };
        start_cold(&skiff, &url, trust, &relay, || {});
        let method = if has_tls { "CONNECT " } else { "POST " };
        let requests = proxy.requests();
        assert!(requests.len() > 1 && requests.iter().all(|line| line.starts_with(method)));
    }
}

#[test]
fn nginx_buffers_and_closes_what_is_idle() {
    let _alone = alone();
    for has_tls in [false, true] {
        let ground = Ground::new(false);
        let relay = Relay::start(&ground.accelerator.address, Fault::HoldFirst(256 << 10));
        let Certificate { file, key, .. } = &ground.certificate;
        let tls = has_tls.then_some((&**file, &**key));
        let nginx = Nginx::start(&ground.sandbox, &relay.address, tls);
        let scheme = if has_tls { "https" } else { "http" };
        let url = format!("{scheme}://{}", nginx.address);
        let trust: &[&str] = if has_tls { &["--ca", text(&ground.ca.file)] } else { &[] };
        let skiff = ground.skiff("device");
        // nginx closes a connection that has been idle for a second.
        let pause = || std::thread::sleep(Duration::from_millis(2500));
        start_cold(&skiff, &url, trust, &relay, pause);
        let answers = nginx.answers();
        let mut urgent: Vec<u64> = answers.iter().map(|(connection, _)| *connection).collect();
        urgent.dedup();
        assert!(answers.iter().all(|(_, status)| *status == 200), "{answers:?}");
        assert!(answers.len() > 3 && urgent.len() > 2, "no connection was closed: {answers:?}");
        pull(&skiff, NEW, &url, trust).ok("an update");
        ground.expect(&skiff);
    }
}

#[test]
fn an_accelerator_behind_nginx_may_be_down() {
    let ground = Ground::new(false);
    let nginx = Nginx::start(&ground.sandbox, &ground.accelerator.address, None);
    let url = format!("http://{}", nginx.address);
    let skiff = ground.skiff("device");
    pull(&skiff, OLD, &url, &[]).ok("up");
    // Where nginx may listen to it, it holds nothing back.
    let kind = format!("Content-Type: {MEDIA_TYPE}\r\n");
    let (status, answer) = ground.accelerator.ask("POST", DEPLOY_PATH, &kind, b"");
    assert!(status == 200 && answer.contains("x-accel-buffering: no\r\n"), "{answer}");
    drop(ground.accelerator);
    let outcome = pull(&skiff, NEW, &url, &[]);
    assert_eq!(outcome.code, LINK, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("HTTP status 502"), "{}", outcome.stderr);
}
