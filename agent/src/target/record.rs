//! Image records: what an image's name points to.
//!
//! As text, a record is six lines of a word, a space and a value.

use super::SnapshotName;
use skiff_protocol::Digest;
use std::io::{self, ErrorKind, Write};

/// The image records of an application's previous deployment are called this, the application's
/// name, a slash and the image's reference. They keep its images from being collected. Those of images
/// that were pulled by themselves have no application's name there.
const PREVIOUS: &str = "skiff.previous/";

/// An image record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRecord {
    /// Its name.
    pub name: String,
    /// What it points to: an index or a manifest.
    pub target: Digest,
    /// Bytes of that.
    pub size: u64,
    /// Media type of that.
    pub media_type: String,
    /// The manifest for this device.
    pub manifest: Digest,
    /// The image's chain ID.
    pub chain_id: Digest,
}

impl ImageRecord {
    /// The image's snapshot.
    pub fn snapshot(&self) -> SnapshotName {
        SnapshotName::Chain(self.chain_id)
    }

    /// The record that keeps this image while an application's previous deployment has it, or, with an empty
    /// name, while it is what its name pointed to before.
    pub fn as_previous(&self, application: &str) -> Self {
        Self { name: previous(application, &self.name), ..self.clone() }
    }

    /// Writes the lines. A line break in a value would forge others, and is refused.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let Self { name, target, size, media_type, manifest, chain_id } = self;
        if name.contains('\n') || media_type.contains('\n') {
            return Err(ErrorKind::InvalidInput.into());
        }
        write!(to, "name {name}\ntarget {target}\nsize {size}\ntype {media_type}\n")?;
        write!(to, "manifest {manifest}\nchain {chain_id}\n")
    }

    /// Reads the lines of one record. Nothing if they are not those of a record.
    pub fn read<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut value = |word: &str| lines.next()?.strip_prefix(word)?.strip_prefix(' ');
        Some(Self {
            name: value("name")?.to_owned(),
            target: Digest::parse(value("target")?)?,
            size: value("size")?.parse().ok()?,
            media_type: value("type")?.to_owned(),
            manifest: Digest::parse(value("manifest")?)?,
            chain_id: Digest::parse(value("chain")?)?,
        })
    }
}

/// The name of the record that keeps the previous image of this reference.
pub fn previous(application: &str, reference: &str) -> String {
    format!("{PREVIOUS}{application}/{reference}")
}

/// Whether a record of this name keeps an image that is not current.
pub fn is_previous(name: &str) -> bool {
    name.starts_with(PREVIOUS)
}

/// The reference of the image that a record of this name is for.
pub fn reference(name: &str) -> &str {
    let previous = name.strip_prefix(PREVIOUS).and_then(|rest| rest.split_once('/'));
    previous.map_or(name, |(_, reference)| reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previous_records_name_the_reference() {
        let digest = Digest([1; 32]);
        let record = ImageRecord {
            name: "host:5000/app:1".to_owned(),
            target: digest,
            size: 3,
            media_type: "m".to_owned(),
            manifest: digest,
            chain_id: digest,
        };
        let previous = record.as_previous("shop");
        assert_eq!(previous.name, "skiff.previous/shop/host:5000/app:1");
        let alone = record.as_previous("");
        assert_eq!(alone.name, "skiff.previous//host:5000/app:1");
        for name in [&record.name, &previous.name, &alone.name] {
            assert_eq!(reference(name), record.name);
            assert_eq!(is_previous(name), *name != record.name);
        }
        let mut text = Vec::new();
        previous.write(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(ImageRecord::read(&mut text.lines()), Some(previous));
        assert_eq!(ImageRecord::read(&mut text.lines().skip(1)), None);
    }
}
