//! What answers share: a plan and its packs are prepared once for all devices that ask for the same
//! while somebody is still being answered.

use super::Service;
use super::answer::Ended;
use super::images::Images;
use super::library::{Library, Planned};
use super::patches::Patches;
use super::refusal::Refusal;
use crate::packs::cut::Cutter;
use crate::packs::encoding::Encoding;
use crate::plan::contents::Needed;
use crate::plan::inputs::{Inputs, Terms};
use crate::plan::patch_base::PatchBase;
use crate::plan::space::Space;
use crate::plan::{Delta, Held, Plan, PlanError, Wanted};
use crate::sha256::sha256;
use crate::single_flight::SingleFlight;
use crate::sketch::Sketched;
use skiff_protocol::Digest;
use skiff_protocol::Ranges;
use skiff_protocol::record::Parent;
use skiff_protocol::response::FailureCode;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A plan, and its packs.
pub(crate) struct Prepared<L: Library> {
    /// The plan, without what was kept of it and without its space, which the packs have.
    pub(crate) plan: Plan,
    /// What it was made from.
    pub(crate) inputs: Inputs,
    /// The digests of the wanted images' trees.
    pub(crate) trees: Vec<Digest>,
    /// Encoded bytes for a thousand content bytes, for estimates.
    pub(crate) ratio: u64,
    /// Its only delta, if what is sent is what that delta takes.
    pub(crate) alone: Option<Delta>,
    /// The content space of its packs.
    space: Arc<Space>,
    /// What packs may be in place of contents, if the device knows patches and there may be some.
    pub(crate) patches: Option<Arc<Patches<L>>>,
    images: Vec<L::Image>,
    /// What the packs are read through, and the layers that it can read.
    reader: Arc<L::Reader>,
    layers: BTreeSet<(usize, u32)>,
}

/// Plans of devices that hydrate that stay in memory when nobody is being answered: a program that waits for a
/// file should not wait for its plan, too.
const KEPT: usize = 4;

/// What is prepared for answers that are under way.
pub(crate) struct Preparations<L: Library> {
    making: SingleFlight<Digest>,
    made: Mutex<Made<L>>,
}

/// By a digest of the inputs, which is known before the plan's ID.
struct Made<L: Library> {
    all: HashMap<Digest, Weak<Prepared<L>>>,
    /// The one that was used last stands last.
    kept: VecDeque<Arc<Prepared<L>>>,
}

impl<L: Library> Default for Preparations<L> {
    fn default() -> Self {
        let made = Made { all: HashMap::new(), kept: VecDeque::new() };
        Self { making: SingleFlight::default(), made: Mutex::new(made) }
    }
}

impl<L: Library> std::fmt::Debug for Preparations<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Preparations").field("made", &self.made().all.len()).finish_non_exhaustive()
    }
}

impl<L: Library> Preparations<L> {
    fn made(&self) -> MutexGuard<'_, Made<L>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plan with this ID, if it is in memory.
    pub(crate) fn with_id(&self, plan: Digest) -> Option<Arc<Prepared<L>>> {
        let mut made = self.made();
        let mut all = made.all.values().filter_map(Weak::upgrade);
        let found = all.find(|prepared| prepared.plan.id == plan)?;
        drop(all);
        made.keep(&found);
        Some(found)
    }

    /// What these images need, from another answer or by planning.
    pub(crate) async fn get(
        &self,
        service: &Service<L>,
        images: Images<L::Image>,
    ) -> Result<Arc<Prepared<L>>, Ended> {
        let inputs = images.inputs.encode();
        let key = sha256(&inputs);
        let _turn = self.making.enter(key).await;
        let found = self.made().all.get(&key).and_then(Weak::upgrade);
        let prepared = match found {
            Some(prepared) => prepared,
            None => Arc::new(prepare(service, images, inputs).await?),
        };
        let mut made = self.made();
        made.all.retain(|_, prepared| prepared.strong_count() > 0);
        made.all.insert(key, Arc::downgrade(&prepared));
        made.keep(&prepared);
        Ok(prepared)
    }
}

impl<L: Library> Made<L> {
    /// Keeps the plan in memory for a while, if it is one of a device that hydrates.
    fn keep(&mut self, prepared: &Arc<Prepared<L>>) {
        if prepared.inputs.terms.cold.is_none() {
            return;
        }
        self.kept.retain(|other| !Arc::ptr_eq(other, prepared));
        self.kept.push_back(Arc::clone(prepared));
        while self.kept.len() > KEPT {
            self.kept.pop_front();
        }
    }
}

async fn prepare<L: Library>(
    service: &Service<L>,
    images: Images<L::Image>,
    encoded: Vec<u8>,
) -> Result<Prepared<L>, Ended> {
    let Images { inputs, wanted, held, images, ratio } = images;
    let names = wanted.iter().map(|want| (want.reference.clone(), want.tree_digest)).collect();
    let trees = wanted.iter().map(|want| want.tree_digest).collect();
    let terms = inputs.terms.clone();
    let mut plan = plan(&*service.library, wanted, held, terms).await?;
    let (bases, deltas) = (mem::take(&mut plan.bases), mem::take(&mut plan.deltas));
    let alone = sent_alone(&plan, &deltas);
    let planned = Planned { id: plan.id, inputs: encoded, bases, deltas, names };
    service.library.keep_plan(planned).await?;
    let sent = plan.contents.iter().filter(|(_, needed)| needed.held.is_none());
    let layers: BTreeSet<_> =
        sent.map(|(_, needed)| (needed.image, needed.content.layer)).collect();
    let is_earlier = |needed: &Needed| matches!(needed.base, Some(PatchBase::Earlier(_)));
    let again = plan.contents.iter().any(|(_, needed)| is_earlier(needed));
    let reader = service.library.reader(images.clone(), layers.clone(), again).await?;
    let reader = Arc::new(reader);
    let space = mem::take(&mut plan.space);
    let space = Arc::new(space);
    let (library, workshop) = (&service.library, &service.workshop);
    let contents = Arc::clone(&plan.contents);
    let patches = Patches::new(library, workshop, &inputs, contents, Arc::clone(&reader));
    let patches = (!patches.are_none()).then(|| Arc::new(patches));
    Ok(Prepared { plan, inputs, trees, ratio, alone, space, patches, images, reader, layers })
}

impl<L: Library> Prepared<L> {
    /// All packs.
    pub(crate) fn packs(&self, encoding: Encoding) -> Cutter<L::Reader> {
        let (contents, space) = (Arc::clone(&self.plan.contents), Arc::clone(&self.space));
        Cutter::new(contents, space, Arc::clone(&self.reader), encoding)
    }

    /// Packs of these contents alone, whether the plan sends them or has the device copy them.
    pub(crate) async fn repair(
        &self,
        service: &Service<L>,
        contents: &Ranges,
        encoding: Encoding,
    ) -> Result<Cutter<L::Reader>, Refusal> {
        let chosen = self.plan.contents.iter().filter(|(number, _)| contents.contains(*number));
        self.cutter_of(service, chosen, encoding).await
    }

    /// Packs of the contents with these digests, 32 bytes each, in this order.
    pub(crate) async fn contents(
        &self,
        service: &Service<L>,
        digests: &[u8],
        encoding: Encoding,
    ) -> Result<Cutter<L::Reader>, Refusal> {
        let mut chosen = Vec::new();
        for digest in digests.as_chunks::<32>().0 {
            let contents = &self.plan.contents;
            let found =
                contents.number(digest).and_then(|number| Some((number, contents.get(number)?)));
            chosen.push(found.ok_or_else(|| {
                let text = format!("no wanted image has the content {}", Digest(*digest));
                Refusal::new(FailureCode::BadRequest, text)
            })?);
        }
        self.cutter_of(service, chosen.into_iter(), encoding).await
    }

    async fn cutter_of<'a>(
        &self,
        service: &Service<L>,
        chosen: impl Iterator<Item = (u32, &'a Needed)> + Clone,
        encoding: Encoding,
    ) -> Result<Cutter<L::Reader>, Refusal> {
        let needed: BTreeSet<_> =
            chosen.clone().map(|(_, needed)| (needed.image, needed.content.layer)).collect();
        let space = Space::new(chosen.map(|(number, needed)| (number, needed.content.size)));
        // What the plan's packs are read through will do, if it can: to open layers takes time.
        let reader = match needed.is_subset(&self.layers) {
            true => Arc::clone(&self.reader),
            false => Arc::new(service.library.reader(self.images.clone(), needed, false).await?),
        };
        Ok(Cutter::new(Arc::clone(&self.plan.contents), Arc::new(space), reader, encoding))
    }
}

/// A plan, with the bases of its contents.
pub(crate) async fn plan<L: Library>(
    library: &L,
    wanted: Vec<Wanted>,
    held: Vec<Held>,
    terms: Terms,
) -> Result<Plan, Refusal> {
    let readable = held.iter().filter(|held| !held.is_base && held.tree.is_some());
    let manifests = wanted.iter().map(|want| want.manifest);
    let manifests: BTreeSet<Digest> = manifests.chain(readable.map(|held| held.manifest)).collect();
    let mut sketched = Sketched::default();
    for manifest in manifests {
        sketched.append(library.sketches(manifest).await?);
    }
    let making = tokio::task::spawn_blocking(move || {
        let mut plan = Plan::make(&wanted, &held, &terms)?;
        match terms.held_are_cold {
            true => plan.find_bases_within(&sketched),
            false => plan.find_bases(&held, &sketched),
        }
        Ok::<_, PlanError>(plan)
    });
    let plan = making.await.map_err(|error| Refusal::internal(&error))?;
    plan.map_err(|error| Refusal::plan(&error))
}

/// The plan's only delta, if all that it needs is sent or lies in what it is put on: then what is sent
/// is what the delta takes.
fn sent_alone(plan: &Plan, deltas: &[Delta]) -> Option<Delta> {
    let [delta] = deltas else { return None };
    let parent = match plan.parents.first() {
        Some(Parent::Held(index)) => Some(*index),
        _ => None,
    };
    let mut places = plan.contents.iter().filter_map(|(_, needed)| needed.held.as_ref());
    places.all(|place| Some(place.image) == parent).then(|| delta.clone())
}
