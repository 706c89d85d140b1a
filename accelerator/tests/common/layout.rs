//! An OCI layout of one image, written by hand.

use sha2::Digest as _;
use skiff_protocol::Digest;
use std::fs;
use std::path::Path;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    Digest(sha2::Sha256::digest(bytes).into())
}

/// Writes a layout with one image of one plain layer, tagged `1`, that is started so; gives manifest, config and layer.
pub(crate) fn layout(dir: &Path, layer: Vec<u8>, start: &str) -> [(Digest, Vec<u8>); 3] {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: Vec<u8>| {
        let digest = sha256(&bytes);
        fs::write(blobs.join(digest.hex().to_string()), &bytes).unwrap();
        (digest, bytes)
    };
    let layer = put(layer);
    let config = put(format!(
        r#"{{"os":"linux","architecture":"amd64","config":{start},
        "rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        layer.0
    )
    .into_bytes());
    let descriptor = |kind: &str, (digest, bytes): &(Digest, Vec<u8>)| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{digest}","size":{}}}"#,
            bytes.len()
        )
    };
    let manifest = put(format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{},"layers":[{}]}}"#,
        descriptor("config.v1+json", &config),
        descriptor("layer.v1.tar", &layer)
    )
    .into_bytes());
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let top = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{MANIFEST}","digest":"{}","size":{},
        "annotations":{{"org.opencontainers.image.ref.name":"1"}}}}]}}"#,
        manifest.0,
        manifest.1.len()
    );
    fs::write(dir.join("index.json"), top).unwrap();
    [manifest, config, layer]
}
