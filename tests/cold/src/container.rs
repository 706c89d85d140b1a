//! What the first process of a container does, under runc: the ways that lead through a container's own mount namespace.

use super::{Case, Ground, Needs, case, output};
use std::fs;

pub const CASES: &[Case] = &[
    runc("runc: read", read),
    runc("runc: execute, and a script whose interpreter is cold", execute),
    runc("runc: chown -R, as entrypoints do", chown),
    runc("runc: cp -a, as entrypoints do", copy),
    runc("runc: chmod, touch, truncate, append", change),
    runc("runc: mv and ln", names),
    runc("runc: 32 at once", many),
];

const fn runc(name: &'static str, run: fn(&Ground)) -> Case {
    case(name, run).needs(Needs::Runc)
}

/// Runs a script, with `$b` for busybox, in a container of the merged tree; gives what it printed.
#[track_caller]
fn inside(it: &Ground, script: &str) -> Vec<u8> {
    let bundle = it.directory("bundle");
    let script = format!("set -e; b=/bin/busybox; {script}").replace('"', "\\\"");
    let (root, capabilities) = (it.merged.display(), CAPABILITIES);
    let config = format!(
        r#"{{"ociVersion": "1.0.2", "root": {{"path": "{root}", "readonly": false}},
            "process": {{"user": {{"uid": 0, "gid": 0}}, "cwd": "/", "env": ["PATH=/bin"],
              "args": ["/bin/busybox", "sh", "-c", "{script}"],
              "capabilities": {{"bounding": {capabilities}, "effective": {capabilities}, "permitted": {capabilities}}}}},
            "mounts": [{{"destination": "/proc", "type": "proc", "source": "proc"}},
              {{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}}],
            "linux": {{"resources": {{}}, "namespaces": [{{"type": "pid"}}, {{"type": "mount"}}, {{"type": "ipc"}},
              {{"type": "uts"}}]}}}}"#
    );
    fs::write(bundle.join("config.json"), config).unwrap();
    let name = format!("cold-{}", std::process::id());
    let bundle = bundle.to_str().unwrap();
    let out = output("runc".as_ref(), &["run", "-b", bundle, &name], &[("PATH", PATH)]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{script}: {}: {said}", out.status);
    out.stdout
}

/// Debian has runc in one that not every user has.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
const CAPABILITIES: &str = r#"["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID"]"#;

fn read(it: &Ground) {
    it.same(&inside(it, "exec $b cat /f"), "f");
    it.has("f");
}

fn execute(it: &Ground) {
    assert_eq!(inside(it, "/bin/hello; exec /bin/script"), b"hello\nhello\n");
}

/// The bytes of some files together.
fn all(it: &Ground, names: &[&str]) -> Vec<u8> {
    names.iter().flat_map(|name| it.bytes(name)).collect()
}

fn chown(it: &Ground) {
    let found = inside(
        it,
        "$b chown -R 33:33 /d /op /f /hl1; exec $b cat /f /d/a /d/sub/b /d/sub/c /hl2 /op/old",
    );
    assert!(found == all(it, &["f", "d/a", "d/sub/b", "d/sub/c", "hl2", "op/old"]));
}

fn copy(it: &Ground) {
    let script = "$b mkdir /copy; $b cp -a /d /f /hl1 /small /copy; cd /copy; exec $b cat f d/a d/sub/b d/sub/c hl1 small";
    let found = inside(it, script);
    assert!(found == all(it, &["f", "d/a", "d/sub/b", "d/sub/c", "hl1", "small"]));
}

fn change(it: &Ground) {
    let script = "$b chmod 600 /f; $b touch -d @1 /d/a; $b truncate -s 1000 /d/sub/c; echo tail >>/small; \
                  exec $b cat /f /d/a /d/sub/c /small";
    let mut expected = all(it, &["f", "d/a"]);
    expected.extend(&it.bytes("d/sub/c")[..1000]);
    expected.extend([it.bytes("small"), b"tail\n".to_vec()].concat());
    assert!(inside(it, script) == expected);
}

fn names(it: &Ground) {
    let script = "$b mv /f /g; $b ln /d/a /b; $b mv /d /e; exec $b cat /g /b /e/sub/c";
    assert!(inside(it, script) == all(it, &["f", "d/a", "d/sub/c"]));
}

fn many(it: &Ground) {
    fs::write(it.path("expected"), it.bytes("f")).unwrap();
    let script = "i=0; while [ $i -lt 32 ]; do i=$((i + 1)); { $b cmp /f /expected && echo same; } & done; wait";
    assert_eq!(String::from_utf8_lossy(&inside(it, script)), "same\n".repeat(32));
}
