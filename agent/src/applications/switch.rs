//! Changes the image records of an application together.
//!
//! The order keeps every image referred to at any time, but for those that are left behind: records of
//! previous images, then those of the current ones, then what neither has goes. (When two
//! deployments are swapped, a lease keeps both.)

use super::{ApplicationError, Deployed, Files, Name, deployed_here};
use crate::state::{Lock, StateDir};
use crate::target::{ImageRecord, Target};

/// Makes these images the application's, all or none. They must be complete on the device, and be kept until
/// the end of the pull. What was current becomes previous, unless nothing has changed.
pub async fn switch(
    name: &Name,
    images: Vec<ImageRecord>,
    state: &StateDir,
    target: &mut Target,
) -> Result<(), ApplicationError> {
    let next = deployed_here(state, name, &target.name())?.followed_by(images);
    switch_to(name, &next, state, target).await
}

/// Finishes the switches that dead deployments to this target had begun.
pub async fn finish(
    state: &StateDir,
    _lock: &Lock,
    target: &mut Target,
) -> Result<(), ApplicationError> {
    let place = target.name();
    for name in Files::all(state)? {
        let Some(next) = Files::of(state, &name).switching()? else { continue };
        if next.place == place {
            change(&name, &next, state, target).await?;
        }
    }
    Ok(())
}

/// Switches to this, whatever was there.
pub(super) async fn switch_to(
    name: &Name,
    next: &Deployed,
    state: &StateDir,
    target: &mut Target,
) -> Result<(), ApplicationError> {
    Files::of(state, name).begin(next)?;
    change(name, next, state, target).await
}

/// Does, or does once more, what was begun.
async fn change(
    name: &Name,
    next: &Deployed,
    state: &StateDir,
    target: &mut Target,
) -> Result<(), ApplicationError> {
    let files = Files::of(state, name);
    let last = files.deployed()?.unwrap_or_default();
    for image in &next.previous {
        target.put_image(&image.as_previous(name.as_str())).await?;
    }
    for image in &next.current {
        target.put_image(image).await?;
    }
    let mut gone: Vec<ImageRecord> = Vec::new();
    for image in &last.previous {
        gone.push(image.as_previous(name.as_str()));
    }
    let others = of_others(name, &next.place, state)?;
    for image in last.current {
        // Another application may have it, and then it is not ours alone.
        if !others.iter().any(|other| other.name == image.name) {
            gone.push(image);
        }
    }
    let kept: Vec<_> = next.previous.iter().map(|i| i.as_previous(name.as_str()).name).collect();
    gone.retain(|image| {
        !kept.contains(&image.name) && !next.current.iter().any(|other| other.name == image.name)
    });
    if !gone.is_empty() {
        // What somebody else has pointed elsewhere meanwhile is not ours any more.
        let listed = target.list().await?;
        let ours = |image: &&ImageRecord| {
            let digest = image.target.to_string();
            listed.iter().any(|there| there.name == image.name && there.digest == digest)
        };
        for image in gone.iter().filter(ours) {
            target.remove(&image.name).await?;
        }
    }
    Ok(files.end()?)
}

/// The images of all other applications at this place.
fn of_others(
    name: &Name,
    place: &str,
    state: &StateDir,
) -> Result<Vec<ImageRecord>, ApplicationError> {
    let mut images = Vec::new();
    for other in Files::all(state)? {
        if other != *name
            && let Some(deployed) = Files::of(state, &other).deployed()?
            && deployed.place == place
        {
            images.extend(deployed.current);
        }
    }
    Ok(images)
}
