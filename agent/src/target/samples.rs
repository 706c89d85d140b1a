//! Images for tests: small, and complete but for their records.

use super::{BlobLabels, ImageRecord, SnapshotName, Target};
use crate::sha256::sha256;
use skiff_protocol::Digest;
use std::path::Path;

/// Brings a version of an image to the target: all but its record, which it gives. `directory` is for scratch.
pub async fn image(target: &Target, directory: &Path, name: &str, version: u8) -> ImageRecord {
    let id = sha256(format!("{name} {version}"));
    target.prepare("skiff-x-0", None).await.unwrap();
    target.commit("skiff-x-0", SnapshotName::Chain(id)).await.unwrap();
    let config = put(target, directory, &format!("config of {name} {version}")).await;
    let manifest = format!(r#"{{"config":{{"digest":"{config}"}},"layers":[{{}}]}}"#);
    let manifest = put(target, directory, &manifest).await;
    ImageRecord {
        name: name.to_owned(),
        target: manifest,
        size: 3,
        media_type: "m".to_owned(),
        manifest,
        chain_id: id,
    }
}

async fn put(target: &Target, directory: &Path, text: &str) -> Digest {
    let digest = sha256(text);
    let path = directory.join("blob");
    std::fs::write(&path, text).unwrap();
    let labels = BlobLabels::Config { chain_id: [0; 32] };
    target.put_blob(digest.0, text.len() as u64, &path, labels).await.unwrap();
    digest
}
