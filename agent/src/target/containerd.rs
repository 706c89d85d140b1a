//! containerd as a target.
//!
//! What refers to what, so that containerd's garbage collection keeps an image (`metadata/gc.go`):
//! the record to its target; the index to the manifest and the manifest to the config by labels
//! `containerd.io/gc.ref.content.…`; the config to the snapshot by
//! `containerd.io/gc.ref.snapshot.SNAPSHOTTER`; a snapshot to its parent by itself. Labels are set
//! when the blob is there already, too. Layer blobs are not on the device and not referred to.
//!
//! During a pull all is under a lease, `skiff-PULL`. That of a dead pull is deleted by the next one.

use super::{
    BlobLabels, HeldImage, ImageRecord, ListedImage, PREFIX, SnapshotName, TargetError,
    TargetTrouble, add_bases, is_previous, reference,
};
use crate::containerd::metadata::{self, MetadataError};
use crate::containerd::{Client, GrpcError, ImageTarget, Kind};
use crate::platform;
use skiff_protocol::Digest;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// A stack can't be deeper: overlayfs takes 500 layers.
const MAX_DEPTH: u16 = 500;
/// How many manifests of an index are looked at.
const MAX_CANDIDATES: usize = 64;

/// containerd, one namespace and one snapshotter of it.
#[derive(Debug)]
pub struct ContainerdTarget {
    client: Client,
    snapshotter: String,
    lease: Option<String>,
    name: String,
}

impl ContainerdTarget {
    pub(super) async fn connect(
        socket: &Path,
        namespace: &str,
        snapshotter: &str,
    ) -> Result<Self, TargetError> {
        let client = Client::connect(socket, namespace).await?;
        let name = format!("{} {namespace} {snapshotter}", socket.display());
        Ok(Self { client, snapshotter: snapshotter.to_owned(), lease: None, name })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn held(&self, limit: usize) -> Result<Vec<HeldImage>, TargetError> {
        let (mut held, mut bases): (Vec<HeldImage>, _) = (Vec::new(), Vec::new());
        let mut images = self.client.images().await?;
        // Where there is no room for all, what is current counts more.
        images.sort_by_key(|image| is_previous(&image.name));
        for image in images {
            // The CRI plugin has up to three names for one image. One is enough, but not the one
            // that is the config's digest: it names no repository.
            let target = Digest::parse(&image.digest);
            let nameless = image.name.starts_with("sha256:");
            if nameless || held.iter().any(|known| Some(Digest(known.target_digest)) == target) {
                continue;
            }
            if held.len() == limit {
                break;
            }
            held.extend(self.complete(image, &mut bases).await?);
        }
        add_bases(&mut held, bases, limit);
        Ok(held)
    }

    /// Follows an image record down to its snapshot. Nothing if something is missing: then it isn't
    /// held, which is no error; the same for what can't be understood (records of other things).
    /// Adds the bases that it lies on.
    async fn complete(
        &self,
        image: ImageTarget,
        bases: &mut Vec<HeldImage>,
    ) -> Result<Option<HeldImage>, TargetError> {
        let Some(target) = Digest::parse(&image.digest) else { return Ok(None) };
        let mut found = None;
        if is_index(&image.media_type) {
            for manifest in self.candidates(&target)? {
                found = self.follow(manifest, bases).await?;
                if found.is_some() {
                    break;
                }
            }
        } else {
            found = self.follow(target, bases).await?;
        }
        Ok(found.map(|Found { manifest, chain_id, depth }| HeldImage {
            name: reference(&image.name).to_owned(),
            target_digest: target.0,
            manifest_digest: manifest.0,
            snapshot: SnapshotName::Chain(chain_id),
            depth,
        }))
    }

    /// Manifests of an index: first those for this device's processor, then the others.
    fn candidates(&self, index: &Digest) -> Result<Vec<Digest>, TargetError> {
        let (mut ours, mut others) = (Vec::new(), Vec::new());
        let device = platform::of_this_device();
        let read =
            metadata::each_in_index(&mut self.client.blob(index.to_string()), &mut |entry| {
                let fits = entry.platform.architecture == device.architecture;
                let list = if fits { &mut ours } else { &mut others };
                if list.len() < MAX_CANDIDATES {
                    list.extend(Digest::parse(&entry.digest));
                }
            });
        if understood(read)?.is_none() {
            return Ok(Vec::new());
        }
        ours.append(&mut others);
        Ok(ours)
    }

    async fn follow(
        &self,
        manifest: Digest,
        bases: &mut Vec<HeldImage>,
    ) -> Result<Option<Found>, TargetError> {
        let summary = metadata::read_manifest(&mut self.client.blob(manifest.to_string()));
        let Some(summary) = understood(summary)? else { return Ok(None) };
        let config = metadata::read_config(&mut self.client.blob(summary.config.to_string()));
        let Some(config) = understood(config)? else { return Ok(None) };
        let chain_id = config.chain_id;
        let depth = self.walk(chain_id.to_string(), bases).await?;
        Ok(depth.map(|depth| Found { manifest, chain_id, depth }))
    }

    pub(super) async fn depth(&self, name: SnapshotName) -> Result<Option<u16>, TargetError> {
        self.walk(name.to_string(), &mut Vec::new()).await
    }

    /// Layers of a committed snapshot with all its parents; nothing if one is missing. Adds the bases
    /// among them.
    async fn walk(
        &self,
        mut name: String,
        bases: &mut Vec<HeldImage>,
    ) -> Result<Option<u16>, TargetError> {
        let mut met = Vec::new();
        for depth in 1..=MAX_DEPTH {
            if let Some(tree) = SnapshotName::parse(&name).and_then(SnapshotName::base) {
                met.push((tree, depth - 1));
            }
            match self.client.snapshot(&self.snapshotter, &name).await? {
                Some(info) if info.kind == Kind::Committed && info.parent.is_empty() => {
                    bases.extend(
                        met.iter().map(|(tree, above)| HeldImage::base(*tree, depth - above)),
                    );
                    return Ok(Some(depth));
                }
                Some(info) if info.kind == Kind::Committed => name = info.parent,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Asks for a view, which names the layers, and removes it.
    pub(super) async fn layer_dirs(
        &self,
        snapshot: SnapshotName,
    ) -> Result<Vec<PathBuf>, TargetError> {
        let name = snapshot.to_string();
        let key = format!("{PREFIX}view-{}-{name}", std::process::id());
        match self.client.view(&self.snapshotter, &key, &name).await {
            Ok(mounted) => {
                self.client.remove_snapshot(&self.snapshotter, &key).await?;
                self.keep(&name).await?;
                let layers = mounted.map(|mounted| mounted.lower).filter(|it| !it.is_empty());
                layers.ok_or_else(|| self.unusable())
            }
            Err(error) if error.is_not_found() => Err(TargetError::no_snapshot(&name)),
            Err(error) => Err(error.into()),
        }
    }

    fn unusable(&self) -> TargetError {
        TargetTrouble::Snapshotter { snapshotter: self.snapshotter.clone() }.into()
    }

    pub(super) async fn image(&self, name: &str) -> Result<HeldImage, TargetError> {
        let Some(image) = self.client.image(name).await? else {
            return Err(TargetError::unknown(name));
        };
        let held = self.complete(image, &mut Vec::new()).await?;
        held.ok_or_else(|| TargetError::incomplete(name))
    }

    pub(super) async fn record(&self, name: &str) -> Result<Option<ImageRecord>, TargetError> {
        let Some(image) = self.client.image(name).await? else { return Ok(None) };
        let (size, media_type) = (image.size, image.media_type.clone());
        let Some(held) = self.complete(image, &mut Vec::new()).await? else { return Ok(None) };
        Ok(held.record(name, size, media_type))
    }

    pub(super) async fn begin(&mut self, pull: &str) -> Result<(), TargetError> {
        let lease = format!("{PREFIX}{pull}");
        self.client.create_lease(&lease).await?;
        self.client.set_lease(Some(lease.clone()));
        self.lease = Some(lease);
        Ok(())
    }

    pub(super) async fn end(&mut self) -> Result<(), TargetError> {
        self.client.set_lease(None);
        if let Some(lease) = self.lease.take() {
            self.client.delete_lease(&lease, false).await?;
        }
        Ok(())
    }

    /// Lets the lease keep a snapshot that somebody else made.
    async fn keep(&self, name: &str) -> Result<(), TargetError> {
        if let Some(lease) = &self.lease {
            self.client.lease_snapshot(lease, &self.snapshotter, name).await?;
        }
        Ok(())
    }

    pub(super) async fn snapshot_exists(&self, name: SnapshotName) -> Result<bool, TargetError> {
        let name = name.to_string();
        // First the lease, then the question: so the answer stays true.
        self.keep(&name).await?;
        let info = self.client.snapshot(&self.snapshotter, &name).await?;
        Ok(info.is_some_and(|info| info.kind == Kind::Committed))
    }

    pub(super) async fn prepare(
        &self,
        key: &str,
        parent: Option<SnapshotName>,
    ) -> Result<PathBuf, TargetError> {
        let parent = parent.map(|parent| parent.to_string()).unwrap_or_default();
        let mounted = match self.client.prepare(&self.snapshotter, key, &parent).await {
            Err(error) if error.is_not_found() => {
                return Err(TargetError::no_snapshot(&parent));
            }
            result => result?,
        };
        // With a parent it must be an overlay: the native snapshotter binds a copy of the parent.
        match mounted {
            Some(mounted) if parent.is_empty() || !mounted.lower.is_empty() => mounted.upper,
            _ => None,
        }
        .ok_or_else(|| self.unusable())
    }

    pub(super) async fn prepared(&self, key: &str) -> Result<Option<PathBuf>, TargetError> {
        let mounted = self.client.mounts(&self.snapshotter, key).await?;
        Ok(mounted.and_then(|mounted| mounted.upper))
    }

    pub(super) async fn commit(&self, key: &str, name: SnapshotName) -> Result<(), TargetError> {
        match self.client.commit(&self.snapshotter, key, &name.to_string()).await {
            Err(error) if error.already_exists() => {
                self.client.remove_snapshot(&self.snapshotter, key).await?;
                if self.snapshot_exists(name).await? {
                    return Ok(());
                }
                Err(TargetError::no_snapshot(&name.to_string()))
            }
            result => Ok(result?),
        }
    }

    pub(super) async fn abort(&self, key: &str) -> Result<(), TargetError> {
        Ok(self.client.remove_snapshot(&self.snapshotter, key).await?)
    }

    pub(super) async fn put_blob(
        &self,
        digest: Digest,
        size: u64,
        path: &Path,
        labels: BlobLabels,
    ) -> Result<(), TargetError> {
        let digest = digest.to_string();
        let (label, refers_to) = match labels {
            BlobLabels::Index { manifest } => {
                let manifest = Digest(manifest).to_string();
                (self.client.manifest_label(&digest, &manifest).await?, manifest)
            }
            BlobLabels::Manifest { config } => {
                ("containerd.io/gc.ref.content.config".to_owned(), Digest(config).to_string())
            }
            BlobLabels::Config { chain_id } => {
                let label = format!("containerd.io/gc.ref.snapshot.{}", self.snapshotter);
                (label, Digest(chain_id).to_string())
            }
        };
        let file = File::open(path)
            .map_err(|source| TargetTrouble::Io { path: path.to_owned(), source })?;
        let labels = BTreeMap::from([(label, refers_to)]);
        Ok(self.client.put_blob(&digest, size, file, labels).await?)
    }

    pub(super) async fn put_image(&self, record: &ImageRecord) -> Result<(), TargetError> {
        Ok(self.client.put_image(&image_target(record)).await?)
    }

    pub(super) async fn keep_image(&self, record: &ImageRecord) -> Result<(), TargetError> {
        if let Some(lease) = &self.lease {
            // Its labels lead to all the rest.
            self.client.lease_content(lease, &record.target.to_string()).await?;
        }
        Ok(())
    }

    pub(super) async fn holds(&self, record: &ImageRecord) -> Result<bool, TargetError> {
        Ok(self.complete(image_target(record), &mut Vec::new()).await?.is_some())
    }

    pub(super) async fn list(&self) -> Result<Vec<ListedImage>, TargetError> {
        let images = self.client.images().await?;
        let listed = |image: ImageTarget| ListedImage { name: image.name, digest: image.digest };
        Ok(images.into_iter().map(listed).collect())
    }

    pub(super) async fn remove(&self, name: &str) -> Result<(), TargetError> {
        if self.client.delete_image(name).await? {
            return Ok(());
        }
        Err(TargetError::unknown(name))
    }

    pub(super) async fn leftovers(&self) -> Result<Vec<String>, TargetError> {
        let unfinished = self.client.unfinished(&self.snapshotter, PREFIX).await?;
        Ok(unfinished.into_iter().map(|info| info.name).collect())
    }

    pub(super) async fn collect(&mut self) -> Result<usize, TargetError> {
        let removed = self.remove_unfinished(PREFIX).await?;
        for lease in self.client.leases(PREFIX).await? {
            // Waits for garbage collection: what was committed and never recorded goes with it.
            self.client.delete_lease(&lease, true).await?;
        }
        Ok(removed)
    }

    pub(super) async fn discard(&mut self, pull: &str) -> Result<(), TargetError> {
        let lease = format!("{PREFIX}{pull}");
        self.remove_unfinished(&format!("{lease}-")).await?;
        // Files of it may have got a name of the next pull: the other one is to be gone when that is done.
        Ok(self.client.delete_lease(&lease, true).await?)
    }

    async fn remove_unfinished(&self, prefix: &str) -> Result<usize, TargetError> {
        let unfinished = self.client.unfinished(&self.snapshotter, prefix).await?;
        for info in &unfinished {
            self.client.remove_snapshot(&self.snapshotter, &info.name).await?;
        }
        Ok(unfinished.len())
    }
}

fn image_target(record: &ImageRecord) -> ImageTarget {
    ImageTarget {
        name: record.name.clone(),
        media_type: record.media_type.clone(),
        digest: record.target.to_string(),
        size: record.size,
    }
}

/// A manifest whose image is complete.
struct Found {
    manifest: Digest,
    chain_id: Digest,
    depth: u16,
}

/// What a document says; nothing if it is not there or not understood. If containerd does not
/// answer, that is an error.
fn understood<T>(read: Result<T, MetadataError>) -> Result<Option<T>, TargetError> {
    match read {
        Ok(said) => Ok(Some(said)),
        Err(MetadataError::Digest) => Ok(None),
        Err(MetadataError::Json(error)) => match io::Error::from(error).downcast::<GrpcError>() {
            Ok(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(None),
        },
    }
}

fn is_index(media_type: &str) -> bool {
    matches!(
        media_type,
        "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json"
    )
}
