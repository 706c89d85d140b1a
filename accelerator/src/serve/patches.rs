//! The patches of a plan: each is made once for all devices, when the first pack of its content is.
//!
//! ```text
//! content, base ──▶ library (cache) ──▶ or: read both ──▶ make ──▶ cache
//! ```
//!
//! Both contents lie in memory while a patch is made, of large ones a [`Window`] of each, so all that are made at once may take so
//! much ([`MEMORY`]) and no more. An answer does not stand still for that: a pack whose patches are not there after [`PATIENCE`] is sent without. A patch
//! that can't be made (the registry may have the held image no more) or does not pay is none, and the content is sent as it is.

use super::library::Library;
use crate::mapped::Mapped;
use crate::packs::cut::{ReadContent, ReadError};
use crate::patch::{self, Patch, Window};
use crate::plan::contents::{Contents, Needed, Place};
use crate::plan::inputs::Inputs;
use crate::plan::patch_base::PatchBase;
use crate::sha256::Sha256;
use crate::single_flight::SingleFlight;
use crate::tree::Content;
use skiff_protocol::Digest;
use skiff_protocol::request::Platform;
use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};

/// MiB of contents and of what is made of them that may be in memory at once.
const MEMORY: u32 = 1024;

/// How long a pack waits for its patches, unless its length was promised.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes of a content that are read at once: what is on its way from the registry is bounded by that.
const STEP: usize = 8 << 20;

/// Patches of a plan that stay in memory: a pack or two more are made of each.
const KEPT: usize = 4;

/// What bounds the making of patches.
#[derive(Debug, Clone)]
pub struct Workshop {
    /// MiB of memory that it may take.
    memory: Arc<Semaphore>,
    /// Patches that are made at once. Encoders of packs do not wait for them.
    makers: Arc<Semaphore>,
    processors: usize,
}

impl Workshop {
    /// For so many processors.
    pub fn new(processors: usize) -> Self {
        Self {
            memory: Arc::new(Semaphore::new(MEMORY as usize)),
            makers: Arc::new(Semaphore::new(processors)),
            processors,
        }
    }

    /// Whether no patch is being made.
    pub(super) fn is_idle(&self) -> bool {
        self.makers.available_permits() == self.processors
    }
}

/// A content's number, and where the part of it begins that a patch makes.
type Part = (u32, u64);

/// The patches of a plan.
pub(crate) struct Patches<L: Library> {
    library: Arc<L>,
    workshop: Workshop,
    making: SingleFlight<Part>,
    contents: Arc<Contents>,
    wanted: Arc<L::Reader>,
    /// Operating system, architecture, variant.
    platform: [String; 3],
    /// The held images that patches refer to: index, reference, manifest.
    held: Vec<(u16, String, Digest)>,
    /// Whether there may be a patch at all.
    are_some: bool,
    /// Reads what is held; nothing if that can't be read.
    old: OnceCell<Option<L::Reader>>,
    kept: Mutex<VecDeque<(Part, Option<Arc<Patch>>)>>,
}

impl<L: Library> Patches<L> {
    /// The patches of a plan with these inputs.
    pub(crate) fn new(
        library: &Arc<L>,
        workshop: &Workshop,
        inputs: &Inputs,
        contents: Arc<Contents>,
        wanted: Arc<L::Reader>,
    ) -> Self {
        let images: BTreeSet<u16> = held_bases(&contents).map(|(place, _)| place.image).collect();
        let are_some = contents.iter().any(|(_, needed)| needed.base.is_some());
        let held = images.into_iter().filter_map(|image| {
            let held = inputs.held.get(usize::from(image))?;
            Some((image, held.reference.clone(), held.manifest))
        });
        let held = held.collect();
        Self {
            library: Arc::clone(library),
            workshop: workshop.clone(),
            making: SingleFlight::default(),
            contents,
            wanted,
            platform: inputs.platform.clone(),
            held,
            are_some,
            old: OnceCell::new(),
            kept: Mutex::default(),
        }
    }

    /// Whether there are none.
    pub(crate) fn are_none(&self) -> bool {
        !self.are_some
    }

    /// The held images that patches refer to, by index.
    pub(crate) fn images(&self) -> impl Iterator<Item = u16> {
        self.held.iter().map(|(image, ..)| *image)
    }

    /// Where an image stands among them.
    fn place(&self, place: &Place) -> Option<usize> {
        self.images().position(|image| image == place.image)
    }

    /// The patches of these parts of contents, each if there is one; none where there is no content. If they can't be had so soon,
    /// nothing: they are made all the same, for those who come later.
    pub(crate) async fn of(
        self: &Arc<Self>,
        parts: Vec<Option<(u32, Window)>>,
        patience: Option<Duration>,
    ) -> Option<Vec<Option<Arc<Patch>>>> {
        let patches = Arc::clone(self);
        let making = tokio::spawn(async move {
            let mut found = Vec::new();
            for part in parts {
                found.push(match part {
                    Some((content, window)) => patches.get(content, window).await,
                    None => None,
                });
            }
            found
        });
        match patience {
            // Who panicked has made none.
            None => Some(making.await.unwrap_or_default()),
            Some(patience) => tokio::time::timeout(patience, making).await.ok()?.ok(),
        }
    }

    /// Makes all that there can be, one after the other; how many there are.
    pub(crate) async fn make_all(self: &Arc<Self>) -> usize {
        let mut made = 0;
        for (number, needed) in self.contents.iter() {
            let Some(base) = self.contents.base_of(needed) else { continue };
            for window in Window::all(base.size, needed.content.size) {
                let patches = self.of(vec![Some((number, window))], None).await;
                made += patches.iter().flatten().flatten().count();
            }
        }
        made
    }

    /// The patch for this part of the content with this number, if there is one.
    async fn get(&self, number: u32, window: Window) -> Option<Arc<Patch>> {
        let needed = self.contents.get(number)?;
        let base = self.contents.base_of(needed)?;
        let part = (number, window.target.start);
        let _turn = self.making.enter(part).await;
        if let Some(kept) = self.kept(part) {
            return kept;
        }
        let made = self.library.patch(key(base, &needed.content, &window), async {
            let len = |range: &Range<u64>| range.end - range.start;
            let bytes = patch::memory(len(&window.base), len(&window.target));
            let mib = u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(MEMORY).min(MEMORY);
            let permit = Arc::clone(&self.workshop.memory).acquire_many_owned(mib).await?;
            let from = self.read_base(needed, window.base).await?;
            let to = read(&*self.wanted, needed.image, &needed.content, window.target).await?;
            let maker = Arc::clone(&self.workshop.makers).acquire_owned().await?;
            let make = move || {
                let _permits = (permit, maker);
                patch::make(&from, &to)
            };
            Ok(tokio::task::spawn_blocking(make).await?)
        });
        let patch = match made.await {
            Ok(patch) => patch,
            Err(error) => {
                let (content, base) = (Digest(needed.content.sha256), Digest(base.sha256));
                tracing::warn!(%content, %base, "no patch, the content is sent as it is: {error}");
                None
            }
        };
        self.keep(part, patch.clone());
        patch
    }

    async fn read_base(&self, needed: &Needed, bytes: Range<u64>) -> Result<Mapped, ReadError> {
        match &needed.base {
            Some(PatchBase::Held { place, content }) => {
                let old = self.old.get_or_init(|| self.open_held()).await.as_ref();
                let old = old.ok_or("the held image can't be read")?;
                let place = self.place(place).ok_or("the held image is not known")?;
                read(old, place, content, bytes).await
            }
            Some(PatchBase::Earlier(number)) => {
                let earlier = self.contents.get(*number).ok_or("there is no such content")?;
                read(&*self.wanted, earlier.image, &earlier.content, bytes).await
            }
            None => Err("there is no base".into()),
        }
    }

    fn kept(&self, part: Part) -> Option<Option<Arc<Patch>>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(of, _)| *of == part).map(|(_, patch)| patch.clone())
    }

    fn keep(&self, part: Part, patch: Option<Arc<Patch>>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back((part, patch));
        while kept.len() > KEPT {
            kept.pop_front();
        }
    }

    async fn open_held(&self) -> Option<L::Reader> {
        let needed = held_bases(&self.contents)
            .filter_map(|(place, content)| Some((self.place(place)?, content.layer)));
        let needed = needed.collect();
        let [os, architecture, variant] = &self.platform;
        let platform = Platform { os, architecture, variant };
        let mut images = Vec::new();
        for (_, reference, manifest) in &self.held {
            let image = self.library.image_of(reference, *manifest, &platform).await;
            let said = |error: &_| tracing::warn!(held = reference, "no patches: {error}");
            images.push(image.inspect_err(said).ok()?);
        }
        let opened = self.library.reader(images, needed, false).await;
        opened.inspect_err(|error| tracing::warn!("no patches: {error}")).ok()
    }
}

impl<L: Library> std::fmt::Debug for Patches<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patches").field("held", &self.held).finish_non_exhaustive()
    }
}

/// The files of held images that are bases.
fn held_bases(contents: &Contents) -> impl Iterator<Item = (&Place, &Content)> {
    contents.iter().filter_map(|(_, needed)| match needed.base.as_ref()? {
        PatchBase::Held { place, content } => Some((place, content)),
        PatchBase::Earlier(_) => None,
    })
}

/// A name for the patch in the cache.
fn key(base: &Content, target: &Content, window: &Window) -> Digest {
    let mut hash = Sha256::new();
    hash.update(b"skiff patch ");
    hash.update(patch::MAKER.to_le_bytes());
    hash.update(base.sha256);
    hash.update(target.sha256);
    hash.update(window.target.start.to_le_bytes());
    hash.finish()
}

async fn read(
    reader: &impl ReadContent,
    image: usize,
    content: &Content,
    range: Range<u64>,
) -> Result<Mapped, ReadError> {
    let mut bytes = Mapped::zeroed(usize::try_from(range.end - range.start)?)?;
    let mut at = range.start;
    for step in bytes.chunks_mut(STEP) {
        reader.read(image, content, at, step).await?;
        at += step.len() as u64;
    }
    Ok(bytes)
}
