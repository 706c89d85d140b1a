//! Applications: named sets of images that are deployed together, and taken back together.
//!
//! ```text
//! STATE/applications/NAME/
//!   deployed     what is deployed, and what was before it
//!   switching    the same as it is to be, while image records are being changed
//! ```
//!
//! Both are lines of text: `place` and the target's name, then `current` and the records of its images, then
//! `previous` and the records of those before them. The images of `previous` are kept from garbage
//! collection by ordinary image records of their own (`skiff.previous/NAME/REFERENCE`).
//!
//! When everything of a deployment is on the device, several image records change, and nothing makes
//! that one step. So first `switching` is written and synced; then the records are changed; then
//! `switching` is renamed to `deployed`. A skiff that dies in between leaves `switching`, and the next
//! one that takes the lock does the same changes once more: a switch that was begun is always finished
//! and never undone. That needs no network, since all blobs and snapshots are there, and the dead
//! one's lease, which is removed later, keeps them.

mod rollback;
mod switch;

pub use rollback::rollback;
pub use switch::{finish, switch};

use crate::state::{StateDir, StateError};
use crate::sync;
use crate::target::{ImageRecord, TargetError};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Longest name of an application.
const MAX_NAME: usize = 64;

/// An application's name: at most 64 letters, digits, `.`, `_` and `-`, of which the first is a letter
/// or a digit. It is a file name here and a part of image records' names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl TryFrom<String> for Name {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not an application's name")
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl Name {
    /// Nothing if the text is not allowed as a name.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let good = begins && text.len() <= MAX_NAME && text.bytes().all(allowed);
        good.then(|| Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Something that can't be done with an application.
#[derive(Debug, Error)]
pub enum ApplicationError {
    /// It was never deployed here.
    #[error("there is no application {0} here; `skiff deploy {0}` brings it")]
    Unknown(String),
    /// It was deployed once only.
    #[error("nothing was deployed before what {0} is now, so there is nothing to go back to")]
    NothingBefore(String),
    /// It is deployed to another target.
    #[error(
        "the application {name} is deployed to {place}; choose that, or another --state, or remove {}",
        path.display()
    )]
    Elsewhere {
        /// Its name.
        name: String,
        /// Where it is deployed to.
        place: String,
        /// What says so.
        path: PathBuf,
    },
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The target.
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// What is deployed of an application. Images are in the order of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deployed {
    /// The target's name.
    pub place: String,
    /// The images.
    pub current: Vec<ImageRecord>,
    /// The images of the deployment before.
    pub previous: Vec<ImageRecord>,
}

impl Deployed {
    /// What is deployed after these images are: the current ones become the previous ones, unless
    /// they are the same.
    fn followed_by(self, mut images: Vec<ImageRecord>) -> Self {
        images.sort_by(|a, b| a.name.cmp(&b.name));
        let same = |(a, b): (&ImageRecord, &ImageRecord)| a.name == b.name && a.target == b.target;
        let changed =
            images.len() != self.current.len() || !images.iter().zip(&self.current).all(same);
        let previous = if changed { self.current } else { self.previous };
        Self { place: self.place, current: images, previous }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().peekable();
        let place = lines.next()?.strip_prefix("place ")?.to_owned();
        let mut lists = [Vec::new(), Vec::new()];
        for (word, list) in ["current", "previous"].into_iter().zip(&mut lists) {
            (lines.next()? == word).then_some(())?;
            while lines.peek().is_some_and(|line| line.starts_with("name ")) {
                list.push(ImageRecord::read(&mut lines)?);
            }
        }
        let [current, previous] = lists;
        lines.next().is_none().then_some(Self { place, current, previous })
    }

    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        writeln!(to, "place {}\ncurrent", self.place)?;
        self.current.iter().try_for_each(|record| record.write(to))?;
        writeln!(to, "previous")?;
        self.previous.iter().try_for_each(|record| record.write(to))
    }
}

/// The files of one application.
struct Files {
    directory: PathBuf,
}

impl Files {
    fn of(state: &StateDir, name: &Name) -> Self {
        Self { directory: state.applications().join(name.as_str()) }
    }

    /// All applications that have some.
    fn all(state: &StateDir) -> Result<Vec<Name>, StateError> {
        let directory = state.applications();
        let listing = match fs::read_dir(&directory) {
            Ok(listing) => listing,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StateError::io(&directory, error)),
        };
        let mut names = Vec::new();
        for entry in listing {
            let name = entry.map_err(|e| StateError::io(&directory, e))?.file_name();
            names.extend(name.to_str().and_then(Name::parse));
        }
        Ok(names)
    }

    fn deployed(&self) -> Result<Option<Deployed>, StateError> {
        read(&self.directory.join("deployed"))
    }

    fn switching(&self) -> Result<Option<Deployed>, StateError> {
        read(&self.directory.join("switching"))
    }

    /// From here on the switch will be finished.
    fn begin(&self, next: &Deployed) -> Result<(), StateError> {
        let failed = |e| StateError::io(&self.directory, e);
        fs::create_dir_all(&self.directory).map_err(failed)?;
        for directory in self.directory.ancestors().skip(1).take(2) {
            sync::directory(directory).map_err(|e| StateError::io(directory, e))?;
        }
        sync::replace(&self.directory.join("switching"), |file| next.write(file)).map_err(failed)
    }

    /// The switch is finished.
    fn end(&self) -> Result<(), StateError> {
        let (from, to) = (self.directory.join("switching"), self.directory.join("deployed"));
        let renamed = fs::rename(from, to).and_then(|()| sync::directory(&self.directory));
        renamed.map_err(|e| StateError::io(&self.directory, e))
    }
}

fn read(path: &Path) -> Result<Option<Deployed>, StateError> {
    match fs::read_to_string(path) {
        Ok(text) => match Deployed::parse(&text) {
            Some(deployed) => Ok(Some(deployed)),
            None => Err(StateError::damaged(path)),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(StateError::damaged(path)),
        Err(error) => Err(StateError::io(path, error)),
    }
}

/// Whether a switch was begun and not finished. Then the next skiff finishes it, and needs for that
/// what the lease of this one keeps.
pub fn is_switching(name: &Name, state: &StateDir) -> Result<bool, StateError> {
    Ok(Files::of(state, name).switching()?.is_some())
}

/// Fails if the application is deployed to another place than this.
pub fn check_place(name: &Name, state: &StateDir, place: &str) -> Result<(), ApplicationError> {
    deployed_here(state, name, place).map(drop)
}

/// The images of an application as it is deployed to this place.
pub fn current(
    name: &Name,
    state: &StateDir,
    place: &str,
) -> Result<Vec<ImageRecord>, ApplicationError> {
    let current = deployed_here(state, name, place)?.current;
    if current.is_empty() {
        return Err(ApplicationError::Unknown(name.as_str().to_owned()));
    }
    Ok(current)
}

/// What is deployed of an application to this place; nothing, if it is unknown.
fn deployed_here(state: &StateDir, name: &Name, place: &str) -> Result<Deployed, ApplicationError> {
    let files = Files::of(state, name);
    // A switch that `finish` has left belongs to another place.
    let found = files.switching()?.map_or_else(|| files.deployed(), |other| Ok(Some(other)))?;
    let found =
        found.unwrap_or_else(|| Deployed { place: place.to_owned(), ..Deployed::default() });
    if found.place != place {
        let (name, place) = (name.as_str().to_owned(), found.place);
        return Err(ApplicationError::Elsewhere { name, place, path: files.directory });
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
