//! What answers share: a plan and its packs are prepared once for all devices that ask for the same
//! while somebody is still being answered.

use super::Service;
use super::answer::{Ended, Images};
use super::library::{Library, Planned};
use super::refusal::Refusal;
use crate::packs::cut::Cutter;
use crate::plan::space::Space;
use crate::plan::{Delta, Plan};
use crate::single_flight::SingleFlight;
use sha2::{Digest as _, Sha256};
use skiff_protocol::Digest;
use skiff_protocol::Ranges;
use skiff_protocol::record::Parent;
use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A plan, and its packs.
pub(crate) struct Prepared<L: Library> {
    /// The plan, without what was kept of it and without its space, which the packs have.
    pub(crate) plan: Plan,
    /// Its only delta, if what is sent is what that delta takes.
    pub(crate) alone: Option<Delta>,
    /// Its packs.
    pub(crate) cutter: Arc<Cutter<L::Reader>>,
    images: Vec<L::Image>,
}

/// What is prepared for answers that are under way.
pub(crate) struct Preparations<L: Library> {
    making: SingleFlight<Digest>,
    made: Mutex<HashMap<Digest, Weak<Prepared<L>>>>,
}

impl<L: Library> Default for Preparations<L> {
    fn default() -> Self {
        Self { making: SingleFlight::default(), made: Mutex::default() }
    }
}

impl<L: Library> std::fmt::Debug for Preparations<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Preparations").field("made", &self.made().len()).finish_non_exhaustive()
    }
}

impl<L: Library> Preparations<L> {
    fn made(&self) -> MutexGuard<'_, HashMap<Digest, Weak<Prepared<L>>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What these images need, from another answer or by planning.
    pub(crate) async fn get(
        &self,
        service: &Service<L>,
        images: Images<L::Image>,
        with_bases: bool,
    ) -> Result<Arc<Prepared<L>>, Ended> {
        let inputs = images.inputs();
        let mut key = Sha256::new();
        key.update([u8::from(with_bases)]);
        key.update(&inputs);
        let key = Digest(key.finalize().into());
        let _turn = self.making.enter(key).await;
        if let Some(prepared) = self.made().get(&key).and_then(Weak::upgrade) {
            return Ok(prepared);
        }
        let prepared = Arc::new(prepare(service, images, inputs, with_bases).await?);
        let mut made = self.made();
        made.retain(|_, prepared| prepared.strong_count() > 0);
        made.insert(key, Arc::downgrade(&prepared));
        Ok(prepared)
    }
}

async fn prepare<L: Library>(
    service: &Service<L>,
    images: Images<L::Image>,
    inputs: Vec<u8>,
    with_bases: bool,
) -> Result<Prepared<L>, Ended> {
    let names =
        images.wanted.iter().map(|want| (want.reference.clone(), want.tree_digest)).collect();
    let Images { wanted, held, images, .. } = images;
    let making = tokio::task::spawn_blocking(move || Plan::make(&wanted, &held, with_bases));
    let mut plan = making
        .await
        .map_err(|error| Refusal::internal(&error))?
        .map_err(|error| Refusal::plan(&error))?;
    let (bases, deltas) = (mem::take(&mut plan.bases), mem::take(&mut plan.deltas));
    let alone = sent_alone(&plan, &deltas);
    let planned = Planned { id: plan.id, inputs, bases, deltas, names };
    service.library.keep_plan(planned).await?;
    let sent = plan.contents.iter().filter(|(_, needed)| needed.held.is_none());
    let needed = sent.map(|(_, needed)| (needed.image, needed.content.layer)).collect();
    let reader = service.library.reader(images.clone(), needed).await?;
    let space = mem::take(&mut plan.space);
    let cutter = Cutter::new(Arc::clone(&plan.contents), space, reader, service.level);
    Ok(Prepared { plan, alone, cutter: Arc::new(cutter), images })
}

impl<L: Library> Prepared<L> {
    /// Packs of these contents alone, which the plan has the device copy.
    pub(crate) async fn repair(
        &self,
        service: &Service<L>,
        contents: &Ranges,
    ) -> Result<Cutter<L::Reader>, Refusal> {
        let chosen = self.plan.contents.iter().filter(|(number, _)| contents.contains(*number));
        let needed: BTreeSet<_> =
            chosen.clone().map(|(_, needed)| (needed.image, needed.content.layer)).collect();
        let space = Space::new(chosen.map(|(number, needed)| (number, needed.content.size)));
        let reader = service.library.reader(self.images.clone(), needed).await?;
        Ok(Cutter::new(Arc::clone(&self.plan.contents), space, reader, service.level))
    }
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
