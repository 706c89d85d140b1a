//! Whom agent and accelerator trust: certificates, pinned keys, tokens, and which device may read what.
#![allow(clippy::unwrap_used, reason = "tests")]

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS12;
use rustls::{ServerConfig, ServerConnection};
use sha2::{Digest as _, Sha256};
use skiff_tests::certificates::{Ca, Certificate, Key, replace};
use skiff_tests::compare::{NEVER, report};
use skiff_tests::hard::noise;
use skiff_tests::harness::{
    Accelerator, Fault, Outcome, Relay, Sandbox, Skiff, SkiffDaemon, alone, run, wait_for,
};
use skiff_tests::layout::{Image, Layer, Layout};
use skiff_tests::tarball::Entry;
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Exit codes, as `skiff --help` lists them.
const USAGE: i32 = 2;
const LINK: i32 = 4;
const UNTRUSTED: i32 = 12;
const DENIED: i32 = 13;

/// Most memory of the agent, with TLS, too.
const MEMORY: u64 = 8 << 20;
const GOOD: (i32, i32) = (2020, 2099);
const HERE: &[&str] = &["127.0.0.1", "localhost"];
const PRESS: &str = "press:1";
const VAULT: &str = "vault:1";

/// Images, a CA, and an accelerator with TLS.
struct Ground {
    accelerator: Accelerator,
    registry: String,
    ca: Ca,
    certificate: PathBuf,
    files: PathBuf,
    sandbox: Sandbox,
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn file(number: u64) -> Entry {
    Entry::file(format!("f/{number}"), noise(number, 60_000)).mtime(1_600_000_000, 5)
}

impl Ground {
    fn new(arguments: &[&str], policy: &[(&str, &str)]) -> Self {
        let sandbox = Sandbox::new();
        let layouts = sandbox.directory("layouts");
        for (repository, seed) in [("press", 1), ("vault", 100)] {
            let filler = Entry::file("filler", noise(seed + 99, 4 << 20)).mtime(1_600_000_000, 5);
            let files = (seed..seed + 10).map(file);
            let entries = [Entry::directory("f/"), filler].into_iter().chain(files);
            let layers = vec![Layer::new(&entries.collect::<Vec<_>>())];
            Layout::create(&layouts, repository).add("1", &Image::new(layers));
        }
        let registry = format!("oci:{}", layouts.display());
        let files = sandbox.directory("files");
        let ca = Ca::new(&files, "ca", Key::P256);
        let certificate = files.join("server.pem");
        let Certificate { key, .. } = ca.sign(&certificate, HERE, GOOD, Key::P256);
        let mut all = vec!["--tls-cert", text(&certificate), "--tls-key", text(&key)];
        let path = files.join("policy");
        if !policy.is_empty() {
            write_policy(&path, policy);
            all.extend(["--policy", text(&path)]);
        }
        all.extend(arguments);
        let accelerator =
            Accelerator::start_with(&sandbox.directory("accelerator"), &registry, &all);
        Self { accelerator, registry, ca, certificate, files, sandbox }
    }

    fn skiff(&self, name: &str) -> Skiff {
        Skiff::root(&self.sandbox, &self.sandbox.directory(name))
    }

    /// A pull of an image that only measures.
    fn measure(&self, url: &str, image: &str, options: &[&str]) -> Outcome {
        let pull = ["pull", image, "--dry-run", "--accelerator", url];
        self.skiff("measuring").run(&[&pull[..], options].concat())
    }

    /// One sentence, with these words, and this exit code.
    #[track_caller]
    fn says(&self, row: &str, outcome: &Outcome, code: i32, words: &str) {
        let Outcome { code: found, stderr, .. } = outcome;
        assert_eq!(*found, code, "{row}: {stderr}\n{}", self.accelerator.log());
        if code != 0 {
            assert_eq!(stderr.lines().count(), 1, "{row}: {stderr}");
            assert!(stderr.starts_with("skiff: ") && stderr.contains(words), "{row}: {stderr}");
        }
    }

    fn token(&self, name: &str) -> String {
        let path = self.files.join(name);
        fs::write(&path, format!("{name}\n")).unwrap();
        text(&path).to_owned()
    }
}

fn write_policy(path: &Path, policy: &[(&str, &str)]) {
    let mut lines = String::new();
    for (who, repositories) in policy {
        let who = match who.split_once(' ') {
            Some(("token", token)) => {
                let hash = Sha256::digest(token);
                let hex = hash.iter().fold(String::new(), |mut hex, byte| {
                    write!(hex, "{byte:02x}").unwrap();
                    hex
                });
                format!("token {hex}")
            }
            _ => (*who).to_owned(),
        };
        writeln!(lines, "{who} {repositories}").unwrap();
    }
    replace(path, &lines);
}

#[test]
fn the_accelerator_is_the_right_one_or_none() {
    let ground = Ground::new(&[], &[]);
    let url = ground.accelerator.https();
    let other = Ca::new(&ground.files, "other", Key::P384);
    let (ours, theirs) = (text(&ground.ca.file), text(&other.file));
    let server = &ground.certificate;
    let sign = |ca: &Ca, names: &[&str], years, key| ca.sign(server, names, years, key).pin;
    let wrong = format!("sha256:{}", "ab".repeat(32));
    let check = |row: &str, options: &[&str], code, words: &str| {
        ground.says(row, &ground.measure(&url, PRESS, options), code, words);
    };

    check("our CA", &["--ca", ours], 0, "");
    let outcome = ground.measure(&url, PRESS, &[]);
    ground.says("the system's CAs", &outcome, UNTRUSTED, "no CA that is trusted here");
    assert!(outcome.peak_rss <= MEMORY, "{} bytes of memory", outcome.peak_rss);
    check("another CA", &["--ca", theirs], UNTRUSTED, "no CA that is trusted here");
    for key in [Key::P384, Key::Ed25519, Key::Rsa] {
        let pin = sign(&ground.ca, HERE, GOOD, key);
        check(&format!("{key:?}"), &["--ca", ours], 0, "");
        check(&format!("{key:?}, pinned"), &["--pin", &pin], 0, "");
    }
    let pin = sign(&other, HERE, GOOD, Key::P256);
    check("issued by another CA", &["--ca", ours], UNTRUSTED, "no CA that is trusted here");
    check("pinned", &["--pin", &pin], 0, "");
    check("one of two pins", &["--pin", &wrong, "--pin", &pin], 0, "");
    check("another pin", &["--pin", &wrong], UNTRUSTED, &format!("its key {pin} is none"));
    check("pin and CA", &["--pin", &pin, "--ca", theirs], 0, "");
    check("pin, not the CA", &["--pin", &pin, "--ca", ours], UNTRUSTED, "no CA");
    check(
        "CA, not the pin",
        &["--pin", &wrong, "--ca", theirs],
        UNTRUSTED,
        "is none that is pinned",
    );
    let pin = sign(&ground.ca, &["gateway.example"], GOOD, Key::P256);
    check("another name", &["--ca", ours], UNTRUSTED, "is for gateway.example, not for 127.0.0.1");
    check("another name, pinned", &["--pin", &pin], 0, "");
    let pin = sign(&ground.ca, HERE, (2001, 2002), Key::P256);
    check("expired", &["--ca", ours], UNTRUSTED, "good until 2002-01-01, and the clock");
    check("expired, pinned", &["--pin", &pin], 0, "");
    let pin = sign(&ground.ca, HERE, (2098, 2099), Key::P256);
    check("too early", &["--ca", ours], UNTRUSTED, "from 2098-01-01 on");
    check("too early, pinned", &["--pin", &pin], 0, "");

    let missing = ground.files.join("missing");
    check("no such file", &["--ca", text(&missing)], USAGE, "cannot use");
    check("no PEM", &["--ca", "/proc/version"], USAGE, "no certificate in PEM");
    let plain = ground.measure(&ground.accelerator.url(), PRESS, &[]);
    ground.says("plain HTTP to TLS", &plain, LINK, "");
}

/// A server that speaks TLS 1.2 only, or no TLS.
fn old_server(certificate: Option<&Certificate>) -> String {
    let config = certificate.map(|certificate| {
        let chain = CertificateDer::pem_file_iter(&certificate.file).unwrap();
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(&certificate.key).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(&[&TLS12]).unwrap().with_no_client_auth();
        Arc::new(builder.with_single_cert(chain, key).unwrap())
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            match &config {
                Some(config) => {
                    let mut connection = ServerConnection::new(Arc::clone(config)).unwrap();
                    let _ = connection.complete_io(&mut stream);
                }
                None => {
                    let _ = std::io::Write::write_all(&mut stream, b"220 mail.example ESMTP\r\n");
                    let _ = std::io::copy(&mut stream, &mut std::io::sink());
                }
            }
        }
    });
    format!("https://{address}")
}

#[test]
fn what_speaks_no_tls_1_3_is_refused() {
    let ground = Ground::new(&[], &[]);
    let certificate = ground.ca.sign(&ground.files.join("old.pem"), HERE, GOOD, Key::P256);
    let ca = ["--ca", text(&ground.ca.file)];
    let outcome = ground.measure(&old_server(Some(&certificate)), PRESS, &ca);
    ground.says("TLS 1.2", &outcome, UNTRUSTED, "does not speak TLS 1.3");
    let outcome = ground.measure(&old_server(None), PRESS, &ca);
    ground.says("no TLS", &outcome, LINK, "not TLS");
}

#[test]
fn a_device_reads_what_its_token_lets_it() {
    let policy = [("token operator", "**"), ("token device", "press"), ("token other", "vault")];
    let ground = Ground::new(&[], &policy);
    let url = ground.accelerator.https();
    let ca = text(&ground.ca.file).to_owned();
    let [operator, device, wrong] = ["operator", "device", "wrong"].map(|name| ground.token(name));
    let with = |image: &str, token: &str| {
        ground.measure(&url, image, &["--ca", &ca, "--token-file", token])
    };
    ground.says(
        "no token",
        &ground.measure(&url, PRESS, &["--ca", &ca]),
        DENIED,
        "knows no such device",
    );
    ground.says("wrong token", &with(PRESS, &wrong), DENIED, "knows no such device");
    ground.says("right token", &with(PRESS, &device), 0, "");
    let there = with(VAULT, &device);
    ground.says("another repository", &there, DENIED, "does not let this device read vault:1");
    let absent = with("vaulx:1", &device);
    assert_eq!(absent.stderr.replace("vaulx", "vault"), there.stderr, "it says what there is");
    ground.says("by name and digest", &with("host:5000/vault:1", &device), DENIED, "vault");
    ground.says("the operator", &with(VAULT, &operator), 0, "");

    let clear =
        format!("http://{}", ground.accelerator.address.replace("127.0.0.1", "127.1.1.1.example"));
    let outcome = ground.measure(&clear, PRESS, &["--token-file", &device]);
    ground.says("a token in the clear", &outcome, USAGE, "over https:// only");
    let outcome = ground.measure(&url, PRESS, &["--ca", &ca, "--token-file", "/dev/null"]);
    ground.says("an empty token", &outcome, USAGE, "one token");

    // What it holds of another repository is of no use here, and not told; and everything works.
    let skiff = ground.skiff("device");
    let pull = |image: &str, token: &str| {
        let options = ["--ca", &ca, "--token-file", token, "--accelerator", &url];
        skiff.run(&[&["pull", image, "--json"], &options[..]].concat())
    };
    pull(VAULT, &operator).ok("vault");
    let pulled = pull(PRESS, &device).ok("press");
    assert!(pulled.stdout.contains("held_unknown"), "{}", pulled.stdout);
    assert!(pulled.peak_rss <= MEMORY, "{} bytes of memory", pulled.peak_rss);
    let plain = Accelerator::start_with(&ground.sandbox.directory("plain"), &ground.registry, &[]);
    let eager = ground.skiff("eager");
    eager.pull(&[PRESS], &plain.url()).ok("without TLS");
    assert_eq!(report(&eager.tree(PRESS).unwrap(), &skiff.tree(PRESS).unwrap(), &NEVER), None);

    // A policy counts from the next request on.
    write_policy(&ground.files.join("policy"), &policy[..1]);
    ground.says("no longer", &with(PRESS, &device), DENIED, "knows no such device");
}

#[test]
fn a_device_shows_a_certificate() {
    let sandbox = Sandbox::new();
    let clients = Ca::new(&sandbox.directory("clients"), "clients", Key::P256);
    let strangers = Ca::new(&sandbox.directory("strangers"), "strangers", Key::P256);
    let directory = sandbox.directory("certificates");
    let sign = |ca: &Ca, name: &str, key: Key| {
        let issuer = ca.file.file_stem().unwrap().display();
        let file = directory.join(format!("{name}-{key:?}-{issuer}.pem"));
        ca.sign(&file, &[name], GOOD, key)
    };
    let stranger = sign(&strangers, "press-1.example", Key::P256);
    let other = sign(&clients, "press-2.example", Key::P256);
    for policy in [&[][..], &[("certificate press-1.example", "press"), ("token device", "vault")]]
    {
        let ground = Ground::new(&["--tls-client-ca", text(&clients.file)], policy);
        let (url, has_policy) = (ground.accelerator.https(), !policy.is_empty());
        let with = |image: &str, shown: &Certificate, more: &[&str]| {
            let options = ["--cert", text(&shown.file), "--key", text(&shown.key)];
            let ca = ["--ca", text(&ground.ca.file)];
            ground.measure(&url, image, &[&ca[..], &options, more].concat())
        };
        let none = ground.measure(&url, PRESS, &["--ca", text(&ground.ca.file)]);
        let words = if has_policy { "knows no such device" } else { "wants a client certificate" };
        ground.says("none", &none, DENIED, words);
        ground.says(
            "a stranger's",
            &with(PRESS, &stranger, &[]),
            DENIED,
            "take this device's certificate",
        );
        for key in [Key::P384, Key::Ed25519, Key::Rsa] {
            let other = with(PRESS, &sign(&clients, "press-1.example", key), &[]);
            ground.says(&format!("{key:?}"), &other, USAGE, "its key is none that is understood");
        }
        let ours = sign(&clients, "press-1.example", Key::P256);
        ground.says("P-256", &with(PRESS, &ours, &[]), 0, "");
        let code = if has_policy { DENIED } else { 0 };
        ground.says("another repository", &with(VAULT, &ours, &[]), code, "does not let");
        ground.says("another device", &with(PRESS, &other, &[]), code, "knows no such device");
        let token = ground.token("device");
        ground.says("and a token", &with(VAULT, &ours, &["--token-file", &token]), 0, "");
        let mismatched = Certificate { key: other.key.clone(), ..ours };
        ground.says("another key", &with(PRESS, &mismatched, &[]), USAGE, "is that of another");
    }
}

#[test]
fn a_certificate_is_replaced_while_a_stream_flows() {
    let ground = Ground::new(&[], &[]);
    let new = Ca::new(&ground.files, "new", Key::P256);
    let relay = Relay::start(&ground.accelerator.address, Fault::HoldFirst(1 << 20));
    let (old_ca, new_ca) = (text(&ground.ca.file), text(&new.file));
    let skiff = ground.skiff("device");
    let url = relay.https();
    let running = skiff.start(&["pull", PRESS, "--json", "--ca", old_ca, "--accelerator", &url]);
    assert!(wait_for(Duration::from_secs(20), || relay.counts().down >= 1 << 20), "no stream");

    let measure = |ca: &str| ground.measure(&ground.accelerator.https(), PRESS, &["--ca", ca]);
    new.sign(&ground.certificate, HERE, GOOD, Key::P256);
    ground.says("the new one", &measure(new_ca), 0, "");
    ground.says("the old one", &measure(old_ca), UNTRUSTED, "no CA that is trusted here");
    // Half of a renewal, and a file that is cut off: what was there before stays.
    let key = ground.certificate.with_extension("key");
    let (whole, whole_key) =
        (fs::read_to_string(&ground.certificate).unwrap(), fs::read_to_string(&key).unwrap());
    ground.ca.sign(&ground.files.join("next.pem"), HERE, GOOD, Key::P256);
    for (file, text) in [
        (&key, fs::read_to_string(ground.files.join("next.key")).unwrap()),
        (&key, whole_key),
        (&ground.certificate, whole[..whole.len() / 2].to_owned()),
        (&ground.certificate, String::new()),
        (&ground.certificate, whole),
    ] {
        replace(file, &text);
        ground.says("still the new one", &measure(new_ca), 0, "");
    }
    let log = ground.accelerator.log();
    assert_eq!(log.matches("what was there before stays in force").count(), 3, "{log}");

    relay.release();
    running.finish().ok("the stream that flowed");
    assert_eq!(relay.counts().connections, 1);
}

#[test]
fn cold_files_come_over_tls() {
    let _alone = alone();
    let ground = Ground::new(&[], &[("token device", "press"), ("token operator", "**")]);
    let (ca, token) = (text(&ground.ca.file).to_owned(), ground.token("device"));
    let options = ["--ca", &ca, "--token-file", &token];
    let skiff = ground.skiff("device");
    let relay = Relay::start(&ground.accelerator.address, Fault::HoldFirst(256 << 10));
    let url = relay.https();
    let pull = ["pull", PRESS, "--json", "--lazy=require", "--accelerator", &url];

    let daemon = SkiffDaemon::start_with(&skiff, &options);
    let others = ["--ca", "/other.pem"];
    let outcome = skiff.run(&[&pull[..], &others].concat());
    ground.says(
        "options that the daemon has not",
        &outcome,
        USAGE,
        "a daemon runs, which has other",
    );
    skiff.run(&[&pull[..], &options].concat()).ok("pull");
    assert!(daemon.cold_files() > 0);
    let layer = skiff.state.parent().unwrap().join("snapshots/1/fs");
    assert_eq!(fs::read(layer.join("f/3")).unwrap(), noise(3, 60_000), "an urgent one");
    // What another daemon takes up comes over its connections.
    daemon.kill();
    let daemon = SkiffDaemon::start_with(&skiff, &options);
    assert_eq!(fs::read(layer.join("f/5")).unwrap(), noise(5, 60_000), "of the next daemon");
    relay.release();
    daemon.wait_until_warm();
    // A further connection of a process goes on from its session, with less to send.
    let metrics = |result: &str| {
        let (metrics, bearer) =
            (format!("{}/metrics", ground.accelerator.https()), "Authorization: Bearer operator");
        let all = run("curl", &["-sS", "--cacert", &ca, "-H", bearer, &metrics]);
        let name = format!("skiff_tls_handshakes_total{{result=\"{result}\"}} ");
        let line = all.lines().find_map(|line| line.strip_prefix(&name)).unwrap();
        line.parse::<u32>().unwrap()
    };
    assert_eq!(metrics("failed"), 0);
    assert!(metrics("resumed") > 0, "{} of them were full", metrics("full"));
    let eager = ground.skiff("eager");
    let pull = ["pull", PRESS, "--lazy=never", "--accelerator", &ground.accelerator.https()];
    eager.run(&[&pull[..], &options].concat()).ok("eager");
    assert_eq!(report(&eager.tree(PRESS).unwrap(), &skiff.tree(PRESS).unwrap(), &NEVER), None);
}
