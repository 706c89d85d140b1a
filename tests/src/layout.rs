//! OCI image layouts, written blob by blob.
//!
//! ```text
//! DIR/REPO/oci-layout
//! DIR/REPO/index.json          tags, by org.opencontainers.image.ref.name
//! DIR/REPO/blobs/sha256/…
//! ```
//!
//! This is what `skiff-accelerator serve --registry oci:DIR` reads, and what [`Layout::push`] takes
//! into a registry, byte for byte.

use crate::tarball::{Entry, archive};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// How a layer blob is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// One gzip member.
    Gzip,
    /// The same with the least effort, for large layers that can't be compressed anyway.
    Quick,
    /// Several gzip members, cut at every so many bytes of the archive.
    Members(usize),
    /// One zstd frame.
    Zstd,
}

/// Whose media types an image has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Types {
    /// The OCI image specification's.
    Oci,
    /// Docker's "Image Manifest Version 2, Schema 2".
    Docker,
}

/// A layer to be.
#[derive(Debug, Clone)]
pub struct Layer {
    /// The archive.
    pub tar: Vec<u8>,
    /// How its blob is compressed.
    pub compression: Compression,
}

impl Layer {
    /// A gzip layer of these entries.
    pub fn new(entries: &[Entry]) -> Self {
        Self { tar: archive(entries), compression: Compression::Gzip }
    }

    /// A gzip layer of an archive on disk.
    pub fn from_tar(path: &Path) -> Self {
        let tar = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { tar, compression: Compression::Gzip }
    }

    /// Compressed like this.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }
}

/// An image to be.
#[derive(Debug, Clone)]
pub struct Image {
    /// Layers, lowest first.
    pub layers: Vec<Layer>,
    /// Media types.
    pub types: Types,
    /// Architecture, in Go's words; the machine's own by default.
    pub architecture: String,
    /// Variant, such as `v7`.
    pub variant: Option<String>,
    /// What a container of it runs; `/bin/true` by default.
    pub command: Vec<String>,
    /// Its variables, each as `NAME=value`.
    pub environment: Vec<String>,
}

impl Image {
    /// An OCI image for this machine.
    pub fn new(layers: Vec<Layer>) -> Self {
        Self {
            layers,
            types: Types::Oci,
            architecture: architecture().to_owned(),
            variant: None,
            command: vec!["/bin/true".to_owned()],
            environment: Vec::new(),
        }
    }

    /// With these media types.
    #[must_use]
    pub fn types(mut self, types: Types) -> Self {
        self.types = types;
        self
    }

    /// For this platform.
    #[must_use]
    pub fn platform(mut self, architecture: &str, variant: Option<&str>) -> Self {
        architecture.clone_into(&mut self.architecture);
        self.variant = variant.map(str::to_owned);
        self
    }

    /// Running this.
    #[must_use]
    pub fn command(mut self, command: &[&str]) -> Self {
        self.command = command.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// With these variables, each as `NAME=value`.
    #[must_use]
    pub fn environment(mut self, variables: &[&str]) -> Self {
        self.environment = variables.iter().map(|&variable| variable.to_owned()).collect();
        self
    }
}

/// This machine's architecture in Go's words.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `sha256:` and 64 digits.
pub fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The chain ID (OCI image specification, "Layer ChainID") of all layers of an image: the name of its
/// snapshot. Of an index the image for `architecture` counts; `blob` reads blobs.
pub fn chain_id(image: &str, architecture: &str, mut blob: impl FnMut(&str) -> Vec<u8>) -> String {
    let mut json = |digest: &str| -> Value { serde_json::from_slice(&blob(digest)).unwrap() };
    let mut manifest = json(image);
    if let Some(manifests) = manifest["manifests"].as_array() {
        let of_ours = |of: &&Value| of["platform"]["architecture"] == architecture;
        let ours = manifests.iter().find(of_ours).unwrap();
        manifest = json(ours["digest"].as_str().unwrap());
    }
    let config = json(manifest["config"]["digest"].as_str().unwrap());
    let ids = config["rootfs"]["diff_ids"].as_array().unwrap();
    let ids = ids.iter().map(|id| id.as_str().unwrap().to_owned());
    ids.reduce(|chain, id| digest(format!("{chain} {id}").as_bytes())).unwrap()
}

/// One repository on disk.
#[derive(Debug, Clone)]
pub struct Layout {
    /// `DIR`.
    pub directory: PathBuf,
    /// `REPO`.
    pub repository: String,
}

impl Layout {
    /// Makes an empty layout `directory/repository`.
    pub fn create(directory: &Path, repository: &str) -> Self {
        let layout = Self { directory: directory.to_owned(), repository: repository.to_owned() };
        fs::create_dir_all(layout.path().join("blobs/sha256")).unwrap();
        fs::write(layout.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        layout.write_index(&[]);
        layout
    }

    /// A layout that is there already.
    pub fn open(directory: &Path, repository: &str) -> Self {
        let layout = Self { directory: directory.to_owned(), repository: repository.to_owned() };
        assert!(
            layout.path().join("index.json").exists(),
            "there is no image layout in {}; run `make images`",
            layout.path().display()
        );
        layout
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.directory.join(&self.repository)
    }

    /// Where a blob is.
    pub fn blob_path(&self, digest: &str) -> PathBuf {
        self.path().join("blobs").join(digest.replacen(':', "/", 1))
    }

    /// A blob's bytes.
    pub fn blob(&self, digest: &str) -> Vec<u8> {
        let path = self.blob_path(digest);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Adds an image under a tag. Returns the digest that the tag stands for.
    pub fn add(&self, tag: &str, image: &Image) -> String {
        let descriptor = self.manifest(image);
        self.tag(tag, descriptor)
    }

    /// Takes a tag of another layout over as another builder would have made it: the same files, but the
    /// blob of the lowest layer is another one. The other blobs stay where they are.
    pub fn add_rebuilt(&self, tag: &str, from: &Self, compression: Compression) -> String {
        let mut manifest = from.manifest_of(tag);
        let descriptors = manifest["layers"].as_array().unwrap().iter();
        for descriptor in descriptors.skip(1).chain([&manifest["config"]]) {
            let digest = descriptor["digest"].as_str().unwrap();
            let (there, here) = (fs::canonicalize(from.blob_path(digest)), self.blob_path(digest));
            let linked = std::os::unix::fs::symlink(there.unwrap(), &here);
            assert!(linked.is_ok() || here.exists(), "{}: {linked:?}", here.display());
        }
        let lowest = &manifest["layers"][0];
        let media_type = lowest["mediaType"].as_str().unwrap().to_owned();
        assert!(media_type.ends_with("gzip"), "the lowest layer of {tag} is a {media_type}");
        let blob = from.blob(lowest["digest"].as_str().unwrap());
        let mut tar = Vec::new();
        flate2::read::MultiGzDecoder::new(blob.as_slice()).read_to_end(&mut tar).unwrap();
        let layer = Layer { tar, compression };
        manifest["layers"][0] = self.put(&media_type, &compressed(&layer));
        let media_type = manifest["mediaType"].as_str().unwrap().to_owned();
        let descriptor = self.put(&media_type, manifest.to_string().as_bytes());
        self.tag(tag, descriptor)
    }

    /// Takes a tag of another layout over with one layer instead of its own: this archive.
    pub fn add_merged(&self, tag: &str, from: &Self, from_tag: &str, archive: &Path) -> String {
        let layer = Layer::from_tar(archive);
        let mut manifest = from.manifest_of(from_tag);
        let config = from.blob(manifest["config"]["digest"].as_str().unwrap());
        let mut config: Value = serde_json::from_slice(&config).unwrap();
        config["rootfs"]["diff_ids"] = json!([digest(&layer.tar)]);
        config.as_object_mut().unwrap().remove("history");
        let media_type = |descriptor: &Value| descriptor["mediaType"].as_str().unwrap().to_owned();
        let lowest = media_type(&manifest["layers"][0]);
        manifest["layers"] = json!([self.put(&lowest, &compressed(&layer))]);
        let kind = media_type(&manifest["config"]);
        manifest["config"] = self.put(&kind, config.to_string().as_bytes());
        let descriptor = self.put(&media_type(&manifest), manifest.to_string().as_bytes());
        self.tag(tag, descriptor)
    }

    /// Adds an index of several images under a tag. Returns the index's digest.
    pub fn add_index(&self, tag: &str, images: &[Image]) -> String {
        let docker = images.iter().all(|image| image.types == Types::Docker);
        let media_type = if docker {
            "application/vnd.docker.distribution.manifest.list.v2+json"
        } else {
            "application/vnd.oci.image.index.v1+json"
        };
        let manifests: Vec<_> = images
            .iter()
            .map(|image| {
                let mut descriptor = self.manifest(image);
                let mut platform = json!({"os": "linux", "architecture": image.architecture});
                if let Some(variant) = &image.variant {
                    platform["variant"] = json!(variant);
                }
                descriptor["platform"] = platform;
                descriptor
            })
            .collect();
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests});
        let descriptor = self.put(media_type, index.to_string().as_bytes());
        self.tag(tag, descriptor)
    }

    /// Digest that a tag stands for.
    pub fn digest_of(&self, tag: &str) -> String {
        let found = self.tags().into_iter().find(|descriptor| name_of(descriptor) == tag);
        let found = found.unwrap_or_else(|| panic!("{}: no tag {tag}", self.path().display()));
        found["digest"].as_str().unwrap().to_owned()
    }

    /// Name of the snapshot of a tag, for this architecture.
    pub fn chain_id(&self, tag: &str, architecture: &str) -> String {
        chain_id(&self.digest_of(tag), architecture, |digest| self.blob(digest))
    }

    /// The manifest that this machine takes of a tag.
    pub fn manifest_of(&self, tag: &str) -> Value {
        let document: Value = serde_json::from_slice(&self.blob(&self.digest_of(tag))).unwrap();
        let Some(manifests) = document["manifests"].as_array() else { return document };
        let ours = manifests
            .iter()
            .find(|manifest| manifest["platform"]["architecture"] == architecture())
            .expect("the index has this machine's architecture");
        serde_json::from_slice(&self.blob(ours["digest"].as_str().unwrap())).unwrap()
    }

    fn manifest(&self, image: &Image) -> Value {
        let docker = image.types == Types::Docker;
        let mut layers = Vec::new();
        let mut diff_ids = Vec::new();
        for layer in &image.layers {
            diff_ids.push(digest(&layer.tar));
            let media_type = match (docker, layer.compression) {
                (true, Compression::Gzip | Compression::Quick | Compression::Members(_)) => {
                    "application/vnd.docker.image.rootfs.diff.tar.gzip"
                }
                (true, _) => "application/vnd.docker.image.rootfs.diff.tar",
                (false, Compression::Plain) => "application/vnd.oci.image.layer.v1.tar",
                (false, Compression::Zstd) => "application/vnd.oci.image.layer.v1.tar+zstd",
                (false, _) => "application/vnd.oci.image.layer.v1.tar+gzip",
            };
            layers.push(self.put(media_type, &compressed(layer)));
        }
        let mut config = json!({
            "os": "linux",
            "architecture": image.architecture,
            "config": {"Cmd": image.command},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        if let Some(variant) = &image.variant {
            config["variant"] = json!(variant);
        }
        if !image.environment.is_empty() {
            config["config"]["Env"] = json!(image.environment);
        }
        let (manifest_type, config_type) = if docker {
            (
                "application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.container.image.v1+json",
            )
        } else {
            (
                "application/vnd.oci.image.manifest.v1+json",
                "application/vnd.oci.image.config.v1+json",
            )
        };
        let config = self.put(config_type, config.to_string().as_bytes());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": layers,
        });
        self.put(manifest_type, manifest.to_string().as_bytes())
    }

    /// Writes a blob; gives its descriptor.
    fn put(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        fs::write(self.blob_path(&digest), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    fn tag(&self, tag: &str, mut descriptor: Value) -> String {
        let digest = descriptor["digest"].as_str().unwrap().to_owned();
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        let mut tags = self.tags();
        tags.retain(|descriptor| name_of(descriptor) != tag);
        tags.push(descriptor);
        self.write_index(&tags);
        digest
    }

    fn tags(&self) -> Vec<Value> {
        let index = fs::read(self.path().join("index.json")).unwrap();
        let mut index: Value = serde_json::from_slice(&index).unwrap();
        index["manifests"].as_array_mut().map(std::mem::take).unwrap_or_default()
    }

    fn write_index(&self, manifests: &[Value]) {
        let index = json!({"schemaVersion": 2, "manifests": manifests});
        fs::write(self.path().join("index.json"), index.to_string()).unwrap();
    }
}

fn name_of(descriptor: &Value) -> &str {
    descriptor["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap_or_default()
}

fn compressed(layer: &Layer) -> Vec<u8> {
    let gzip_at = |level: u32, bytes: &[u8]| {
        let level = flate2::Compression::new(level);
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    };
    let gzip = |bytes: &[u8]| gzip_at(6, bytes);
    match layer.compression {
        Compression::Plain => layer.tar.clone(),
        Compression::Quick => gzip_at(1, &layer.tar),
        Compression::Gzip => gzip(&layer.tar),
        Compression::Members(every) => layer.tar.chunks(every).flat_map(gzip).collect(),
        Compression::Zstd => zstd::encode_all(layer.tar.as_slice(), 3).unwrap(),
    }
}
