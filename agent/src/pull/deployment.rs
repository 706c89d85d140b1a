//! Takes the metadata stream: images, contents, layers, entries.

use super::images::Images;
use super::layers::NewLayers;
use super::{Answer, PullError, PullOptions, PullTrouble, Wanted};
use crate::apply::{ApplyError, Bases, Beneath, Files, Tables, Writeback, copy_held, make_entry};
use crate::decode::Decoder;
use crate::sha256::Sha256;
use crate::spool::{Contents, Entries, Origin};
use crate::state::{Scratch, StateError};
use crate::target::{HeldImage, SnapshotName, Target};
use skiff_protocol::Digest;
use skiff_protocol::frame::Kind as FrameKind;
use skiff_protocol::limits::{MAX_HELD, MAX_PATH};
use skiff_protocol::path::PathBuffer;
use skiff_protocol::record::{self, Content, Entry, Kind, Layer, Parent, Record, Source, Splitter};
use skiff_protocol::response::Plan;
use std::path::{Path, PathBuf};

const UNANNOUNCED: &str = "a file with a content that is not announced";

/// What a pull has received so far: on disk, but for a few words per image and layer.
#[derive(Debug)]
pub struct Deployment {
    wanted: Wanted,
    no_devices: bool,
    /// Nothing is made, but all is written down: one layer on nothing.
    listing: bool,
    pull_id: String,
    scratch: PathBuf,
    /// The images and their blobs.
    pub images: Images,
    /// The plan's contents.
    pub contents: Contents,
    entries: Entries,
    layers: Vec<Beneath>,
    /// Their snapshots.
    pub snapshots: NewLayers,
    writeback: Writeback,
    /// Which held images contents are copied from.
    pub sources_used: [bool; MAX_HELD],
    /// What patches refer to.
    pub bases: Bases,
    path: PathBuffer,
    entry_count: u32,
    /// Entries and contents that are announced: more are not written down.
    most: (u32, u32),
    entries_left: u32,
    stage: Stage,
}

/// Which records may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Images,
    Contents,
    Layers,
    End,
}

impl Deployment {
    /// Nothing received yet.
    pub fn new(scratch: &Scratch, options: &PullOptions) -> Result<Self, PullError> {
        Ok(Self {
            wanted: options.wanted.clone(),
            no_devices: options.no_devices,
            listing: false,
            pull_id: scratch.id().to_owned(),
            scratch: scratch.path().to_owned(),
            images: Images::new(scratch.path()),
            contents: Contents::create(scratch.path())?,
            entries: Entries::create(scratch.path())?,
            layers: Vec::new(),
            writeback: Writeback::default(),
            snapshots: NewLayers::default(),
            sources_used: [false; MAX_HELD],
            bases: Bases::default(),
            path: PathBuffer::new(),
            entry_count: 0,
            most: (0, 0),
            entries_left: 0,
            stage: Stage::Images,
        })
    }

    /// Only the table of contents of one image; nothing is made of it.
    pub fn listing(scratch: &Scratch, options: &PullOptions) -> Result<Self, PullError> {
        Ok(Self { listing: true, ..Self::new(scratch, options)? })
    }

    /// The entries so far; others are written down from here on, in a directory below `scratch`.
    pub fn take_entries(&mut self, scratch: &Path, number: u32) -> Result<Entries, PullError> {
        let directory = scratch.join(format!("mend-{number}"));
        std::fs::create_dir(&directory).map_err(|e| StateError::io(&directory, e))?;
        Ok(std::mem::replace(&mut self.entries, Entries::create(&directory)?))
    }

    /// Makes a layer on nothing, for no image.
    pub async fn begin_layer_alone(&mut self, target: &Target) -> Result<(), PullError> {
        let layer = self.snapshots.begin(Parent::None, &self.pull_id, target, &[]).await?;
        self.layers = vec![layer];
        Ok(())
    }

    /// Takes no more than a plan announces.
    pub fn expect(&mut self, plan: &Plan) {
        self.most = (plan.entries, plan.contents);
    }

    /// What the content writer works on, to make new files.
    pub fn tables(&mut self) -> Tables<'_> {
        Tables {
            contents: &self.contents,
            entries: &mut self.entries,
            layers: &mut self.layers,
            bases: &self.bases,
            files: Files::New(&mut self.writeback),
        }
    }

    /// The same, with files that come about in this way.
    pub fn tables_with<'a>(&'a mut self, files: Files<'a>) -> Tables<'a> {
        let (contents, entries) = (&self.contents, &mut self.entries);
        Tables { contents, entries, layers: &mut self.layers, bases: &self.bases, files }
    }

    /// Makes the files whose contents are held, on another thread: no other row of the tables is touched. Gives how many
    /// sources were damaged.
    pub fn copying(
        &self,
        held: Vec<Vec<Beneath>>,
    ) -> Result<impl Future<Output = Result<u32, ApplyError>> + use<>, PullError> {
        let contents = Contents::reopen(&self.scratch)?;
        let mut entries = Entries::reopen(&self.scratch)?;
        let again = |layer: &Beneath| layer.root().try_clone_to_owned().map(Beneath::new);
        let layers: Result<Vec<_>, _> = self.layers.iter().map(again).collect();
        let mut layers = layers.map_err(|e| StateError::io(&self.scratch, e))?;
        Ok(smol::unblock(move || {
            let mut writeback = Writeback::default();
            let files = Files::New(&mut writeback);
            let (entries, layers, bases) = (&mut entries, &mut layers, &Bases::default());
            copy_held(&mut Tables { contents: &contents, entries, layers, bases, files }, &held)
        }))
    }

    /// The directories of the layers, which are not needed here any more.
    pub fn take_layers(&mut self) -> Vec<Beneath> {
        std::mem::take(&mut self.layers)
    }

    /// The scratch directory was moved.
    pub fn moved_to(&mut self, scratch: &Path) {
        self.scratch = scratch.to_owned();
        self.images.moved_to(scratch);
    }

    /// Entries and directories of the layers, to finish them.
    pub fn parts(&mut self) -> (&mut Entries, &mut [Beneath]) {
        (&mut self.entries, &mut self.layers)
    }

    /// The pull's scratch directory.
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// The names that the layers are to get.
    pub fn names(&self) -> Result<Vec<SnapshotName>, PullError> {
        let images = self.images.list.iter();
        self.snapshots.names(images.filter_map(|image| Some((image.layer?, image.chain_id?))))
    }

    /// Reads Metadata frames up to the last record; with a hash, gives the stream's SHA-256.
    pub async fn take_metadata(
        &mut self,
        answer: &mut Answer,
        decoder: &mut Decoder,
        mut hash: Option<Sha256>,
        target: &mut Target,
        held: &[HeldImage],
    ) -> Result<Option<Digest>, PullError> {
        let mut splitter = Box::new(Splitter::new());
        decoder.start_metadata();
        while !decoder.is_done() {
            smol::future::yield_now().await;
            let frame = answer.frame().await?;
            if frame.kind != FrameKind::Metadata {
                return Err(PullError::unexpected("another frame within the metadata"));
            }
            let mut compressed = frame.payload;
            while let Some(mut bytes) = decoder.next(&mut compressed)? {
                if let Some(hash) = &mut hash {
                    hash.update(bytes);
                }
                while let Some(record) = splitter
                    .next(&mut bytes)
                    .map_err(|_| PullError::unexpected("a record that does not decode"))?
                {
                    self.take_record(record, target, held).await?;
                }
            }
        }
        if self.stage != Stage::End || !splitter.is_between_records() {
            return Err(PullError::unexpected("metadata without an end"));
        }
        Ok(hash.map(Sha256::finish))
    }

    async fn take_record(
        &mut self,
        record: Record<'_>,
        target: &mut Target,
        held: &[HeldImage],
    ) -> Result<(), PullError> {
        match record {
            Record::Image(image) => {
                self.enter(Stage::Images)?;
                self.images.begin(&image, &self.wanted)
            }
            Record::Blob(blob) => {
                self.enter(Stage::Images)?;
                self.images.begin_blob(&blob)
            }
            Record::BlobData(bytes) => {
                self.enter(Stage::Images)?;
                self.images.blob_data(bytes)
            }
            Record::Content(content) => {
                self.enter(Stage::Contents)?;
                self.take_content(&content, held)
            }
            Record::Base(base) => {
                self.enter(Stage::Layers)?;
                if self.entries_left > 0 {
                    return Err(PullError::unexpected("a base too early"));
                }
                self.snapshots.announce_base(base.tree)
            }
            Record::Layer(layer) => {
                self.enter(Stage::Layers)?;
                self.begin_layer(layer, target, held).await
            }
            Record::Entry(entry) => {
                self.enter(Stage::Layers)?;
                self.take_entry(&entry)
            }
            Record::End => self.enter(Stage::End),
            _ => Err(PullError::unexpected("a record of an unknown kind")),
        }
    }

    /// Records come in stages. When the images are over, they are checked before anything is made.
    fn enter(&mut self, stage: Stage) -> Result<(), PullError> {
        if stage < self.stage || self.stage == Stage::End {
            return Err(PullError::unexpected("records in a wrong order"));
        }
        if self.stage == Stage::Images && stage > Stage::Images {
            self.images.check(&self.wanted)?;
        }
        if stage == Stage::End && (self.entries_left > 0 || self.snapshots.awaits_layer()) {
            return Err(PullError::unexpected("fewer entries or layers than announced"));
        }
        self.stage = stage;
        Ok(())
    }

    fn take_content(&mut self, content: &Content<'_>, held: &[HeldImage]) -> Result<(), PullError> {
        let origin = match content.source {
            Source::Pack => Origin::Pack,
            Source::Held { image, path } => {
                if usize::from(image) >= held.len() || path.len() > MAX_PATH {
                    return Err(PullError::unexpected("a source in an image that is not held"));
                }
                self.sources_used[usize::from(image)] = true;
                let place = if path.is_empty() { 0 } else { self.entries.push_path(path)? };
                // MAX_PATH fits.
                let len = u16::try_from(path.len()).unwrap_or(u16::MAX);
                Origin::Held { image, path: (place, len) }
            }
            _ => return Err(PullError::unexpected("a content from an unknown source")),
        };
        if self.contents.count() >= self.most.1 {
            return Err(PullError::unexpected("more contents than the plan announces"));
        }
        if content.size == 0 {
            return Err(PullError::unexpected("a content of no bytes"));
        }
        self.contents
            .push(content.sha256, content.size, origin)?
            .ok_or_else(|| PullError::unexpected("contents of more than 2^64 bytes"))
    }

    async fn begin_layer(
        &mut self,
        layer: Layer,
        target: &mut Target,
        held: &[HeldImage],
    ) -> Result<(), PullError> {
        if self.entries_left > 0 {
            return Err(PullError::unexpected("a layer too early"));
        }
        if self.listing {
            if layer.parent != Parent::None {
                return Err(PullError::unexpected("a layer on another, although nothing is held"));
            }
        } else {
            let directory = self.snapshots.begin(layer.parent, &self.pull_id, target, held).await?;
            self.layers.push(directory);
        }
        self.path.clear();
        self.entries_left = layer.entries;
        Ok(())
    }

    fn take_entry(&mut self, entry: &Entry<'_>) -> Result<(), PullError> {
        self.entries_left = self
            .entries_left
            .checked_sub(1)
            .ok_or_else(|| PullError::unexpected("more entries than announced"))?;
        self.entry_count += 1;
        if self.entry_count > self.most.0 {
            return Err(PullError::unexpected("more entries than the plan announces"));
        }
        let path = self
            .path
            .advance(entry.prefix, entry.suffix)
            .map_err(|_| PullError::unexpected("a path that is not allowed"))?;
        let entry = record::Entry { prefix: 0, suffix: path, ..*entry };
        if self.no_devices
            && matches!(entry.kind, Kind::CharDevice { .. } | Kind::BlockDevice { .. })
        {
            return Err(PullTrouble::Device(path.escape_ascii().to_string()).into());
        }
        if self.listing {
            self.entries.push(0, &entry)?;
            return match entry.kind {
                Kind::File { content } if content >= self.contents.count() => {
                    Err(PullError::unexpected(UNANNOUNCED))
                }
                Kind::Whiteout => Err(PullError::unexpected("a whiteout of nothing")),
                _ => Ok(()),
            };
        }
        let Some((number, layer)) = self.layers.len().checked_sub(1).zip(self.layers.last_mut())
        else {
            return Err(PullError::unexpected("an entry of no layer"));
        };
        make_entry(layer, &entry)?;
        // What needs no second look is not stored.
        let later = matches!(
            entry.kind,
            Kind::Directory { .. } | Kind::File { .. } | Kind::HardLink { .. }
        );
        if !later {
            return Ok(());
        }
        let id = self.entries.push(u16::try_from(number).unwrap_or(u16::MAX), &entry)?;
        let Kind::File { content } = entry.kind else { return Ok(()) };
        let Some(mut row) = self.contents.get(content)? else {
            return Err(PullError::unexpected(UNANNOUNCED));
        };
        match row.first {
            Some(first) => self.entries.chain(first, id)?,
            None => {
                row.first = Some(id);
                self.contents.put(content, &row)?;
            }
        }
        Ok(())
    }

    /// Whether something of it is on the device already.
    pub fn builds_on_held(&self) -> bool {
        self.sources_used.contains(&true) || self.snapshots.builds_on_held()
    }

    /// Compares what came with what the plan announced.
    pub fn agrees_with(&self, plan: &Plan) -> Result<(), PullError> {
        let mut layers = 1;
        if !self.listing {
            // Each layer is one image's or a base.
            self.names()?;
            layers = self.snapshots.len();
        }
        let agrees = self.contents.count() == plan.contents
            && self.contents.space() == plan.content_bytes
            && self.entry_count == plan.entries
            && layers == usize::from(plan.layers)
            && self.images.list.len() == usize::from(plan.images);
        if agrees {
            Ok(())
        } else {
            Err(PullError::unexpected("metadata that contradict the plan"))
        }
    }

    /// Gives up: removes the prepared snapshots as far as that is possible.
    pub async fn abandon(&mut self, target: &mut Target) {
        self.layers.clear();
        self.snapshots.abandon(target).await;
    }
}
