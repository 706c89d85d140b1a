//! Predictions of small images, whose programs are this machine's own.

use super::*;
use crate::packs::cut::ReadError;
use crate::plan::arbitrary::dir;
use crate::tree::{Metadata, Node};
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
        let directories = [
            "app",
            "bin",
            "docker.d",
            "etc",
            "etc/ld.so.conf.d",
            "opt",
            "opt/own",
            "usr",
            "usr/bin",
            "usr/lib",
        ];
        let tree = crate::plan::arbitrary::tree(&directories.map(dir));
        Self(tree, Memory(HashMap::new()))
    }

    fn put(&mut self, path: &str, kind: FileKind) {
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
    let mut strings = vec![0_u8];
    let mut entries: Vec<(u64, u64)> = Vec::new();
    for (tag, text) in needed.iter().map(|text| (1, *text)).chain(runpath.map(|text| (29, text))) {
        entries.push((tag, strings.len() as u64));
        strings.extend_from_slice(text.as_bytes());
        strings.push(0);
    }
    let interpreter = [interpreter.as_bytes(), b"\0"].concat();
    // Header, three segments, then interpreter, strings and dynamic section.
    let at_interpreter = 64 + 3 * 56;
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
    for half in [64_u16, 56, 3, 64, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    let dynamic_len = 16 * entries.len() as u64;
    for (kind, offset, size) in [
        (1_u32, 0, len),
        (3, at_interpreter, interpreter.len() as u64),
        (2, at_dynamic, dynamic_len),
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
        "etc/passwd",
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
async fn reads_are_bounded() {
    let mut image = Image::new();
    for number in 0..2 * MOST_READ {
        let next = format!("lib{}.so", number + 1);
        image.file(&format!("usr/lib/lib{number}.so"), &elf("", &[&next], None));
    }
    let found = image.predicted(r#"{"Cmd": ["/usr/lib/lib0.so"]}"#).await;
    assert_eq!(found.len(), MOST_READ + 1, "the last is named by one that was read");
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
