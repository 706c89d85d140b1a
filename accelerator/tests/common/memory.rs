//! A library of images that lie in memory.

use sha2::Digest as _;
use skiff_accelerator::access::Access;
use skiff_accelerator::graph::Graph;
use skiff_accelerator::hot::Item;
use skiff_accelerator::meter::Meter;
use skiff_accelerator::packs::cut::{PackError, ReadContent, ReadError};
use skiff_accelerator::packs::framed::Pack;
use skiff_accelerator::patch::Patch;
use skiff_accelerator::plan::{Blob, Delta, Wanted};
use skiff_accelerator::serve::library::{Known, Library, Planned};
use skiff_accelerator::serve::refusal::Refusal;
use skiff_accelerator::sketch::{Sketched, sketch};
use skiff_accelerator::tree::{Content, FileKind, Metadata, Node, Tree};
use skiff_protocol::Digest;
use skiff_protocol::record::Role;
use skiff_protocol::request::{Codecs, Platform};
use skiff_protocol::response::FailureCode;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    Digest(sha2::Sha256::digest(bytes).into())
}

/// Bytes that compress, but not to nothing.
pub(crate) fn bytes(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let words = std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        u8::try_from(state >> 28).unwrap()
    });
    words.take(len).collect()
}

/// Images in memory; `slow` takes ten seconds.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) images: Mutex<BTreeMap<&'static str, Known<()>>>,
    contents: Arc<HashMap<[u8; 32], Vec<u8>>>,
    pub(crate) packs: Mutex<HashMap<Digest, Pack>>,
    sent: Mutex<Vec<(Delta, Codecs, u64)>>,
    plans: Mutex<HashMap<Digest, Vec<u8>>>,
    pub(crate) applications: Mutex<BTreeMap<&'static str, Vec<String>>>,
    patches: Mutex<HashMap<Digest, Option<Arc<Patch>>>>,
    /// Held images that the registry has no more.
    pub(crate) gone: Mutex<BTreeSet<String>>,
    /// What is hot in whatever is asked for.
    pub(crate) hot: Mutex<Vec<Item>>,
}

pub(crate) type Files = &'static [(&'static str, u32, usize)];

impl Memory {
    pub(crate) fn new(images: &[(&'static str, Files)]) -> Self {
        let mut memory = Self::default();
        let mut contents = HashMap::new();
        for (name, files) in images {
            let mut tree = Tree::default();
            for (inode, (path, seed, len)) in (0..).zip(*files) {
                let content = bytes(*seed, *len);
                let sha256 = sha256(&content).0;
                let size = content.len() as u64;
                contents.insert(sha256, content);
                let kind = FileKind::File(Content { sha256, size, layer: 0, extents: Vec::new() });
                let xattrs = BTreeMap::new();
                let meta =
                    Metadata { mode: 0o644, uid: 0, gid: 0, mtime: -1, mtime_nanos: 5, xattrs };
                tree.nodes.insert(path.as_bytes().to_vec(), Node { meta, kind, inode });
            }
            let manifest = sha256(name.as_bytes());
            let blobs = vec![Blob {
                role: Role::Manifest,
                digest: manifest,
                media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
                bytes: name.as_bytes().to_vec(),
            }];
            let known = Known {
                target: manifest,
                manifest,
                tree: Arc::new(tree),
                tree_digest: manifest,
                blobs,
                ratio: 400,
                image: (),
            };
            memory.images.get_mut().unwrap().insert(name, known);
        }
        memory.contents = Arc::new(contents);
        memory
    }
}

/// Contents, and the layers that may be read.
pub(crate) struct Reader(Arc<HashMap<[u8; 32], Vec<u8>>>, BTreeSet<(usize, u32)>);

impl ReadContent for Reader {
    async fn read(
        &self,
        image: usize,
        content: &Content,
        offset: u64,
        into: &mut [u8],
    ) -> Result<(), ReadError> {
        assert!(self.1.contains(&(image, content.layer)), "a layer that was not asked for");
        let offset = usize::try_from(offset)?;
        into.copy_from_slice(&self.0[&content.sha256][offset..offset + into.len()]);
        Ok(())
    }
}

impl Library for Memory {
    type Image = ();
    type Reader = Reader;

    async fn image(
        &self,
        reference: &str,
        _: &Platform<'_>,
        _: &Meter,
    ) -> Result<Known<()>, Refusal> {
        if reference == "slow" {
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        let missing = || Refusal::new(FailureCode::NotFound, format!("no image {reference}"));
        let (name, digest) = reference.split_once('@').unwrap_or((reference, ""));
        let images = self.images.lock().unwrap();
        let found = match Digest::parse(digest) {
            Some(digest) => images.values().find(|known| known.target == digest),
            None => images.get(name),
        };
        found.cloned().ok_or_else(missing)
    }

    async fn held(
        &self,
        reference: &str,
        manifest: Digest,
        platform: &Platform<'_>,
        meter: &Meter,
    ) -> Result<Known<()>, Refusal> {
        let known = self.image(reference, platform, meter).await?;
        assert_eq!(known.manifest, manifest);
        Ok(known)
    }

    async fn is_in(
        &self,
        access: &Access,
        reference: &str,
        _: Digest,
        _: Digest,
    ) -> Result<bool, Refusal> {
        Ok(access.has_image(reference))
    }

    async fn sketches(&self, manifest: Digest) -> Result<Sketched, Refusal> {
        let images = self.images.lock().unwrap();
        let known = images.values().find(|known| known.manifest == manifest);
        let mut sketched = Sketched::default();
        for node in known.iter().flat_map(|known| known.tree.nodes.values()) {
            if let FileKind::File(content) = &node.kind
                && let Some(sketch) = sketch(&self.contents[&content.sha256])
            {
                sketched.insert(content.sha256, sketch);
            }
        }
        Ok(sketched)
    }

    async fn reader(
        &self,
        _: Vec<()>,
        needed: BTreeSet<(usize, u32)>,
        _: bool,
    ) -> Result<Reader, Refusal> {
        Ok(Reader(self.contents.clone(), needed))
    }

    async fn pack(
        &self,
        key: Digest,
        make: impl Future<Output = Result<Pack, PackError>> + Send,
    ) -> Result<Pack, PackError> {
        if let Some(pack) = self.packs.lock().unwrap().get(&key) {
            return Ok(pack.clone());
        }
        let pack = make.await?;
        self.packs.lock().unwrap().insert(key, pack.clone());
        Ok(pack)
    }

    async fn image_of(&self, reference: &str, _: Digest, _: &Platform<'_>) -> Result<(), Refusal> {
        match self.gone.lock().unwrap().contains(reference) {
            true => Err(Refusal::new(FailureCode::NotFound, "it is gone")),
            false => Ok(()),
        }
    }

    async fn patch(
        &self,
        key: Digest,
        make: impl Future<Output = Result<Option<Patch>, ReadError>> + Send,
    ) -> Result<Option<Arc<Patch>>, ReadError> {
        if let Some(patch) = self.patches.lock().unwrap().get(&key) {
            return Ok(patch.clone());
        }
        let patch = make.await?.map(Arc::new);
        self.patches.lock().unwrap().insert(key, patch.clone());
        Ok(patch)
    }

    fn pack_len(&self, key: Digest) -> Option<u64> {
        self.packs.lock().unwrap().get(&key).map(Pack::encoded_len)
    }

    async fn base(&self, _: Digest) -> Result<Option<Arc<Tree>>, Refusal> {
        Ok(None)
    }

    async fn application(&self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        Ok(self.applications.lock().unwrap().get(name).cloned())
    }

    async fn keep_plan(&self, plan: Planned) -> Result<(), Refusal> {
        self.plans.lock().unwrap().insert(plan.id, plan.inputs);
        Ok(())
    }

    async fn plan(&self, id: Digest) -> Result<Option<Vec<u8>>, Refusal> {
        Ok(self.plans.lock().unwrap().get(&id).cloned())
    }

    async fn hot(
        &self,
        _: Option<&str>,
        _: &str,
        _: &Platform<'_>,
        _: &[Wanted],
        _: &[()],
    ) -> Result<Vec<Item>, Refusal> {
        Ok(self.hot.lock().unwrap().clone())
    }

    async fn measured(&self, delta: &Delta, codecs: Codecs, bytes: u64) -> Result<(), Refusal> {
        self.sent.lock().unwrap().push((delta.clone(), codecs, bytes));
        Ok(())
    }

    async fn sent_bytes(&self, delta: &Delta, codecs: Codecs) -> Result<Option<u64>, Refusal> {
        let sent = self.sent.lock().unwrap();
        let mut sent = sent.iter().rev();
        Ok(sent.find(|(known, by, _)| (known, *by) == (delta, codecs)).map(|(.., bytes)| *bytes))
    }

    async fn graph(&self) -> Result<Graph, Refusal> {
        Ok(Graph { states: Vec::new(), deltas: Vec::new() })
    }
}
