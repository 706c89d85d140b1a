//! Updates of single images: what an image's name pointed to before stays, and can be gone back to.
//!
//! When a pull moves a name from one image to another, the old one gets a record of its own
//! (`skiff.previous//REFERENCE`), which keeps it from garbage collection, until the next update of the
//! same name. It costs little: an update is a layer on the old image, whose files are needed anyway.
//! Applications have a state of their own for that (`applications`), since all of their images
//! go back together.
//!
//! A rollback swaps the two records: first the image's, then the other. A skiff that dies in between has gone
//! back; what was current is then kept by the dead one's lease only, and goes when that is removed.

use crate::state::{Lock, StateDir, StateError};
use crate::target::{
    ImageRecord, Target, TargetError, TargetTrouble, is_previous, previous, reference,
};
use thiserror::Error;

/// An image that can't be taken back.
#[derive(Debug, Error)]
pub enum RollbackError {
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The target, or there is nothing to go back to.
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// Makes an image record. What its name pointed to before is kept.
pub async fn put(record: &ImageRecord, target: &Target) -> Result<(), TargetError> {
    let before = target.record(&record.name).await?;
    if let Some(before) = before.filter(|before| before.target != record.target) {
        target.put_image(&before.as_previous("")).await?;
    }
    target.put_image(record).await
}

/// Takes an image back to what its name pointed to before; gives the record. What was current is then
/// the previous one, so that a second rollback goes forward again.
pub async fn rollback(
    name: &str,
    state: &StateDir,
    _lock: &Lock,
    target: &mut Target,
) -> Result<ImageRecord, RollbackError> {
    let scratch = state.new_pull(&[format!("{name} (rollback)")], &target.name())?;
    if let Err(error) = target.begin(scratch.id()).await {
        scratch.keep();
        return Err(error.into());
    }
    let done = swap(name, target).await;
    if let Err(error) = target.end().await {
        scratch.keep();
        done?;
        return Err(error.into());
    }
    Ok(done?)
}

async fn swap(name: &str, target: &Target) -> Result<ImageRecord, TargetError> {
    let Some(current) = target.record(name).await? else {
        return Err(TargetError::unknown(name));
    };
    let Some(before) = target.record(&previous("", name)).await? else {
        return Err(TargetError::nothing_before(name));
    };
    if before.target == current.target {
        return Err(TargetError::nothing_before(name));
    }
    let next = ImageRecord { name: name.to_owned(), ..before };
    // First both are kept, then looked at: so they stay as they were seen.
    for record in [&current, &next] {
        target.keep_image(record).await?;
        if !target.holds(record).await? {
            return Err(TargetError::incomplete(&next.name));
        }
    }
    target.put_image(&next).await?;
    target.put_image(&current.as_previous("")).await?;
    Ok(next)
}

/// Removes an image, and what its name pointed to before.
pub async fn remove(name: &str, target: &mut Target) -> Result<(), TargetError> {
    let had_previous = match target.remove(&previous("", name)).await {
        Err(error) if is_unknown(&error) => false,
        done => done.map(|()| true)?,
    };
    match target.remove(name).await {
        // Somebody else has removed the image alone.
        Err(error) if had_previous && is_unknown(&error) => Ok(()),
        done => done,
    }
}

fn is_unknown(error: &TargetError) -> bool {
    matches!(error.trouble(), TargetTrouble::UnknownImage { .. })
}

/// Removes what images' names pointed to before, where the names are no more; gives how many.
pub async fn collect(target: &mut Target) -> Result<usize, TargetError> {
    let listed = target.list().await?;
    let mut removed = 0;
    for image in listed.iter().filter(|image| is_previous(&image.name)) {
        let reference = reference(&image.name);
        let is_alone = image.name == previous("", reference);
        if is_alone && !listed.iter().any(|other| other.name == reference) {
            target.remove(&image.name).await?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests;
