//! Ways to execute and to map code.

use super::{Case, output, run};
use skiff_tests::startable::Startable;

pub const CASES: &[Case] = &[
    ("execve", execve),
    ("a script whose interpreter is cold, too", interpreter),
    ("fexecve of an O_PATH descriptor", fexecve),
    ("a library that ld.so maps", library),
    ("runc", runc),
];

fn execve(it: &Startable) {
    assert_eq!(run(it.path("bin/hello"), &[]), b"hello\n");
}

fn interpreter(it: &Startable) {
    let found = run("/usr/sbin/chroot", &[it.merged.to_str().unwrap(), "/bin/script"]);
    assert_eq!(found, b"hello\n");
}

fn fexecve(it: &Startable) {
    let program = "import os, sys\nfd = os.open(sys.argv[1], os.O_PATH)\nos.execve(fd, ['x'], {})";
    let path = it.path("bin/hello");
    let found = run("/usr/bin/python3", &["-c", program, path.to_str().unwrap()]);
    assert_eq!(found, b"hello\n");
}

fn library(it: &Startable) {
    let lib = it.path("lib");
    let environment = [("LD_LIBRARY_PATH", lib.to_str().unwrap())];
    let found = output(&it.path("bin/uses_magic"), &[], &environment);
    assert_eq!(String::from_utf8_lossy(&found.stdout), "magic 42\n", "{found:?}");
}

fn runc(it: &Startable) {
    let bundle = it.sandbox.directory("bundle");
    run("/usr/sbin/runc", &["spec", "-b", bundle.to_str().unwrap()]);
    let config = bundle.join("config.json");
    let mut spec: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    spec["process"]["args"] = serde_json::json!(["/bin/busybox", "sha256sum", "/f"]);
    spec["process"]["terminal"] = false.into();
    spec["root"] = serde_json::json!({ "path": it.merged, "readonly": false });
    let linux = spec["linux"].as_object_mut().unwrap();
    linux.remove("cgroupsPath");
    linux.insert("resources".to_owned(), serde_json::json!({}));
    linux["namespaces"].as_array_mut().unwrap().retain(|it| it["type"] != "cgroup");
    let mounts = spec["mounts"].as_array_mut().unwrap();
    mounts.retain(|it| it["destination"] == "/proc" || it["destination"] == "/dev");
    std::fs::write(&config, spec.to_string()).unwrap();
    let name = format!("cold-{}", std::process::id());
    let found = run("/usr/sbin/runc", &["run", "-b", bundle.to_str().unwrap(), &name]);
    let expected = run("/usr/bin/sha256sum", &[it.path("f").to_str().unwrap()]);
    assert_eq!(found[..64], expected[..64]);
    super::same(&it.read("f"), "f");
}
