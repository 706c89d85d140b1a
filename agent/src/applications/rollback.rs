//! Takes an application back to its previous deployment, without the network. What was current is then
//! the previous one, so that a second rollback goes forward again.

use super::switch::switch_to;
use super::{ApplicationError, Deployed, Name, deployed_here, is_switching};
use crate::state::{Lock, StateDir};
use crate::target::{ImageRecord, Target, TargetError};

/// Rolls an application back; gives its images.
pub async fn rollback(
    name: &Name,
    state: &StateDir,
    _lock: &Lock,
    target: &mut Target,
) -> Result<Vec<ImageRecord>, ApplicationError> {
    let Deployed { place, current, previous } = deployed_here(state, name, &target.name())?;
    if current.is_empty() {
        return Err(ApplicationError::Unknown(name.as_str().to_owned()));
    }
    if previous.is_empty() {
        return Err(ApplicationError::NothingBefore(name.as_str().to_owned()));
    }
    let wanted = [format!("application {} (rollback)", name.as_str())];
    let scratch = state.new_pull(&wanted, &place)?;
    if let Err(error) = target.begin(scratch.id()).await {
        scratch.keep();
        return Err(error.into());
    }
    let next = Deployed { place, current: previous, previous: current };
    let done = swap(name, &next, state, target).await;
    if done.is_err() && is_switching(name, state)? {
        scratch.keep();
        return done.map(|()| Vec::new());
    }
    if let Err(error) = target.end().await {
        scratch.keep();
        done?;
        return Err(error.into());
    }
    done.map(|()| next.current)
}

async fn swap(
    name: &Name,
    next: &Deployed,
    state: &StateDir,
    target: &mut Target,
) -> Result<(), ApplicationError> {
    // First all is kept, then looked at: so it stays as it was seen.
    for image in next.current.iter().chain(&next.previous) {
        target.keep_image(image).await?;
    }
    for image in &next.current {
        if !target.holds(image).await? {
            return Err(TargetError::incomplete(&image.name).into());
        }
    }
    switch_to(name, next, state, target).await
}
