//! Looks at tags in an interval, for registries that send no notifications: those that an application
//! names or that devices asked for. A tag whose digest is another one than the last time is queued; so
//! is one that is looked at for the first time, since it may have moved while nobody looked.
//!
//! One HEAD for each tag, one after the other, at most [`MOST`] in a round. Where devices asked for
//! more, the next round goes on after the last one. A registry that does not answer ends the round.

use super::Inbox;
use super::outage::Outage;
use super::queue::Pushed;
use crate::causes::chain;
use crate::reference::{Reference, Selector};
use crate::registry::RegistryError;
use crate::store::StoreError;
use skiff_protocol::Digest;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

/// Most tags in a round.
const MOST: usize = 1000;
/// Most tags whose digest is remembered. With more, we forget all, and look at all anew.
const REMEMBERED: usize = 16 * MOST;

/// Why a round ends before its end.
#[derive(Debug, thiserror::Error)]
enum PollError {
    #[error(transparent)]
    Registry(RegistryError),
    #[error(transparent)]
    Store(StoreError),
}

/// What is known between rounds.
#[derive(Debug)]
pub(super) struct Poller {
    inbox: Arc<Inbox>,
    /// What each tag named the last time, and whether that could not be found out.
    seen: HashMap<Reference, (Option<Digest>, Outage)>,
    /// The last name that devices asked for which was looked at; the next round goes on after it.
    after: String,
    outage: Outage,
}

impl Poller {
    /// Nothing is known yet.
    pub(super) fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox, seen: HashMap::new(), after: String::new(), outage: Outage::default() }
    }

    /// Looks for ever. The pauses differ by up to a tenth, so that accelerators that were started together
    /// don't stay together.
    pub(super) async fn run(mut self, every: Duration) {
        tokio::time::sleep(every.mul_f64(0.1 * chance())).await;
        loop {
            match self.round().await {
                Ok(()) if self.outage.ends() => tracing::info!("tags can be looked at again"),
                Ok(()) => {}
                Err(error) if self.outage.begins() => tracing::warn!(
                    "tags can't be looked at, which is tried every {} s: {}",
                    every.as_secs(),
                    chain(&error)
                ),
                Err(error) => tracing::debug!("tags still can't be looked at: {}", chain(&error)),
            }
            tokio::time::sleep(every.mul_f64(0.9 + 0.2 * chance())).await;
        }
    }

    /// Looks at each tag once.
    async fn round(&mut self) -> Result<(), PollError> {
        if self.seen.len() > REMEMBERED {
            self.seen.clear();
        }
        for reference in self.tags().await.map_err(PollError::Store)? {
            // The rest is looked at in the next round. Pushes that are notified need room, too.
            if self.inbox.waiting.is_half_full() {
                break;
            }
            self.look(reference).await?;
        }
        Ok(())
    }

    /// Looks at one tag.
    async fn look(&mut self, reference: Reference) -> Result<(), PollError> {
        let named = match self.inbox.images.registry().resolve(&reference).await {
            Ok(descriptor) => descriptor.digest,
            Err(error @ RegistryError::Unavailable { .. }) => {
                return Err(PollError::Registry(error));
            }
            Err(RegistryError::NotFound { .. }) => {
                // If it comes back, that is news.
                self.seen.remove(&reference);
                return Ok(());
            }
            Err(error) => {
                let (_, outage) = self.seen.entry(reference).or_default();
                if outage.begins() {
                    tracing::warn!("a tag can't be looked at: {}", chain(&error));
                }
                return Ok(());
            }
        };
        let (seen, outage) = self.seen.entry(reference.clone()).or_default();
        outage.ends();
        let image = Pushed { name: reference, digest: Some(named) };
        if *seen != Some(named) && self.inbox.add(&image).is_ok() {
            *seen = Some(named);
        }
        Ok(())
    }

    /// The tags of this round, each once; those of applications first. Digests don't move.
    async fn tags(&mut self) -> Result<Vec<Reference>, StoreError> {
        let store = self.inbox.images.store();
        let mut names: Vec<String> =
            store.applications().await?.into_iter().flat_map(|(_, images)| images).collect();
        names.truncate(MOST);
        let room = MOST - names.len();
        let asked = store.names_after(&self.after, room).await?;
        // After the last one, the first ones come again.
        self.after = if asked.len() < room {
            String::new()
        } else {
            asked.last().cloned().unwrap_or_default()
        };
        let mut once = HashSet::new();
        // The database has the names that devices asked for without a registry's host.
        let asked = asked.iter().filter_map(|name| Reference::without_host(name).ok());
        let tags = names.iter().filter_map(|name| Reference::parse(name).ok()).chain(asked);
        let tags = tags.filter(|reference| matches!(reference.selector, Selector::Tag(_)));
        Ok(tags.filter(|reference| once.insert(reference.clone())).collect())
    }
}

/// From 0 to 1. What the standard library hashes with is random.
fn chance() -> f64 {
    f64::from(u16::try_from(RandomState::new().hash_one(0) >> 48).unwrap_or(0))
        / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::Images;
    use crate::watch::platforms::Platforms;
    use crate::watch::queue::Waiting;
    use std::fs;
    use std::path::Path;

    /// A poller of a layout directory with the repository `a`.
    async fn poller(directory: &Path) -> Poller {
        fs::create_dir_all(directory.join("images/a")).unwrap();
        fs::write(directory.join("images/a/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
            .unwrap();
        let registry = format!("oci:{}/images", directory.display());
        of_registry(directory, &registry).await
    }

    async fn of_registry(directory: &Path, registry: &str) -> Poller {
        let images = Images::open(registry, &directory.join("data"), 0, None).await.unwrap();
        Poller::new(Arc::new(Inbox {
            images: Arc::new(images),
            metrics: Arc::default(),
            new: tokio::sync::mpsc::channel(1).0,
            waiting: Waiting::default(),
            full: Outage::default(),
            platforms: Platforms::new(Vec::new(), "linux/amd64".parse().unwrap()),
            token: None,
        }))
    }

    /// Says what tags of `a` name.
    fn tags(directory: &Path, tags: &[(&str, u8)]) {
        let tag = |(tag, number): &(&str, u8)| {
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":1,
                "digest":"{}","annotations":{{"org.opencontainers.image.ref.name":"{tag}"}}}}"#,
                Digest([*number; 32])
            )
        };
        let tags: Vec<_> = tags.iter().map(tag).collect();
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, tags.join(","));
        fs::write(directory.join("images/a/index.json"), index).unwrap();
    }

    /// What a round queues.
    async fn round(poller: &mut Poller) -> Vec<String> {
        poller.round().await.unwrap();
        let mut queued = Vec::new();
        while let Some(job) = poller.inbox.waiting.take_due() {
            queued.push(job.image.name.to_string());
        }
        queued
    }

    #[tokio::test]
    async fn a_tag_that_moved_is_queued() {
        let directory = tempfile::tempdir().unwrap();
        let mut poller = poller(directory.path()).await;
        let store = poller.inbox.images.store().clone();
        tags(directory.path(), &[("1", 1), ("2", 2), ("3", 3)]);
        assert!(round(&mut poller).await.is_empty(), "nobody asked");

        let digest = Digest([9; 32]);
        let application = ["host.example/a:1".to_owned(), "a:2".to_owned()];
        store.put_application("shop", &application).await.unwrap();
        for name in ["a:2", "a:gone", "b:1", "No Name", &format!("a@{digest}")] {
            store.put_state(digest, name).await.unwrap();
        }
        assert_eq!(round(&mut poller).await, ["a:1", "a:2"]);
        assert!(round(&mut poller).await.is_empty(), "nothing moved");
        tags(directory.path(), &[("1", 4), ("2", 2), ("gone", 3)]);
        assert_eq!(round(&mut poller).await, ["a:1", "a:gone"]);
        // Gone and back again.
        tags(directory.path(), &[("1", 4), ("2", 2)]);
        assert!(round(&mut poller).await.is_empty());
        tags(directory.path(), &[("1", 4), ("2", 2), ("gone", 3)]);
        assert_eq!(round(&mut poller).await, ["a:gone"]);
    }

    #[tokio::test]
    async fn a_repository_may_look_like_a_host() {
        let directory = tempfile::tempdir().unwrap();
        let mut poller = poller(directory.path()).await;
        tags(directory.path(), &[("1", 1)]);
        fs::create_dir(directory.path().join("images/my.repo")).unwrap();
        let images = directory.path().join("images");
        fs::rename(images.join("a"), images.join("my.repo/a")).unwrap();
        let store = poller.inbox.images.store().clone();
        store.put_state(Digest([1; 32]), "my.repo/a:1").await.unwrap();
        assert_eq!(round(&mut poller).await, ["my.repo/a:1"]);
    }

    #[tokio::test]
    async fn more_names_than_a_round_has_take_their_turns() {
        let directory = tempfile::tempdir().unwrap();
        let mut poller = poller(directory.path()).await;
        let store = poller.inbox.images.store().clone();
        store.put_application("shop", &["a:app".to_owned()]).await.unwrap();
        for number in 0..MOST + 10 {
            store.put_state(Digest([1; 32]), &format!("a:{number:04}")).await.unwrap();
        }
        for (len, first, last) in
            [(MOST, "a:0000", "a:0998"), (12, "a:0999", "a:1009"), (MOST, "a:0000", "a:0998")]
        {
            let tags: Vec<_> =
                poller.tags().await.unwrap().iter().map(Reference::to_string).collect();
            assert_eq!(
                (tags.len(), &*tags[0], &*tags[1], &**tags.last().unwrap()),
                (len, "a:app", first, last)
            );
        }
    }

    #[tokio::test]
    async fn a_full_queue_loses_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut poller = poller(directory.path()).await;
        tags(directory.path(), &[("1", 1)]);
        let store = poller.inbox.images.store().clone();
        store.put_application("shop", &["a:1".to_owned()]).await.unwrap();
        let other = |number: usize| {
            let name = Reference::tag("other", &number.to_string()).unwrap();
            Pushed { name, digest: None }
        };
        for number in 0..crate::watch::queue::MOST / 2 {
            poller.inbox.add(&other(number)).unwrap();
        }
        assert!(!round(&mut poller).await.contains(&"a:1".to_owned()));
        assert_eq!(round(&mut poller).await, ["a:1"]);
    }

    #[tokio::test]
    async fn a_registry_that_is_away_ends_the_round() {
        let directory = tempfile::tempdir().unwrap();
        // Nobody listens on the port of a listener that is gone.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let registry = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let mut poller = of_registry(directory.path(), &registry).await;
        let store = poller.inbox.images.store().clone();
        store.put_application("shop", &["a:1".to_owned(), "a:2".to_owned()]).await.unwrap();
        let error = poller.round().await.unwrap_err().to_string();
        assert!(error.contains("a:1"), "{error}");
        assert!(poller.seen.is_empty());
    }

    #[test]
    fn pauses_differ() {
        let all: Vec<f64> = (0..100).map(|_| chance()).collect();
        assert!(all.iter().all(|one| (0.0..=1.0).contains(one)), "{all:?}");
        assert!(all.iter().any(|one| *one < 0.5) && all.iter().any(|one| *one > 0.5), "{all:?}");
    }
}
