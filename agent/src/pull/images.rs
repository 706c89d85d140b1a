//! The images of a deployment: their blobs as they arrive, and whether all hangs together.

use super::{PullError, PullTrouble, Wanted};
use crate::containerd::metadata;
use crate::report::ImageSummary;
use crate::sha256::Sha256;
use crate::spool::SpoolError;
use skiff_protocol::Digest;
use skiff_protocol::limits::MAX_BLOB;
use skiff_protocol::record::{Blob, Image, Role};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// One blob, in a scratch file.
#[derive(Debug)]
pub struct StoredBlob {
    /// Its digest, checked.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// Media type.
    pub media_type: String,
    /// Where it is.
    pub path: PathBuf,
}

/// One image.
#[derive(Debug)]
pub struct StoredImage {
    /// The reference, as it was asked for if it was.
    pub reference: String,
    /// What the image record will point to.
    pub target: Digest,
    /// The layer that becomes its snapshot.
    pub layer: Option<u16>,
    /// The index, where the reference names one.
    pub index: Option<StoredBlob>,
    /// The manifest.
    pub manifest: Option<StoredBlob>,
    /// The config.
    pub config: Option<StoredBlob>,
    /// The name of its snapshot, once config and manifest are checked.
    pub chain_id: Option<Digest>,
}

/// All images, and the blob that is arriving.
#[derive(Debug)]
pub struct Images {
    directory: PathBuf,
    /// In the order of the stream, which is that of the request.
    pub list: Vec<StoredImage>,
    arriving: Option<Arriving>,
    blobs: u32,
}

#[derive(Debug)]
struct Arriving {
    role: Role,
    blob: StoredBlob,
    file: File,
    hash: Sha256,
    rest: u64,
}

impl Images {
    /// No images yet; blobs go into this directory.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), list: Vec::new(), arriving: None, blobs: 0 }
    }

    /// The directory of the blobs was moved.
    pub fn moved_to(&mut self, directory: &Path) {
        self.directory = directory.to_owned();
        for image in &mut self.list {
            let blobs = [&mut image.index, &mut image.manifest, &mut image.config];
            for blob in blobs.into_iter().flatten() {
                blob.path = blob.path.file_name().map_or_else(PathBuf::new, |n| directory.join(n));
            }
        }
    }

    /// The next image, which must be one that was asked for.
    pub fn begin(&mut self, image: &Image<'_>, wanted: &Wanted) -> Result<(), PullError> {
        self.end_of_blob()?;
        wanted.check_next(image.reference, self.list.iter().map(|image| &*image.reference))?;
        self.list.push(StoredImage {
            reference: image.reference.to_owned(),
            target: image.target,
            layer: image.layer,
            index: None,
            manifest: None,
            config: None,
            chain_id: None,
        });
        Ok(())
    }

    /// The next blob of the current image.
    pub fn begin_blob(&mut self, blob: &Blob<'_>) -> Result<(), PullError> {
        self.end_of_blob()?;
        if u64::from(blob.size) > MAX_BLOB || self.blobs >= 3 * 32 {
            return Err(PullError::unexpected("an index, manifest or config above 4 MiB"));
        }
        let path = self.directory.join(format!("blob-{}", self.blobs));
        self.blobs += 1;
        let file = File::create_new(&path).map_err(|source| io(&path, source))?;
        self.arriving = Some(Arriving {
            role: blob.role,
            blob: StoredBlob {
                digest: blob.digest,
                size: blob.size.into(),
                media_type: blob.media_type.to_owned(),
                path,
            },
            file,
            hash: Sha256::new(),
            rest: blob.size.into(),
        });
        Ok(())
    }

    /// The next bytes of the current blob.
    pub fn blob_data(&mut self, bytes: &[u8]) -> Result<(), PullError> {
        let Some(arriving) = &mut self.arriving else {
            return Err(PullError::unexpected("bytes of no blob"));
        };
        arriving.rest = arriving
            .rest
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| PullError::unexpected("a blob longer than announced"))?;
        arriving.hash.update(bytes);
        arriving.file.write_all(bytes).map_err(|source| io(&arriving.blob.path, source))
    }

    fn end_of_blob(&mut self) -> Result<(), PullError> {
        let Some(arriving) = self.arriving.take() else { return Ok(()) };
        let Some(image) = self.list.last_mut() else {
            return Err(PullError::unexpected("a blob of no image"));
        };
        let (slot, role) = match arriving.role {
            Role::Index => (&mut image.index, "index"),
            Role::Manifest => (&mut image.manifest, "manifest"),
            Role::Config => (&mut image.config, "config"),
            _ => return Err(PullError::unexpected("a blob of an unknown kind")),
        };
        if arriving.rest > 0 || arriving.hash.finish() != arriving.blob.digest {
            let (image, digest) = (image.reference.clone(), arriving.blob.digest);
            return Err(PullTrouble::Blob { role, image, digest }.into());
        }
        *slot = Some(arriving.blob);
        Ok(())
    }

    /// All blobs are there: checks index against reference, manifest against index, config against
    /// manifest, and folds the config's diff IDs into the snapshot's name.
    pub fn check(&mut self, wanted: &Wanted) -> Result<(), PullError> {
        self.end_of_blob()?;
        wanted.check_count(self.list.len())?;
        for image in &mut self.list {
            image.chain_id = Some(check_image(image)?);
        }
        Ok(())
    }

    /// What the report says of them.
    pub fn summaries(&self) -> Vec<ImageSummary> {
        let summary = |image: &StoredImage| ImageSummary {
            name: image.reference.clone(),
            digest: image.target.to_string(),
            fetched: image.layer.is_some(),
        };
        self.list.iter().map(summary).collect()
    }
}

fn check_image(image: &StoredImage) -> Result<Digest, PullError> {
    let name = || image.reference.clone();
    let mismatch = |reason| PullError::from(PullTrouble::Mismatch { image: name(), reason });
    let (Some(manifest), Some(config)) = (&image.manifest, &image.config) else {
        return Err(mismatch("the accelerator sent no manifest or no config"));
    };
    if let Some((_, digest)) = image.reference.rsplit_once('@') {
        let asked = Digest::parse(digest).ok_or(mismatch("its digest is not a SHA-256 digest"))?;
        if asked != image.target {
            return Err(mismatch("what came is not what the reference's digest names"));
        }
    }
    let top = image.index.as_ref().unwrap_or(manifest);
    if top.digest != image.target {
        return Err(mismatch("its index or manifest is not what the image record would point to"));
    }
    if let Some(index) = &image.index {
        let listed = metadata::index_lists(&mut open(&index.path)?, &manifest.digest)
            .map_err(|source| PullTrouble::Document { role: "index", image: name(), source })?;
        if !listed {
            return Err(mismatch("its index does not list its manifest"));
        }
    }
    let summary = metadata::read_manifest(&mut open(&manifest.path)?)
        .map_err(|source| PullTrouble::Document { role: "manifest", image: name(), source })?;
    if summary.config != config.digest {
        return Err(mismatch("its manifest names another config"));
    }
    let chain = metadata::read_config(&mut open(&config.path)?)
        .map_err(|source| PullTrouble::Document { role: "config", image: name(), source })?;
    if chain.layers != summary.layers {
        return Err(mismatch("its manifest and its config have different numbers of layers"));
    }
    Ok(chain.chain_id)
}

fn open(path: &Path) -> Result<File, PullError> {
    File::open(path).map_err(|source| io(path, source))
}

fn io(path: &Path, source: std::io::Error) -> PullError {
    SpoolError::io(&path.display().to_string(), source).into()
}
