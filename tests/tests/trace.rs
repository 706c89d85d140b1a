//! `skiff trace` on real containers: what it sees of them, and what it must not see.
#![allow(clippy::unwrap_used, reason = "tests")]

use skiff_protocol::trace::{TraceEntries, TraceRecord};
use skiff_tests::harness::{
    Accelerator, Containerd, NetNs, Outcome, Running, Sandbox, Skiff, images, run, wait_for,
};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

const NGINX: &str = "nginx:new";

/// A device with real images.
struct Device {
    // What is first here is dropped first.
    containerd: Containerd,
    skiff: Skiff,
    accelerator: Accelerator,
    _netns: NetNs,
    sandbox: Sandbox,
}

impl Device {
    fn with(images_of_it: &[&str]) -> Self {
        let sandbox = Sandbox::new();
        let netns = NetNs::new();
        let accelerator = Accelerator::start(&sandbox, &format!("oci:{}", images().display()));
        let containerd = Containerd::start_in(&sandbox, &netns);
        let skiff = Skiff::containerd(&sandbox, &containerd.socket());
        for image in images_of_it {
            skiff.pull(&[image], &accelerator.url()).ok("pull");
        }
        Self { containerd, skiff, accelerator, _netns: netns, sandbox }
    }

    /// Starts a trace; of what starts from now on nothing is missed.
    fn trace(&self, arguments: &[&str]) -> Running {
        let running = self.skiff.start(&[&["trace"], arguments].concat());
        assert!(running.wait_for_output(), "the trace doesn't say that it watches");
        running
    }
}

/// The lines that a trace printed, each once.
fn lines(outcome: &Outcome) -> Vec<&str> {
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    let mut once = lines.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), lines.len(), "a file twice: {lines:#?}");
    lines
}

/// Where a line that holds this text is.
#[track_caller]
fn place(lines: &[&str], text: &str) -> usize {
    lines
        .iter()
        .position(|line| line.contains(text))
        .unwrap_or_else(|| panic!("no {text}: {lines:#?}"))
}

#[test]
fn a_web_server_from_its_start_until_it_listens() {
    let device = Device::with(&[NGINX]);
    let trace = device.trace(&["--image", NGINX, "--until-port", "80", "--print"]);
    let _server = device.containerd.container(NGINX, "server");
    // Another container of the same image, and one that is no more when the trace ends.
    drop(device.containerd.container_of(NGINX, "other", &["/usr/bin/factor", "6"]));
    let traced = trace.finish().ok("trace");
    let lines = lines(&traced);
    let order = ["/docker-entrypoint.sh", "bin/dash", "/libc.so.6", "/10-check-config.sh"];
    let order = [&order[..], &["/usr/sbin/nginx", "/etc/nginx/nginx.conf"]].concat();
    let places: Vec<usize> = order.iter().map(|text| place(&lines, text)).collect();
    assert!(places.is_sorted(), "{order:?} are at {places:?}: {lines:#?}");
    place(&lines, "/ld-linux");
    place(&lines, "/libssl.so.3");
    for absent in ["/usr/bin/factor", "/proc/", "/dev/", "/nginx.pid", "/var/log"] {
        let found = lines.iter().find(|line| line.contains(absent));
        assert_eq!(found, None);
    }
    assert!(lines.iter().all(|line| line.starts_with('/')), "{lines:#?}");
    assert!(traced.stderr.contains(&format!("{} files of {NGINX}", lines.len())));
    assert!(!traced.stderr.contains("lost"), "{}", traced.stderr);
}

#[test]
fn only_files_of_the_image_and_each_at_its_first_use() {
    let device = Device::with(&[NGINX]);
    let script = "cat /etc/debian_version; echo x >/etc/own; cat /etc/own; rm /etc/issue; \
                  echo x >/etc/issue; cat /etc/issue; ls /usr/share/doc; echo x >>/etc/issue.net; \
                  cat /etc/debian_version /etc/nginx/mime.types; cat /etc/none; readlink -e /etc/hostname";
    let trace = device.trace(&["--image", NGINX, "--for", "6", "--print", "--json"]);
    let _container = device.containerd.container_of(NGINX, "script", &["sh", "-c", script]);
    let traced = trace.finish().ok("trace");
    let events = traced.stdout.lines().map(|line| serde_json::from_str(line).unwrap());
    let mut events: Vec<serde_json::Value> = events.collect();
    let summary = events.pop().unwrap();
    assert_eq!(summary["files"], events.len());
    assert_eq!((&summary["gaps"], &summary["images"][0]), (&false.into(), &NGINX.into()));
    let times: Vec<u64> = events.iter().map(|event| event["millis"].as_u64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let paths: Vec<&str> = events.iter().map(|event| event["path"].as_str().unwrap()).collect();
    let etc: Vec<&str> = paths.iter().copied().filter(|path| path.starts_with("/etc/")).collect();
    let etc: Vec<&str> = etc.into_iter().filter(|path| !path.starts_with("/etc/ld.so")).collect();
    // runc looks up users and groups. A file that is written to is used, too: what was in it stays.
    let runc = ["/etc/passwd", "/etc/group"];
    let script = ["/etc/debian_version", "/etc/issue.net", "/etc/nginx/mime.types"];
    let own = [&runc[..], &script].concat();
    assert_eq!(etc, own, "{paths:#?}");
}

#[test]
fn an_application_is_traced_together() {
    let device = Device::with(&[]);
    let data = device.accelerator.data().display().to_string();
    run(Accelerator::program(), &["app", "--data", &data, "set", "shop", NGINX, "mariadb:new"]);
    device.skiff.run(&["deploy", "shop", "--accelerator", &device.accelerator.url()]).ok("deploy");
    let trace = device.trace(&["--application", "shop", "--print", "--for", "60"]);
    for (image, id) in [(NGINX, "web"), ("mariadb:new", "db")] {
        let container = device.containerd.container_of(image, id, &["cat", "/etc/debian_version"]);
        assert!(container.wait_for_end(), "{id} goes on");
    }
    // Both have ended, so the trace does, too.
    let traced = trace.finish().ok("trace");
    let lines = lines(&traced);
    let places =
        [NGINX, "mariadb:new"].map(|image| place(&lines, &format!("{image} /etc/debian_version")));
    assert!(places.is_sorted(), "{lines:#?}");
}

#[test]
fn a_report_is_what_was_printed() {
    let device = Device::with(&[NGINX]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let arguments = ["--image", NGINX, "--for", "5", "--class", "pi-4", "--application", "shop"];
    let trace = device.trace(&[&arguments[..], &["--accelerator", &url]].concat());
    let command = ["cat", "/etc/debian_version", "/etc/nginx/mime.types"];
    let _container = device.containerd.container_of(NGINX, "cat", &command);
    let (head, body) = taken(&listener);
    trace.finish().ok("trace");
    assert!(head.starts_with("POST /v1/trace HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains(skiff_protocol::TRACE_MEDIA_TYPE), "{head}");

    let mut rest = &body[..];
    let TraceRecord::Head(head) = TraceRecord::take(&mut rest).unwrap() else { panic!("no head") };
    assert_eq!((head.application, head.class, head.images.len()), ("shop", "pi-4", 1));
    let image = head.images[0];
    let digest = device.containerd.digest(NGINX);
    assert_eq!((image.reference, &*image.manifest.to_string()), (NGINX, &*digest));
    let (mut entries, mut paths) = (TraceEntries::new(), Vec::new());
    while let TraceRecord::Entry(entry) = TraceRecord::take(&mut rest).unwrap() {
        assert_eq!(entry.image, 0);
        paths.push(String::from_utf8(entries.path(&entry).unwrap().to_vec()).unwrap());
    }
    assert!(rest.is_empty());
    let at = |name: &str| paths.iter().position(|path| path == name).unwrap();
    assert!(at("usr/bin/cat") < at("etc/debian_version"), "{paths:#?}");
    assert_eq!(at("etc/debian_version") + 1, at("etc/nginx/mime.types"), "{paths:#?}");
}

#[test]
fn what_a_device_reports_is_hot_for_the_next() {
    let device = Device::with(&[NGINX]);
    let url = device.accelerator.url();
    let trace = device.trace(&["--image", NGINX, "--for", "5", "--accelerator", &url]);
    let command = ["cat", "/etc/debian_version", "/etc/nginx/mime.types"];
    let _container = device.containerd.container_of(NGINX, "cat", &command);
    trace.finish().ok("trace");
    let shown = device.accelerator.hot(&["show", NGINX]);
    let lines: Vec<&str> = shown.lines().collect();
    let at = ["/usr/bin/cat", "/etc/debian_version", "/etc/nginx/mime.types"]
        .map(|path| place(&lines, &format!("\t{path}")));
    assert!(at.is_sorted(), "{shown}");
}

/// Takes one request, and answers that it was taken.
fn taken(listener: &TcpListener) -> (String, Vec<u8>) {
    let (mut stream, _) = listener.accept().unwrap();
    let (mut got, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let length = stream.read(&mut chunk).unwrap();
        assert!(length > 0, "the request is cut off");
        got.extend_from_slice(&chunk[..length]);
        let Some(end) = got.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(got[..end].to_vec()).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let body = &got[end + 4..];
        if body.len() == length.unwrap().parse::<usize>().unwrap() {
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            return (String::from_utf8(got[..end].to_vec()).unwrap(), body.to_vec());
        }
    }
}

#[test]
fn mistakes_have_their_codes() {
    let device = Device::with(&[NGINX]);
    let root = device.sandbox.directory("root").display().to_string();
    let url = "http://127.0.0.1:1";
    for (arguments, code, said) in [
        (&["none", "--print"][..], 3, "no container none"),
        (&["--image", NGINX], 2, "no accelerator"),
        (&["--image", NGINX, "--accelerator", "ftp://x"], 2, "http://"),
        (&["--image", NGINX, "--print", "--root", &root], 2, "--root"),
        (&["--application", "shop", "--print"], 3, "no application shop"),
    ] {
        let outcome = device.skiff.run(&[&["trace"], arguments].concat());
        assert_eq!(outcome.code, code, "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(said), "{arguments:?}: {}", outcome.stderr);
    }
    // A container that does nothing any more.
    let waits = ["sh", "-c", "mkfifo /fifo; read never </fifo"];
    let _container = device.containerd.container_of(NGINX, "idle", &waits);
    let task = "state/io.containerd.runtime.v2.task/default/idle/rootfs/fifo";
    let fifo = device.containerd.directory().join(task);
    assert!(wait_for(Duration::from_secs(20), || fifo.exists()));
    let outcome = device.skiff.run(&["trace", "idle", "--for", "1", "--print"]);
    assert_eq!(outcome.code, 3, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("nothing of the image was opened"), "{}", outcome.stderr);
    // Nobody takes the report.
    let trace = device.trace(&["--image", NGINX, "--for", "2", "--accelerator", url]);
    let _other = device.containerd.container_of(NGINX, "cat", &["cat", "/etc/debian_version"]);
    assert_eq!(trace.finish().code, 4);
}
