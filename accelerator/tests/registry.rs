//! The registry client against a real `docker-registry` with Basic auth, against image layouts, and
//! against a server that misbehaves.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "common/layout.rs"]
mod layout;

use layout::{MANIFEST, layout, sha256};
use skiff_accelerator::reference::Reference;
use skiff_accelerator::registry::http::Http;
use skiff_accelerator::registry::{Registry, RegistryError};
use skiff_protocol::Digest;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;

/// Bytes of a layer that is long enough for ranges.
fn layer() -> Vec<u8> {
    (0..300_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

async fn blob(
    registry: &Registry,
    digest: Digest,
    range: Option<std::ops::Range<u64>>,
) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut reader = registry.blob("a/b", digest, range).await.unwrap();
    reader.read_to_end(&mut bytes).await.map(|_| bytes)
}

/// What holds for an image in any registry.
async fn check(registry: &Registry, [manifest, config, layer]: &[(Digest, Vec<u8>); 3]) {
    for name in ["a/b:1".to_owned(), format!("host:1/a/b@{}", manifest.0)] {
        let found = registry.resolve(&reference(&name)).await.unwrap();
        assert_eq!((found.media_type.as_str(), found.digest), (MANIFEST, manifest.0), "{name}");
        assert_eq!(found.size, manifest.1.len() as u64);
    }
    assert_eq!(registry.manifest("a/b", manifest.0).await.unwrap(), manifest.1);
    assert_eq!(registry.config("a/b", config.0).await.unwrap(), config.1);
    assert_eq!(blob(registry, layer.0, None).await.unwrap(), layer.1);
    for (from, to) in [(0, 1), (7, 70_000), (1_199_990, 1_200_000), (5, 5)] {
        let range = Some(from as u64..to as u64);
        assert!(blob(registry, layer.0, range).await.unwrap() == layer.1[from..to], "{from}..{to}");
    }
    let unknown = Digest([1; 32]);
    for name in ["a/b:2".to_owned(), "c:1".to_owned(), format!("a/b@{unknown}")] {
        let error = registry.resolve(&reference(&name)).await.unwrap_err();
        assert!(matches!(error, RegistryError::NotFound { .. }), "{name}: {error}");
    }
    let error = registry.manifest("a/b", unknown).await.unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { .. }), "{error}");
    assert!(matches!(
        registry.blob("a/b", unknown, None).await,
        Err(RegistryError::NotFound { .. })
    ));
}

#[tokio::test]
async fn layouts_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let image = layout(&dir.path().join("images/a/b"), layer(), "{}");
    layout(&dir.path().join("outside"), layer(), "{}");
    let registry = Registry::open(&format!("oci:{}/images", dir.path().display())).unwrap();
    check(&registry, &image).await;
    // A repository's name can't leave the directory, whoever made it.
    for repository in ["../outside", "a/../../outside", "/etc", "", ".", "a/b/"] {
        let error = registry.manifest(repository, image[0].0).await.unwrap_err();
        assert!(matches!(error, RegistryError::NotFound { .. }), "{repository}: {error}");
        let named = Reference::digest(repository, image[0].0);
        assert!(registry.resolve(&named).await.is_err(), "{repository}");
    }
    // Damage.
    let path = dir.path().join("images/a/b/blobs/sha256").join(image[0].0.hex().to_string());
    fs::write(path, &image[1].1).unwrap();
    let error = registry.manifest("a/b", image[0].0).await.unwrap_err().to_string();
    assert!(error.contains("is damaged") && error.contains("its bytes have"), "{error}");
    fs::write(dir.path().join("images/a/b/index.json"), "{").unwrap();
    let error = registry.resolve(&reference("a/b:1")).await.unwrap_err().to_string();
    assert!(error.contains("index.json can't be read"), "{error}");
}

#[test]
fn addresses() {
    for text in ["", "x", "ftp://x", "http://", "http://x/y", "https://u:p@x", "oci:/no/such"] {
        let error = Registry::open(text).unwrap_err();
        assert!(matches!(error, RegistryError::Address { .. }), "{text}: {error}");
    }
}

/// A registry that the test started, and its port.
struct Server(Child, u16);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a registry that wants `user` and `secret`.
fn registry(dir: &Path) -> Server {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // bcrypt of `secret`.
    fs::write(
        dir.join("htpasswd"),
        "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n",
    )
    .unwrap();
    let config = format!(
        "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {0}/data}}}}\n\
         http: {{addr: \"127.0.0.1:{port}\"}}\n\
         auth: {{htpasswd: {{realm: test, path: {0}/htpasswd}}}}\n",
        dir.display()
    );
    fs::write(dir.join("config.yml"), config).unwrap();
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(dir.join("config.yml")).stdout(Stdio::null()).stderr(Stdio::null());
    let server = Server(command.spawn().expect("docker-registry is installed"), port);
    let until = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "the registry does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    server
}

#[tokio::test]
async fn a_real_registry_with_basic_auth() {
    let dir = tempfile::tempdir().unwrap();
    let image = layout(&dir.path().join("a/b"), layer(), "{}");
    let server = registry(dir.path());
    let port = server.1;
    let pushed = Command::new("skopeo")
        .args(["copy", "-q", "--preserve-digests", "--dest-tls-verify=false"])
        .args(["--dest-creds", "user:secret"])
        .arg(format!("oci:{}/a/b:1", dir.path().display()))
        .arg(format!("docker://127.0.0.1:{port}/a/b:1"))
        .status();
    assert!(pushed.expect("skopeo is installed").success());

    let open = |config: &str| {
        let path = dir.path().join("config.json");
        fs::write(&path, config.replace("PORT", &port.to_string())).unwrap();
        let http = Http::with_config(&format!("http://127.0.0.1:{port}"), Some(path)).unwrap();
        Registry::Http(http)
    };
    // "user:secret" in base64.
    let good = r#"{"auths":{"127.0.0.1:PORT":{"auth":"dXNlcjpzZWNyZXQ="}}}"#;
    check(&open(good), &image).await;
    // "user:wrong", none for this registry, none at all, nonsense.
    let wrong = r#"{"auths":{"127.0.0.1:PORT":{"auth":"dXNlcjp3cm9uZw=="}}}"#;
    for config in [wrong, r#"{"auths":{}}"#, "{}", "nonsense"] {
        let error = open(config).resolve(&reference("a/b:1")).await.unwrap_err();
        assert!(matches!(error, RegistryError::Denied { .. }), "{config}: {error}");
        assert!(error.to_string().contains("docker login"), "{error}");
    }
    // A login while it runs is enough.
    let registry = open("{}");
    assert!(registry.resolve(&reference("a/b:1")).await.is_err());
    open(good);
    assert!(registry.resolve(&reference("a/b:1")).await.is_ok());
    drop(server);
    let error = registry.resolve(&reference("a/b:1")).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unavailable { .. }), "{error}");
}

type Answers = dyn Fn(&str, &str) -> String + Send + Sync;

/// A server that answers a path and an `Authorization` header with these bytes and then closes; it
/// remembers both.
fn serve(answers: Arc<Answers>) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head: Vec<String> =
                lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let Some(first) = head.first() else { continue };
            let path = first.split(' ').nth(1).unwrap().to_owned();
            let credentials = head.iter().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("authorization").then(|| value.to_owned())
            });
            let credentials = credentials.unwrap_or_default();
            log.lock().unwrap().push(format!("{path} {credentials}"));
            let _ = stream.write_all(answers(&path, &credentials).as_bytes());
        }
    });
    (port, seen)
}

fn ok(headers: &str, body: &str) -> String {
    let len = body.len();
    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len}\r\n{headers}\r\n{body}")
}

#[tokio::test]
async fn tokens_are_fetched_once_and_stay_on_their_host() {
    let body = "the blob";
    let digest = sha256(body.as_bytes());
    let (elsewhere, seen_elsewhere) = serve(Arc::new(move |_, _| ok("", body)));
    let (port, seen) = serve(Arc::new(move |path: &str, credentials: &str| {
        if path.starts_with("/token") {
            ok("", r#"{"token":"T","expires_in":300}"#)
        } else if credentials != "Bearer T" {
            let realm = path.split("/v2/").next().unwrap();
            format!(
                "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\
                 WWW-Authenticate: Bearer realm=\"http://127.0.0.1:PORT/token{realm}\",\
                 service=\"s\",scope=\"x,y\"\r\n\r\n"
            )
        } else {
            format!(
                "HTTP/1.1 307 Temporary Redirect\r\nConnection: close\r\nContent-Length: 0\r\n\
                 Location: http://127.0.0.1:{elsewhere}/signed\r\n\r\n"
            )
        }
    }));
    // The token server's address has the port, which is known only now: a relay puts it in.
    let relay_to = port;
    let (front, seen_front) = serve(Arc::new(move |path: &str, credentials: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", relay_to)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nAuthorization: {credentials}\r\n\r\n").unwrap();
        std::io::read_to_string(stream).unwrap().replace("PORT", &relay_to.to_string())
    }));
    let http = Http::with_config(&format!("http://127.0.0.1:{front}"), None).unwrap();
    let registry = Registry::Http(http);
    for _ in 0..2 {
        assert_eq!(blob(&registry, digest, None).await.unwrap(), body.as_bytes());
    }
    // This server knows no ranges.
    assert_eq!(blob(&registry, digest, Some(4..8)).await.unwrap(), b"blob");
    let tokens = |seen: &Mutex<Vec<String>>| {
        seen.lock().unwrap().iter().filter(|line| line.starts_with("/token")).count()
    };
    assert_eq!(tokens(&seen) + tokens(&seen_front), 1);
    let log = seen.lock().unwrap().join("\n");
    assert!(log.contains("service=s&scope=repository%3Aa%2Fb%3Apull"), "{log}");
    assert_eq!(*seen_elsewhere.lock().unwrap(), ["/signed ", "/signed ", "/signed "]);
}

#[tokio::test]
async fn a_registry_that_lies_or_breaks_off() {
    let (port, _) = serve(Arc::new(|path: &str, _: &str| {
        if path.ends_with(":short") || path.contains("/blobs/") {
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this".to_owned()
        } else if path.ends_with("/busy") {
            "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_owned()
        } else if path.ends_with("/garbage") {
            "not HTTP at all\r\n\r\n".to_owned()
        } else if path.ends_with("/loop") {
            "HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\n\
             Location: /v2/a/b/manifests/loop\r\n\r\n"
                .to_owned()
        } else {
            ok("Content-Type: text/plain\r\n", "another manifest")
        }
    }));
    let registry = Registry::open(&format!("http://127.0.0.1:{port}")).unwrap();
    let error = registry.manifest("a/b", Digest([1; 32])).await.unwrap_err();
    assert!(matches!(error, RegistryError::Damaged { .. }), "{error}");
    assert!(blob(&registry, Digest([1; 32]), None).await.is_err());
    for tag in ["busy", "garbage", "loop"] {
        let error = registry.resolve(&reference(&format!("a/b:{tag}"))).await.unwrap_err();
        assert!(matches!(error, RegistryError::Unavailable { .. }), "{tag}: {error}");
    }
}
