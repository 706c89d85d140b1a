//! A device as the tests have it: it asks over TCP and takes an answer apart with the protocol's
//! own crate.

pub(crate) mod layout;
pub(crate) mod memory;

use skiff_protocol::frame::{self, Buffer, HEADER_LEN, Kind};
use skiff_protocol::limits::{MAX_PACK, MAX_REQUEST};
use skiff_protocol::record::{self, Record, Source, Splitter};
use skiff_protocol::request::{
    Codecs, DeployRequest, Held, Hydration, Part, Platform, Purpose, Want,
};
use skiff_protocol::response::{self, Codec, Complete, FailureCode, Notice, Pack, Plan, decode};
use skiff_protocol::script::{Script, Step};
use skiff_protocol::{Digest, Ranges, Version};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

/// A request for these images by a device that holds those.
pub(crate) fn request<'a>(want: &[&'a str], held: &[Held<'a>]) -> DeployRequest<'a> {
    DeployRequest {
        version: Version::CURRENT,
        agent: "test",
        platform: Platform { os: "linux", architecture: "amd64", variant: "" },
        codecs: Codecs::DEFLATE,
        want: Want::Images(want.iter().copied().collect()),
        held: held.iter().copied().collect(),
        purpose: Purpose::Deliver,
        max_bytes: None,
        part: Part::Whole,
        hydration: Hydration::default(),
        digests: &[],
    }
}

/// An answer, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) notices: Vec<Notice>,
    pub(crate) plan: Option<Plan>,
    /// Bytes of the plan's frame and those behind it.
    pub(crate) bytes_from_plan: u64,
    pub(crate) bytes: u64,
    pub(crate) images: Vec<(String, Digest, Option<u16>)>,
    pub(crate) contents: Vec<Content>,
    pub(crate) layers: Vec<(record::Layer, Vec<Entry>)>,
    pub(crate) packs: BTreeMap<u32, Vec<u8>>,
    /// The scripts of those that are patched.
    pub(crate) scripts: BTreeMap<u32, (Vec<u8>, u32)>,
    /// The codec of each pack, as they came.
    pub(crate) codecs: Vec<Codec>,
    /// How many of them came before `HotComplete`.
    pub(crate) first_packs: usize,
    pub(crate) complete: Option<Complete>,
    pub(crate) failure: Option<(FailureCode, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) size: u64,
    pub(crate) sha256: Digest,
    /// Index and path of a held image's file, or none if it comes from packs.
    pub(crate) held: Option<(u16, Vec<u8>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: String,
    /// The kind as `Debug` shows it.
    pub(crate) kind: String,
    pub(crate) content: Option<u32>,
}

impl Answer {
    /// The packs one behind the other, if all are there.
    pub(crate) fn space(&self) -> Vec<u8> {
        let packs = self.packs.values();
        for (number, pack) in packs.clone().enumerate().take(self.packs.len().saturating_sub(1)) {
            assert_eq!(pack.len(), MAX_PACK as usize, "pack {number}");
        }
        packs.flatten().copied().collect()
    }

    /// Runs the scripts, with these files of held images as bases, or contents of earlier packs. Gives how many there were.
    pub(crate) fn patch(&mut self, base: impl Fn(u16, &[u8]) -> Vec<u8>) -> usize {
        let scripts = std::mem::take(&mut self.scripts);
        for (number, (script, len)) in &scripts {
            // Packs come in order, so all before this one are there.
            let before = self.packs.range(..number).flat_map(|(_, pack)| pack).copied();
            let before: Vec<u8> = before.collect();
            let (mut from, mut made) = (Vec::new(), Vec::<u8>::new());
            let mut decoder = Script::new(u64::from(*len));
            let mut rest = &script[..];
            while let Some(step) = decoder.next(&mut rest).unwrap() {
                let range = |at: u64, len: u64| {
                    usize::try_from(at).unwrap()..usize::try_from(at + len).unwrap()
                };
                match step {
                    Step::BaseHeld { image, path: b"" } => {
                        let at = u64::from(*number) * u64::from(MAX_PACK) + made.len() as u64;
                        from = base(image, self.path_at(at).as_bytes());
                    }
                    Step::BaseHeld { image, path } => from = base(image, path),
                    Step::BaseContent { content } => from = self.content_in(&before, content),
                    Step::Insert(bytes) => made.extend_from_slice(bytes),
                    Step::Copy { at, len } => made.extend_from_slice(&from[range(at, len)]),
                    Step::Add { at, bytes } => {
                        let base = &from[range(at, bytes.len() as u64)];
                        made.extend(
                            base.iter().zip(bytes).map(|(old, add)| old.wrapping_add(*add)),
                        );
                    }
                }
            }
            assert!(decoder.is_complete());
            assert!(self.packs.insert(*number, made).is_none());
        }
        scripts.len()
    }

    /// A content that lies whole in these first bytes of the content space.
    fn content_in(&self, space: &[u8], number: u32) -> Vec<u8> {
        let number = usize::try_from(number).unwrap();
        let sizes = self.contents.iter().map(|content| usize::try_from(content.size).unwrap());
        let begin: usize = sizes.clone().take(number).sum();
        space[begin..][..sizes.clone().nth(number).unwrap()].to_vec()
    }

    /// The path of the first entry with the content that lies at a place of the content space.
    fn path_at(&self, at: u64) -> &str {
        let mut end = 0;
        let number = self.contents.iter().position(|content| {
            end += content.size;
            end > at
        });
        let number = u32::try_from(number.unwrap()).unwrap();
        let mut entries = self.layers.iter().flat_map(|(_, entries)| entries);
        &entries.find(|entry| entry.content == Some(number)).unwrap().path
    }

    /// Checks every content that comes from packs, and says how many there are.
    pub(crate) fn check_packed(&self) -> usize {
        let packed = self.contents.iter().filter(|content| content.held.is_none());
        check(&self.space(), packed.map(|content| (content.size, content.sha256)))
    }

    pub(crate) fn paths(&self, layer: usize) -> Vec<&str> {
        self.layers[layer].1.iter().map(|entry| entry.path.as_str()).collect()
    }

    pub(crate) fn failure(&self) -> (FailureCode, &str) {
        let (code, message) = self.failure.as_ref().expect("a failure");
        (*code, message)
    }
}

/// Checks that `space` is these contents and no more.
pub(crate) fn check(space: &[u8], contents: impl Iterator<Item = (u64, Digest)>) -> usize {
    use sha2::Digest as _;
    let (mut rest, mut count) = (space, 0);
    for (size, sha256) in contents {
        let (content, after) = rest.split_at(usize::try_from(size).unwrap());
        assert_eq!(Digest(sha2::Sha256::digest(content).into()), sha256, "content {count}");
        (rest, count) = (after, count + 1);
    }
    assert!(rest.is_empty(), "{} bytes too many", rest.len());
    count
}

/// Asks, and reads the answer to its end.
pub(crate) fn ask(address: SocketAddr, request: &DeployRequest<'_>) -> Answer {
    ask_with(address, "", request).expect("status 200")
}

/// Asks with more header lines, each of which ends with `\r\n`. Gives the answer, or another status than 200.
pub(crate) fn ask_with(
    address: SocketAddr,
    headers: &str,
    request: &DeployRequest<'_>,
) -> Result<Answer, u16> {
    let mut buffer = vec![0; MAX_REQUEST];
    let body = request.encode(&mut buffer).unwrap();
    match post_with(address, skiff_protocol::MEDIA_TYPE, headers, body) {
        (200, body) => Ok(read_answer(&body)),
        (status, _) => Err(status),
    }
}

/// Posts any bytes; gives the status and the body.
pub(crate) fn post(address: SocketAddr, media_type: &str, body: &[u8]) -> (u16, Vec<u8>) {
    post_with(address, media_type, "", body)
}

fn post_with(address: SocketAddr, media_type: &str, headers: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: {media_type}\r\n\
         {headers}Content-Length: {}\r\n\r\n",
        skiff_protocol::DEPLOY_PATH,
        body.len()
    );
    exchange(address, &[head.as_bytes(), body].concat())
}

/// Gets a text.
pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    get_with(address, path, "")
}

/// The same with more header lines.
pub(crate) fn get_with(address: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    let head = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n");
    let (status, body) = exchange(address, head.as_bytes());
    (status, String::from_utf8(body).unwrap())
}

pub(crate) fn exchange(address: SocketAddr, request: &[u8]) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    // A server that refuses early may close before it has read everything.
    let _ = stream.write_all(request);
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response);
    let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8_lossy(&response[..end]).to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = &response[end..];
    let chunked = head.contains("transfer-encoding: chunked");
    (status, if chunked { dechunk(body) } else { body.to_vec() })
}

fn dechunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|bytes| bytes == b"\r\n").expect("a chunk's head");
        let len = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if len == 0 {
            return body;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + len]);
        rest = &rest[line + 2 + len + 2..];
    }
}

/// Takes an answer apart, and checks the order of its frames.
pub(crate) fn read_answer(body: &[u8]) -> Answer {
    let mut answer = Answer { bytes: body.len() as u64, ..Answer::default() };
    let (mut rest, mut buffer) = (body, Buffer::new());
    let (mut metadata, mut pack): (Vec<u8>, Option<(Pack, Vec<u8>)>) = (Vec::new(), None);
    let mut hot_complete = false;
    while !rest.is_empty() {
        assert!(answer.complete.is_none() && answer.failure.is_none(), "after the last frame");
        let frame = frame::read_blocking(&mut rest, &mut buffer).unwrap();
        if answer.plan.is_some() || frame.kind == Kind::Plan {
            answer.bytes_from_plan += (HEADER_LEN + frame.payload.len()) as u64;
        }
        match frame.kind {
            Kind::Progress => drop(decode::<response::Progress>(frame.payload).unwrap()),
            Kind::Notice => answer.notices.push(decode(frame.payload).unwrap()),
            Kind::Plan => {
                assert!(answer.plan.is_none());
                answer.plan = Some(decode(frame.payload).unwrap());
            }
            Kind::Metadata => metadata.extend_from_slice(frame.payload),
            Kind::Pack => {
                assert!(pack.is_none());
                pack = Some((decode(frame.payload).unwrap(), Vec::new()));
            }
            Kind::PackData => {
                let (head, encoded) = pack.as_mut().expect("a pack's head");
                encoded.extend_from_slice(frame.payload);
                if encoded.len() == head.encoded_len as usize {
                    let bytes = match head.codec {
                        Codec::Deflate | Codec::DeflateScript => {
                            miniz_oxide::inflate::decompress_to_vec(encoded).unwrap()
                        }
                        Codec::Zstd | Codec::ZstdScript => {
                            zstd::bulk::decompress(encoded, 2 * MAX_PACK as usize).unwrap()
                        }
                        other => panic!("{other:?}"),
                    };
                    answer.codecs.push(head.codec);
                    if head.codec.is_script() {
                        assert!(answer.scripts.insert(head.number, (bytes, head.len)).is_none());
                    } else {
                        assert_eq!(bytes.len(), head.len as usize);
                        assert!(answer.packs.insert(head.number, bytes).is_none());
                    }
                    pack = None;
                }
            }
            Kind::HotComplete => {
                assert!(!hot_complete && pack.is_none());
                hot_complete = true;
                answer.first_packs = answer.packs.len();
            }
            Kind::Complete => {
                assert!(hot_complete || answer.plan.is_some_and(|plan| plan.exact));
                answer.complete = Some(decode(frame.payload).unwrap());
            }
            Kind::Failure => {
                let failure: response::Failure<'_> = decode(frame.payload).unwrap();
                answer.failure = Some((failure.code, failure.message.to_owned()));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(answer.complete.is_some() != answer.failure.is_some(), "the answer has an end");
    assert!(pack.is_none());
    if !metadata.is_empty() {
        let stream = miniz_oxide::inflate::decompress_to_vec(&metadata).unwrap();
        read_records(&mut answer, &stream);
    }
    answer
}

fn read_records(answer: &mut Answer, mut stream: &[u8]) {
    let mut splitter = Splitter::new();
    let mut path: Vec<u8> = Vec::new();
    let mut blob: Option<(Digest, u32, Vec<u8>)> = None;
    let mut ended = false;
    while let Some(record) = splitter.next(&mut stream).unwrap() {
        assert!(!ended);
        match record {
            Record::Image(image) => {
                answer.images.push((image.reference.to_owned(), image.target, image.layer));
            }
            Record::Blob(head) => {
                assert!(blob.is_none());
                blob = Some((head.digest, head.size, Vec::new()));
            }
            Record::BlobData(bytes) => {
                let (digest, size, got) = blob.as_mut().expect("a blob");
                got.extend_from_slice(bytes);
                if got.len() == *size as usize {
                    check(got, [(u64::from(*size), *digest)].into_iter());
                    blob = None;
                }
            }
            Record::Content(content) => answer.contents.push(Content {
                size: content.size,
                sha256: content.sha256,
                held: match content.source {
                    Source::Held { image, path } => Some((image, path.to_vec())),
                    _ => None,
                },
            }),
            Record::Layer(layer) => {
                path.clear();
                answer.layers.push((layer, Vec::new()));
            }
            Record::Entry(entry) => {
                path.truncate(entry.prefix.into());
                path.extend_from_slice(entry.suffix);
                let content = match entry.kind {
                    record::Kind::File { content } => Some(content),
                    _ => None,
                };
                answer.layers.last_mut().expect("a layer").1.push(Entry {
                    path: String::from_utf8_lossy(&path).into_owned(),
                    kind: format!("{:?}", entry.kind),
                    content,
                });
            }
            Record::End => ended = true,
            other => panic!("{other:?}"),
        }
    }
    assert!(ended && blob.is_none());
    for (layer, entries) in &answer.layers {
        assert_eq!(layer.entries as usize, entries.len());
    }
}

/// A set of numbers.
pub(crate) fn ranges(numbers: &[u32]) -> Ranges {
    let mut ranges = Ranges::new();
    numbers.iter().for_each(|number| ranges.insert(*number));
    ranges
}
