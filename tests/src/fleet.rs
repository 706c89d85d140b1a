//! Many devices at once, as far as the accelerator can tell: each sends a request and reads the answer, and
//! keeps nothing of it.

use skiff_protocol::frame::{Buffer, Kind, read_blocking};
use skiff_protocol::limits::MAX_REQUEST;
use skiff_protocol::request::{
    Codecs, DeployRequest, Held, Hydration, Part, Platform, Purpose, Want,
};
use skiff_protocol::response::{Plan, decode};
use skiff_protocol::{DEPLOY_PATH, Digest, MEDIA_TYPE, Version};
use std::io::{Read, Write};
use std::net::TcpStream;

/// The request of a device for one image; it holds others, each a reference and a manifest.
pub fn request(image: &str, held: &[(&str, Digest)]) -> Vec<u8> {
    request_for(image, held, Codecs::DEFLATE.and(Codecs::ZSTD), Purpose::Deliver)
}

/// The same by a device that decodes these codecs, to be sent or to be measured.
pub fn request_for(
    image: &str,
    held: &[(&str, Digest)],
    codecs: Codecs,
    purpose: Purpose,
) -> Vec<u8> {
    let held = held.iter().map(|&(reference, manifest)| Held { reference, manifest, depth: 1 });
    let request = DeployRequest {
        version: Version::CURRENT,
        agent: "fleet",
        platform: Platform {
            os: "linux",
            architecture: crate::layout::architecture(),
            variant: "",
        },
        codecs,
        want: Want::Images(heapless::Vec::from_slice(&[image]).unwrap()),
        held: held.collect(),
        purpose,
        max_bytes: None,
        part: Part::Whole,
        hydration: Hydration::default(),
        digests: &[],
    };
    let mut buffer = vec![0; MAX_REQUEST];
    request.encode(&mut buffer).unwrap().to_vec()
}

/// Bytes of the answer that would be sent for a request that is to be measured.
pub fn measured(address: &str, request: &[u8]) -> u64 {
    let mut stream = TcpStream::connect(address).unwrap();
    // In HTTP/1.0 a body has no chunks.
    let head = format!(
        "POST {DEPLOY_PATH} HTTP/1.0\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {}\r\n\r\n",
        request.len()
    );
    stream.write_all(&[head.as_bytes(), request].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    let (mut frames, mut buffer) = (&answer[end..], Box::<Buffer>::default());
    loop {
        let frame = read_blocking(&mut frames, &mut buffer).unwrap();
        match frame.kind {
            Kind::Plan => {
                let plan: Plan = decode(frame.payload).unwrap();
                assert!(plan.exact);
                return plan.wire_bytes;
            }
            Kind::Progress | Kind::Notice => {}
            other => panic!("{other:?} before the plan"),
        }
    }
}

/// Sends a request to the accelerator at `HOST:PORT`; gives how many bytes came back, HTTP's own included.
pub fn deploy(address: &str, request: &[u8]) -> u64 {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST {DEPLOY_PATH} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {MEDIA_TYPE}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        request.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(request).unwrap();
    let (mut bytes, mut buffer, mut last) = (0, vec![0; 64 * 1024], Vec::new());
    loop {
        let read = stream.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        bytes += read as u64;
        last.extend_from_slice(&buffer[..read]);
        last.drain(..last.len().saturating_sub(64));
    }
    assert!(last.ends_with(b"0\r\n\r\n"), "the answer was cut off after {bytes} bytes");
    bytes
}
