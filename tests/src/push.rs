//! Pushes a layout into a registry, byte for byte.
//!
//! Not by skopeo: that finds only OCI media types in a layout, and the hard images have Docker's, too.
//! Three requests of the distribution API do it; each has its own connection.

use crate::layout::Layout;
use serde_json::Value;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;

impl Layout {
    /// Takes a tag into the registry at `host` (`ADDR:PORT`, plain HTTP), with everything below it. Gives the
    /// reference.
    pub fn push(&self, tag: &str, host: &str) -> String {
        let pusher = Pusher { layout: self, host };
        pusher.manifest(&self.digest_of(tag), Some(tag), &mut HashSet::new());
        format!("{host}/{}:{tag}", self.repository)
    }
}

struct Pusher<'a> {
    layout: &'a Layout,
    host: &'a str,
}

impl Pusher<'_> {
    /// An index or manifest; what it names goes first.
    fn manifest(&self, digest: &str, tag: Option<&str>, done: &mut HashSet<String>) {
        let bytes = self.layout.blob(digest);
        let document: Value = serde_json::from_slice(&bytes).unwrap();
        let list = |field: &str| document[field].as_array().cloned().unwrap_or_default();
        let name = |descriptor: &Value| descriptor["digest"].as_str().unwrap().to_owned();
        for manifest in list("manifests") {
            self.manifest(&name(&manifest), None, done);
        }
        let mut blobs = list("layers");
        if document["config"].is_object() {
            blobs.push(document["config"].clone());
        }
        for blob in blobs.iter().map(name) {
            if done.insert(blob.clone()) {
                self.blob(&blob);
            }
        }
        let target = format!("/v2/{}/manifests/{}", self.layout.repository, tag.unwrap_or(digest));
        let media_type = document["mediaType"].as_str().unwrap_or_else(|| {
            let index = document["manifests"].is_array();
            let kind = if index { "index" } else { "manifest" };
            panic!("the {kind} {digest} does not say its media type")
        });
        let header = format!("Content-Type: {media_type}\r\n");
        self.ask("PUT", &target, &header, &mut bytes.as_slice(), bytes.len() as u64, 201);
    }

    fn blob(&self, digest: &str) {
        let target = format!("/v2/{}/blobs/{digest}", self.layout.repository);
        if self.send("HEAD", &target, "", &mut std::io::empty(), 0).0 == 200 {
            return;
        }
        let target = format!("/v2/{}/blobs/uploads/", self.layout.repository);
        let head = self.ask("POST", &target, "", &mut std::io::empty(), 0, 202);
        let place = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("location").then_some(value.trim())
        });
        let place = place.unwrap_or_else(|| panic!("no place to upload to:\n{head}"));
        let path = place.split_once(self.host).map_or(place, |(_, path)| path);
        let and = if path.contains('?') { '&' } else { '?' };
        let target = format!("{path}{and}digest={digest}");
        let file = self.layout.blob_path(digest);
        let length =
            fs::metadata(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display())).len();
        let header = "Content-Type: application/octet-stream\r\n";
        self.ask("PUT", &target, header, &mut File::open(file).unwrap(), length, 201);
    }

    /// A request that must be answered with this status; gives the head of the answer.
    fn ask(
        &self,
        method: &str,
        target: &str,
        header: &str,
        body: &mut dyn Read,
        length: u64,
        status: u16,
    ) -> String {
        let (code, answer) = self.send(method, target, header, body, length);
        assert!(code == status, "{method} http://{}{target}: {answer}", self.host);
        answer
    }

    fn send(
        &self,
        method: &str,
        target: &str,
        header: &str,
        mut body: &mut dyn Read,
        length: u64,
    ) -> (u16, String) {
        let mut stream = TcpStream::connect(self.host).unwrap();
        let host = self.host;
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Content-Length: {length}\r\n{header}\r\n"
        )
        .unwrap();
        std::io::copy(&mut body, &mut stream).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        (code, answer)
    }
}
