//! Many devices at once, as far as the accelerator can tell: each sends a request and reads the answer, and
//! keeps nothing of it.

use skiff_protocol::limits::MAX_REQUEST;
use skiff_protocol::request::{
    Codecs, DeployRequest, Held, Hydration, Part, Platform, Purpose, Want,
};
use skiff_protocol::{DEPLOY_PATH, Digest, MEDIA_TYPE, Version};
use std::io::{Read, Write};
use std::net::TcpStream;

/// The request of a device for one image; it holds others, each a reference and a manifest.
pub fn request(image: &str, held: &[(&str, Digest)]) -> Vec<u8> {
    let held = held.iter().map(|&(reference, manifest)| Held { reference, manifest, depth: 1 });
    let request = DeployRequest {
        version: Version::CURRENT,
        agent: "fleet",
        platform: Platform {
            os: "linux",
            architecture: crate::layout::architecture(),
            variant: "",
        },
        codecs: Codecs::DEFLATE.and(Codecs::ZSTD),
        want: Want::Images(heapless::Vec::from_slice(&[image]).unwrap()),
        held: held.collect(),
        purpose: Purpose::Deliver,
        max_bytes: None,
        part: Part::Whole,
        hydration: Hydration::default(),
        digests: &[],
    };
    let mut buffer = vec![0; MAX_REQUEST];
    request.encode(&mut buffer).unwrap().to_vec()
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
