//! What the service needs of the rest of the accelerator: images by name and by digest, their
//! contents, a cache of packs, and a place for plans.

use super::refusal::Refusal;
use crate::access::Access;
use crate::graph::Graph;
use crate::hot::Item;
use crate::meter::Meter;
use crate::packs::cut::{PackError, ReadContent, ReadError};
use crate::packs::framed::Pack;
use crate::patch::Patch;
use crate::plan::{Blob, Delta, Wanted};
use crate::sketch::Sketched;
use crate::tree::Tree;
use skiff_protocol::Digest;
use skiff_protocol::request::{Codecs, Platform};
use std::collections::BTreeSet;
use std::sync::Arc;

/// An image that has been ingested.
#[derive(Debug, Clone)]
pub struct Known<I> {
    /// What the device's image record points to: the index or, where there is none, the manifest.
    pub target: Digest,
    /// The manifest.
    pub manifest: Digest,
    /// Its merged tree.
    pub tree: Arc<Tree>,
    /// The tree's digest.
    pub tree_digest: Digest,
    /// The index (where there is one), manifest and config.
    pub blobs: Vec<Blob>,
    /// Encoded bytes for a thousand content bytes in the layers as the registry has them, for
    /// estimates.
    pub ratio: u64,
    /// What [`Library::reader`] needs to find the image's contents.
    pub image: I,
}

/// What is kept of a plan.
#[derive(Debug)]
pub struct Planned {
    /// Its ID.
    pub id: Digest,
    /// Its inputs, encoded ([`crate::plan::inputs`]).
    pub inputs: Vec<u8>,
    /// The trees of its base layers.
    pub bases: Vec<(Digest, Tree)>,
    /// Its layers, as arrows of the graph.
    pub deltas: Vec<Delta>,
    /// The wanted images' references, and the digests of their trees.
    pub names: Vec<(String, Digest)>,
}

/// What the service is made on.
pub trait Library: Send + Sync + 'static {
    /// An image as the library has it.
    type Image: Clone + Send + Sync + 'static;
    /// What reads contents.
    type Reader: ReadContent;

    /// The image that a reference names now.
    fn image(
        &self,
        reference: &str,
        platform: &Platform<'_>,
        meter: &Meter,
    ) -> impl Future<Output = Result<Known<Self::Image>, Refusal>> + Send;

    /// The image with this manifest, from the reference's repository.
    fn held(
        &self,
        reference: &str,
        manifest: Digest,
        platform: &Platform<'_>,
        meter: &Meter,
    ) -> impl Future<Output = Result<Known<Self::Image>, Refusal>> + Send;

    /// The image with this manifest, from the reference's repository, to be read.
    fn image_of(
        &self,
        reference: &str,
        manifest: Digest,
        platform: &Platform<'_>,
    ) -> impl Future<Output = Result<Self::Image, Refusal>> + Send;

    /// Whether somebody with this access could have the image with this manifest and tree from some repository, to
    /// begin with that of the reference. Who holds an image may name any repository, and whatever is known by its manifest is found.
    fn is_in(
        &self,
        access: &Access,
        reference: &str,
        manifest: Digest,
        tree: Digest,
    ) -> impl Future<Output = Result<bool, Refusal>> + Send;

    /// The tree of a base layer that was planned before.
    fn base(
        &self,
        digest: Digest,
    ) -> impl Future<Output = Result<Option<Arc<Tree>>, Refusal>> + Send;

    /// The images of an application, by reference.
    fn application(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Option<Vec<String>>, Refusal>> + Send;

    /// What the contents of the image with this manifest resemble, as far as that is known.
    fn sketches(&self, manifest: Digest) -> impl Future<Output = Result<Sketched, Refusal>> + Send;

    /// A reader of the contents of these images, which it calls by their index, as far as they lie
    /// in the layers that are needed: pairs of an image's index and a layer's. Contents may be read
    /// `again` when much else was read since.
    fn reader(
        &self,
        images: Vec<Self::Image>,
        needed: BTreeSet<(usize, u32)>,
        again: bool,
    ) -> impl Future<Output = Result<Self::Reader, Refusal>> + Send;

    /// The pack with this key, from the cache or else from `make`.
    fn pack(
        &self,
        key: Digest,
        make: impl Future<Output = Result<Pack, PackError>> + Send,
    ) -> impl Future<Output = Result<Pack, PackError>> + Send;

    /// The patch with this key, from the cache or else from `make`; nothing if that says that none pays.
    fn patch(
        &self,
        key: Digest,
        make: impl Future<Output = Result<Option<Patch>, ReadError>> + Send,
    ) -> impl Future<Output = Result<Option<Arc<Patch>>, ReadError>> + Send;

    /// Encoded bytes of the pack with this key, if it is cached.
    fn pack_len(&self, key: Digest) -> Option<u64>;

    /// Keeps what was planned, before anything of it is sent.
    fn keep_plan(&self, plan: Planned) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// The inputs of a plan that was kept, encoded.
    fn plan(&self, id: Digest) -> impl Future<Output = Result<Option<Vec<u8>>, Refusal>> + Send;

    /// What programs of these images use while they start, by what is known of the application and of devices of
    /// the class: files that are in the images' trees, each once.
    fn hot(
        &self,
        application: Option<&str>,
        class: &str,
        platform: &Platform<'_>,
        wanted: &[Wanted],
        images: &[Self::Image],
    ) -> impl Future<Output = Result<Vec<Item>, Refusal>> + Send;

    /// Remembers how many bytes a delta took on the wire, in packs of these codecs.
    fn measured(
        &self,
        delta: &Delta,
        codecs: Codecs,
        bytes: u64,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// How many bytes a delta took on the wire, in packs of these codecs, if that was measured.
    fn sent_bytes(
        &self,
        delta: &Delta,
        codecs: Codecs,
    ) -> impl Future<Output = Result<Option<u64>, Refusal>> + Send;

    /// The graph of states and deltas.
    fn graph(&self) -> impl Future<Output = Result<Graph, Refusal>> + Send;
}
