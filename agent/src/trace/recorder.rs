//! Watches containers as they start.
//!
//! One group of marks for each container, so that events need not be told apart. The mark is on the
//! container's overlay as a file system: it sees opens through every mount of it, those in the container's own
//! mount namespace too. What overlayfs itself opens below is not told by any kernel.

use super::error::TraceError;
use super::image::Image;
use super::mounts::{Mounts, Rootfs, within};
use super::notes::Notes;
use super::ports::listens;
use super::{Subject, Until};
use crate::containerd::Client;
use crate::sys::fanotify::{Event, Fanotify};
use crate::target::{Target, reference};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, readlinkat};
use rustix::io::Errno;
use skiff_protocol::Digest;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How often a port is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// What is recorded after somebody listens on the port: the first answer needs files, too.
const SETTLE: Duration = Duration::from_secs(1);

/// A container that is traced.
#[derive(Debug)]
struct Watched {
    rootfs: Rootfs,
    group: Fanotify,
    image: usize,
}

/// Records until the time is over, or all containers have ended.
#[derive(Debug)]
pub struct Recorder<'a> {
    /// Where to ask for containers.
    pub containerd: &'a Client,
    /// Where the layers of images are.
    pub target: &'a Target,
    /// containerd's namespace.
    pub namespace: &'a str,
    /// What to trace.
    pub subject: &'a Subject,
    /// When to end.
    pub until: Until,
}

impl Recorder<'_> {
    /// Does it. `armed` is called as soon as no container can start unseen. Gives whether the port was listened
    /// to, if one was waited for.
    pub async fn record(
        &self,
        notes: &mut Notes,
        armed: impl FnOnce(),
    ) -> Result<bool, TraceError> {
        let mounts = Mounts::watch().map_err(TraceError::Mounts)?;
        let list = || mounts.containers(self.namespace).map_err(TraceError::Mounts);
        let mut known = list()?;
        let mut watched = Vec::new();
        // Of a container that is named, what it does from now on is better than nothing.
        if let Subject::Container { id, .. } = self.subject
            && let Some(running) = known.iter().find(|rootfs| rootfs.container == *id)
        {
            watched.extend(self.watch(running.clone(), notes).await?);
        }
        armed();
        let (mut ready, mut end, mut look) = (false, None, None);
        loop {
            drain(&watched, notes)?;
            let now = Instant::now();
            if end.is_none() {
                end = notes.started.map(|started| started + self.until.limit);
                look = notes.started.filter(|_| self.until.port.is_some());
            }
            let ended = watched.is_empty() && notes.images.len() == self.subject.images().len();
            if ended || end.is_some_and(|end| end <= now) {
                return Ok(ready || self.until.port.is_none());
            }
            if look.is_some_and(|look| look <= now) {
                ready = self.is_ready(&watched).await?;
                look = (!ready).then(|| Instant::now() + LOOK);
                if ready {
                    end = end.map(|end| end.min(now + SETTLE));
                }
            }
            if wait(&mounts, &watched, end.into_iter().chain(look).min())? {
                let listed = list()?;
                for fresh in listed.iter().filter(|it| !known.contains(it)) {
                    watched.extend(self.watch(fresh.clone(), notes).await?);
                }
                drain(&watched, notes)?;
                watched.retain(|it: &Watched| listed.contains(&it.rootfs));
                known = listed;
            }
        }
    }

    /// Watches a container that is about to start, if it is one of those that are wanted. First the mark, then
    /// the questions: what is opened meanwhile waits in the queue.
    async fn watch(
        &self,
        rootfs: Rootfs,
        notes: &mut Notes,
    ) -> Result<Option<Watched>, TraceError> {
        let group = Fanotify::new().map_err(TraceError::Fanotify)?;
        match group.mark_filesystem(&rootfs.path) {
            Ok(()) => {}
            // It was unmounted meanwhile.
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(TraceError::Fanotify(error)),
        }
        let start = Instant::now();
        let Some(name) = self.wanted(&rootfs.container).await? else { return Ok(None) };
        let held = self.target.image(&name).await?;
        let manifest = Digest(held.manifest_digest);
        // The first container of each image, and no other.
        if notes.images.iter().any(|image| image.manifest == manifest) {
            return Ok(None);
        }
        let layers = self.target.layer_dirs(held.snapshot).await?;
        let reference = reference(&name).to_owned();
        let failed = |source| TraceError::Layers { image: name.clone(), source };
        let opened = Image::new(reference, manifest, &layers).map_err(failed)?;
        let image = notes.images.len();
        notes.images.push(opened);
        notes.started.get_or_insert(start);
        Ok(Some(Watched { rootfs, group, image }))
    }

    /// The image of a container, under the name that it is wanted by; nothing if it isn't wanted.
    async fn wanted(&self, container: &str) -> Result<Option<String>, TraceError> {
        let images = match self.subject {
            Subject::Container { id, image } => {
                return Ok((id == container).then(|| image.clone()));
            }
            Subject::Images(images) => images,
        };
        let Some(name) = self.containerd.container_image(container).await? else {
            return Ok(None);
        };
        if images.contains(&name) {
            return Ok(Some(name));
        }
        // The same image may have several names: the CRI's has three.
        let Some(of_container) = self.containerd.image(&name).await? else { return Ok(None) };
        for image in images {
            let known = self.containerd.image(image).await?;
            if known.is_some_and(|known| known.digest == of_container.digest) {
                return Ok(Some(image.clone()));
            }
        }
        Ok(None)
    }

    async fn is_ready(&self, watched: &[Watched]) -> Result<bool, TraceError> {
        let Some(port) = self.until.port else { return Ok(false) };
        for Watched { rootfs, .. } in watched {
            let process = self.containerd.container_process(&rootfs.container).await?;
            if process.is_some_and(|process| listens(process, port)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Waits until files were opened or mounts have changed, or it is time. Says whether mounts have changed.
fn wait(mounts: &Mounts, watched: &[Watched], wake: Option<Instant>) -> Result<bool, TraceError> {
    let mut fds = vec![PollFd::new(mounts, PollFlags::PRI)];
    fds.extend(watched.iter().map(|it| PollFd::new(&it.group, PollFlags::IN)));
    let left = wake.map(|wake| wake.saturating_duration_since(Instant::now()));
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    match poll(&mut fds, left.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(TraceError::Mounts(error.into())),
    }
    Ok(fds.first().is_some_and(|fd| fd.revents().intersects(PollFlags::PRI | PollFlags::ERR)))
}

/// Notes what waits in the queues.
fn drain(watched: &[Watched], notes: &mut Notes) -> Result<(), TraceError> {
    for Watched { rootfs, group, image } in watched {
        let mut noted = Ok(());
        let mut note = |event| match event {
            Event::Opened(file) if noted.is_ok() => noted = opened(&file, rootfs, *image, notes),
            Event::Opened(_) => {}
            Event::Lost => notes.gaps = true,
        };
        while group.read(&mut note).map_err(TraceError::Fanotify)? > 0 {}
        noted?;
    }
    Ok(())
}

fn opened(
    file: &OwnedFd,
    rootfs: &Rootfs,
    image: usize,
    notes: &mut Notes,
) -> Result<(), TraceError> {
    // What can't be named any more is none of the image's files.
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let Ok(path) = readlinkat(CWD, link, Vec::new()) else { return Ok(()) };
    match within(path.as_bytes(), &rootfs.path) {
        Some(path) => notes.opened(image, path, file),
        None => Ok(()),
    }
}
