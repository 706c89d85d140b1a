//! Predictions of small images, whose programs are this machine's own.

mod languages;

use super::*;
use crate::packs::cut::ReadError;
use crate::tree::{Content, FileKind, Metadata, Node};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Contents by digest.
struct Memory(HashMap<[u8; 32], Vec<u8>>);

impl ReadContent for Memory {
    async fn read(
        &self,
        _: usize,
        content: &Content,
        offset: u64,
        into: &mut [u8],
    ) -> Result<(), ReadError> {
        let bytes = self.0.get(&content.sha256).ok_or("a content that is not there")?;
        let from = usize::try_from(offset)?;
        into.copy_from_slice(&bytes[from..from + into.len()]);
        Ok(())
    }
}

struct Image(Tree, Memory);

impl Image {
    fn new() -> Self {
        Self(Tree::default(), Memory(HashMap::new()))
    }

    fn put(&mut self, path: &str, kind: FileKind) {
        if let Some((above, _)) = path.rsplit_once('/')
            && !self.0.nodes.contains_key(above.as_bytes())
        {
            self.put(above, FileKind::Directory);
        }
        let xattrs = BTreeMap::new();
        let meta = Metadata { mode: 0o755, uid: 0, gid: 0, mtime: 0, mtime_nanos: 0, xattrs };
        let inode = 1000 + self.0.nodes.len() as u64;
        self.0.nodes.insert(path.as_bytes().to_vec(), Node { meta, kind, inode });
    }

    fn file(&mut self, path: &str, bytes: &[u8]) -> &mut Self {
        use sha2::Digest as _;
        let sha256: [u8; 32] = sha2::Sha256::digest(bytes).into();
        let size = bytes.len() as u64;
        self.put(path, FileKind::File(Content { sha256, size, layer: 0, extents: Vec::new() }));
        self.1.0.insert(sha256, bytes.to_vec());
        self
    }

    /// A file that can't be executed.
    fn data(&mut self, path: &str, bytes: &[u8]) -> &mut Self {
        self.file(path, bytes);
        self.0.nodes.get_mut(path.as_bytes()).unwrap().meta.mode = 0o644;
        self
    }

    fn link(&mut self, path: &str, target: &str) -> &mut Self {
        self.put(path, FileKind::Symlink(target.as_bytes().to_vec()));
        self
    }

    async fn predicted(&self, config: &str) -> Vec<String> {
        let until = Instant::now() + Duration::from_secs(60);
        let config = format!("{{\"config\": {config}}}");
        let paths = predict(config.as_bytes(), &self.0, &self.1, until).await;
        paths.into_iter().map(|path| String::from_utf8(path).unwrap()).collect()
    }
}

/// An ELF file that asks for these: the smallest that has a dynamic section.
fn elf(interpreter: &str, needed: &[&str], runpath: Option<&str>) -> Vec<u8> {
    elf_with(interpreter, needed, runpath, &[])
}

/// The same, with these constants, each with a zero behind it.
fn elf_with(
    interpreter: &str,
    needed: &[&str],
    runpath: Option<&str>,
    constants: &[&str],
) -> Vec<u8> {
    let mut strings = vec![0_u8];
    let mut entries: Vec<(u64, u64)> = Vec::new();
    for (tag, text) in needed.iter().map(|text| (1, *text)).chain(runpath.map(|text| (29, text))) {
        entries.push((tag, strings.len() as u64));
        strings.extend_from_slice(text.as_bytes());
        strings.push(0);
    }
    let interpreter = [interpreter.as_bytes(), b"\0"].concat();
    let constants: Vec<u8> =
        constants.iter().flat_map(|text| [text.as_bytes(), b"\0"].concat()).collect();
    // Header, four segments, then interpreter, strings, dynamic section and constants.
    let at_interpreter = 64 + 4 * 56;
    let at_strings = at_interpreter + interpreter.len() as u64;
    let at_dynamic = (at_strings + strings.len() as u64).next_multiple_of(8);
    entries.extend([(5, at_strings), (10, strings.len() as u64), (0, 0)]);
    let len = at_dynamic + 16 * entries.len() as u64;
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [3_u16, 62] {
        bytes.extend(half.to_le_bytes());
    }
    bytes.extend(1_u32.to_le_bytes());
    for word in [0_u64, 64, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 4, 64, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    let dynamic_len = 16 * entries.len() as u64;
    for (kind, offset, size) in [
        (1_u32, 0, len),
        (3, at_interpreter, interpreter.len() as u64),
        (2, at_dynamic, dynamic_len),
        (1, len, constants.len() as u64),
    ] {
        bytes.extend(kind.to_le_bytes());
        bytes.extend(4_u32.to_le_bytes());
        for word in [offset, offset, offset, size, size, 8] {
            bytes.extend(word.to_le_bytes());
        }
    }
    bytes.extend(&interpreter);
    bytes.extend(&strings);
    bytes.resize(usize::try_from(at_dynamic).unwrap(), 0);
    for (tag, value) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend(constants);
    bytes
}

#[tokio::test]
async fn a_script_that_starts_a_program() {
    let mut image = Image::new();
    image
        .link("lib", "usr/lib")
        .file("etc/ld.so.conf.d/own.conf", b"/opt/own\n")
        .file("etc/passwd", b"root")
        .file("entry.sh", b"#!/bin/sh\nif [ -x /docker.d/ ]; then echo; fi\nexec \"$@\"\n")
        .file("docker.d/10.sh", b"#!/usr/bin/env other\n")
        .file("docker.d/20.txt", b"text")
        .link("bin/sh", "/usr/bin/dash")
        .file("usr/bin/dash", &elf("/lib/ld.so", &["libc.so"], None))
        .file("usr/bin/env", b"env")
        .file("usr/bin/other", b"other")
        .file(
            "usr/bin/serve",
            &elf(
                "/lib/ld.so",
                &["libown.so", "libdeep.so", "libnone.so"],
                Some("$ORIGIN/../../opt"),
            ),
        )
        .file("usr/bin/unused", b"unused")
        .file("usr/lib/ld.so", b"ld")
        .file("usr/lib/libc.so", &elf("", &[], None))
        .file("opt/own/libown.so", &elf("", &["libc.so"], None))
        .file("opt/libdeep.so", b"deep");
    let found = image.predicted(r#"{"Entrypoint": ["/entry.sh"], "Cmd": ["serve", "-x"]}"#).await;
    let expected = [
        "etc/passwd",
        "entry.sh",
        "usr/bin/dash",
        "docker.d/10.sh",
        "docker.d/20.txt",
        "usr/lib/ld.so",
        "usr/lib/libc.so",
        "usr/bin/env",
        "usr/bin/other",
        "usr/bin/serve",
        "opt/own/libown.so",
        "opt/libdeep.so",
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn an_interpreted_program() {
    let mut image = Image::new();
    image
        .file("usr/bin/node", b"node")
        .file("app/main.js", b"require('x')")
        .file("app/package.json", b"{}");
    let config = r#"{"Cmd": ["node", "main.js"], "WorkingDir": "/app"}"#;
    assert_eq!(image.predicted(config).await, ["usr/bin/node", "app/main.js", "app/package.json"]);
    assert!(image.predicted("{}").await.is_empty(), "nothing is started");
}

#[tokio::test]
async fn a_script_that_lets_another_user_run_a_script() {
    let mut image = Image::new();
    let install = "data=/usr/share/db\nbin=\"/usr/bin\"\ntables=\"$data/tables.sql\"\n\
        resolve=\"$bin/resolve\"\nother=\"$data/none.sql\"\necho \"cd / ; unused\"\n";
    image
        .file(
            "entry.sh",
            b"#!/bin/sh\nfor hook in /hooks.d/*.sh; do \"$hook\"; done\ngosu db install-db --x\n",
        )
        .file("hooks.d/1.sh", b"#!/bin/sh\n")
        .file("bin/sh", b"sh")
        .file("usr/bin/gosu", b"gosu")
        .file("usr/bin/db", b"db")
        .file("usr/bin/install-db", format!("#!/bin/sh\n{install}").as_bytes())
        .file("usr/bin/resolve", b"resolve")
        .file("usr/bin/unused", b"unused")
        .data("usr/share/db/tables.sql", b"create")
        .data("usr/share/db/more.sql", b"create");
    let found = image.predicted(r#"{"Entrypoint": ["/entry.sh"]}"#).await;
    let expected = [
        "entry.sh",
        "bin/sh",
        "hooks.d/1.sh",
        "usr/bin/gosu",
        "usr/bin/install-db",
        "usr/share/db/tables.sql",
        "usr/bin/resolve",
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_program_whose_configuration_loads_modules() {
    let mut image = Image::new();
    let named = ["/etc/web/web.conf", "/usr/share/web/", "/etc/", "/usr/bin/other", "not/a/path"];
    let main = "# include /etc/comment.conf;\ninclude /etc/web/on/*.conf; mime mime.types;\n\
        includedir /etc/more/\nroot /srv;\n";
    image
        .file("usr/bin/web", &elf_with("", &["libc.so"], None, &named))
        .file(
            "usr/lib/libc.so",
            &elf_with("", &["libdeep.so"], None, &["/etc/of-libc", "/etc/deeper/"]),
        )
        .file("usr/lib/libdeep.so", &elf_with("", &[], None, &["/etc/of-deep"]))
        .file("usr/bin/other", b"other")
        .data("etc/of-libc", b"1")
        .data("etc/of-deep", b"1")
        .data("etc/deeper/file", b"1")
        .data("etc/comment.conf", b"1")
        .data("etc/web/web.conf", main.as_bytes())
        .data("etc/web/mime.types", b"text/html html;")
        .data("etc/more/a.cnf", b"include /etc/more/b.cnf")
        .data("etc/more/b.cnf", b"include /etc/more/a.cnf")
        .link("etc/web/on/1.conf", "/usr/share/web/available/1.conf")
        .data("usr/share/web/available/1.conf", b"load_module modules/x.so;")
        .data("usr/share/web/available/2.conf", b"load_module modules/y.so;")
        .link("usr/share/web/modules", "../../lib/web")
        .data("usr/lib/web/x.so", &elf("", &["libx.so"], None))
        .data("usr/lib/web/y.so", b"y")
        .file("usr/lib/libx.so", b"x");
    let mut found = image.predicted(r#"{"Cmd": ["web"]}"#).await;
    assert_eq!(found[..3], ["usr/bin/web", "usr/lib/libc.so", "usr/lib/libdeep.so"]);
    found.sort();
    let expected = [
        "etc/more/a.cnf",
        "etc/more/b.cnf",
        "etc/of-libc",
        "etc/web/mime.types",
        "etc/web/web.conf",
        "usr/bin/web",
        "usr/lib/libc.so",
        "usr/lib/libdeep.so",
        "usr/lib/libx.so",
        "usr/lib/web/x.so",
        "usr/share/web/available/1.conf",
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn basics_go_with_any_program() {
    let mut image = Image::new();
    image
        .file("bin/run", &elf("", &["libc.so.6"], None))
        .file("usr/lib/libc.so.6", b"c")
        .data("etc/passwd", b"root")
        .data("usr/lib/gconv/gconv-modules.cache", b"1")
        .data("usr/lib/locale/C.utf8/LC_CTYPE", b"1")
        .data("usr/lib/locale/C.utf8/LC_MESSAGES/SYS_LC_MESSAGES", b"1")
        .data("usr/lib/locale/de_DE.utf8/LC_CTYPE", b"2")
        .data("usr/share/terminfo/x/xterm", b"1")
        .data("usr/share/zoneinfo/Europe/Berlin", b"1");
    let config = r#"{"Cmd": ["run"], "Env": ["LANG=C.UTF-8", "TERM=xterm", "TZ=Europe/Berlin"]}"#;
    let basics = [
        "etc/passwd",
        "usr/lib/locale/C.utf8/LC_CTYPE",
        "usr/lib/locale/C.utf8/LC_MESSAGES/SYS_LC_MESSAGES",
        "usr/share/zoneinfo/Europe/Berlin",
        "usr/share/terminfo/x/xterm",
    ];
    let run = ["bin/run", "usr/lib/libc.so.6"];
    let expected = [&basics[..], &run, &["usr/lib/gconv/gconv-modules.cache"]].concat();
    assert_eq!(image.predicted(config).await, expected);
    let found = image.predicted(r#"{"Cmd": ["run"]}"#).await;
    assert_eq!(found, [&basics[..1], &run].concat());
}

#[tokio::test]
async fn short_files_come_before_long_ones() {
    let mut image = Image::new();
    let long = |byte| [b"#!/bin/a\n".to_vec(), vec![byte; 256 << 10]].concat();
    image.file("run", &long(b'1')).file("bin/a", b"#!/bin/b\n").file("bin/b", &long(b'2'));
    image.data("etc/group", b"root");
    let found = image.predicted(r#"{"Cmd": ["/run"]}"#).await;
    assert_eq!(found, ["etc/group", "bin/a", "run", "bin/b"]);
}

/// Whatever an image has, a prediction ends, and is no longer than a set may be.
#[tokio::test]
async fn odd_images_are_bounded() {
    let mut image = Image::new();
    image.file("bin/sh", b"sh").file("bin/node", b"node").file("bin/python3.11", b"python");
    // Each of many sources names all others, and many that are not there.
    let requires: String =
        (0..5000).map(|n| format!("require('./{n}.js');import x{n}\n")).collect();
    for number in 0..=200 {
        image.data(&format!("app/{number}.js"), format!("{number} {requires}").as_bytes());
    }
    let flood =
        "gosu ".repeat(100_000) + &"env A=1 ".repeat(100_000) + &"x=\"$y/z\" ".repeat(100_000);
    image.file("bin/flood", format!("#!/bin/sh\n{flood}").as_bytes());
    let deep = "[".repeat(100_000);
    image.data("app/package.json", deep.as_bytes());
    let nested = format!("{{\"exports\": {}1{}}}", "{\"node\":".repeat(100), "}".repeat(100));
    image.data("app/node_modules/p/package.json", nested.as_bytes());
    for number in 0..5000 {
        image.data(
            &format!("etc/many/{number}"),
            format!("{number} include /etc/many/*").as_bytes(),
        );
    }
    image.file("bin/many", &elf_with("", &[], None, &["/etc/many/", "/etc/many/7"]));
    let config = r#"{"Cmd": ["flood", "many", "node", "/app/0.js"]}"#;
    let found = image.predicted(config).await;
    assert!(found.contains(&"app/200.js".to_owned()), "modules, though the rest is odd");
    assert!(found.len() < 1000, "{} files", found.len());
}

#[tokio::test]
async fn reads_are_bounded() {
    let mut image = Image::new();
    for number in 0..2 * PROGRAMS.0 {
        let next = format!("lib{}.so", number + 1);
        image.file(&format!("usr/lib/lib{number}.so"), &elf("", &[&next], None));
    }
    let found = image.predicted(r#"{"Cmd": ["/usr/lib/lib0.so"]}"#).await;
    assert_eq!(found.len(), PROGRAMS.0 + 1, "the last is named by one that was read");
    let late = predict(
        br#"{"config": {"Cmd": ["/usr/lib/lib0.so"]}}"#,
        &image.0,
        &Slow,
        Instant::now() + Duration::from_millis(10),
    );
    assert_eq!(late.await, [b"usr/lib/lib0.so"]);
}

/// Never gives anything.
struct Slow;

impl ReadContent for Slow {
    async fn read(&self, _: usize, _: &Content, _: u64, _: &mut [u8]) -> Result<(), ReadError> {
        std::future::pending().await
    }
}
