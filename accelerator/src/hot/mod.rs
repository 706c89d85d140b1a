//! Hot sets: what programs of an image use while they start, in the order of first use.
//!
//! ```text
//! devices' reports ──▶ take (report) ──▶ store, the last few ──▶ merge ──┐
//! `skiff-accelerator hot set` ──▶ store ──────────────────────────┼─▶ choice ──▶ plan::order
//! an image's config and tree ───▶ predict ──▶ store ──────────────┘  best first
//! ```
//!
//! A set says what a device gets first and nothing else: whatever is in it, the device gets all, and the same
//! bytes. So a wrong one costs time, never a wrong image. Sets are kept by repository and not by version: a path
//! that a new version has not got is left out.

pub mod choice;
mod find;
pub mod hand;
pub mod merge;
pub mod predict;
pub mod report;
pub mod take;

use serde::{Deserialize, Serialize};
use skiff_protocol::path::{PathBuffer, check, shared_prefix};
use std::fmt;

/// Most items of a set.
pub const MOST: usize = 16_384;

/// Most bytes of all paths of a set.
const MOST_BYTES: usize = 2 << 20;

/// Of the encoding of [`Listed`].
const VERSION: u8 = 1;

/// What is used, at its place in the order of first use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Item {
    /// Index of the image in a list that goes with the items.
    pub image: u16,
    /// The file's path in it.
    pub path: Vec<u8>,
    /// The part of the file that is used: offset and length. Nothing finds parts out yet, so that it is the whole
    /// file.
    pub part: Option<(u64, u64)>,
}

impl Item {
    /// A whole file.
    pub fn file(image: u16, path: impl Into<Vec<u8>>) -> Self {
        Self { image, path: path.into(), part: None }
    }
}

/// What a hot set is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// An application, by name: its images together.
    Application(String),
    /// An image, by repository.
    Image(String),
}

impl fmt::Display for Subject {
    /// As the database has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Application(name) => write!(f, "app {name}"),
            Self::Image(repository) => write!(f, "image {repository}"),
        }
    }
}

/// Items as they are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// The repositories of the images that items name. None: each item is of whichever image has the path.
    pub images: Vec<String>,
    /// In the order of first use.
    pub items: Vec<Item>,
}

/// An item, its path without what it has in common with the one before.
#[derive(Serialize, Deserialize)]
struct Packed<'a> {
    image: u16,
    prefix: u16,
    suffix: &'a [u8],
    part: Option<(u64, u64)>,
}

impl Listed {
    /// The encoded list. What is beyond the bounds of a set is left out.
    pub fn encode(&self) -> Vec<u8> {
        let (mut packed, mut bytes, mut before) = (Vec::new(), 0, &b""[..]);
        for item in self.items.iter().filter(|item| check(&item.path).is_ok()).take(MOST) {
            let shared = shared_prefix(before, &item.path);
            let (suffix, prefix) = (&item.path[shared..], u16::try_from(shared).unwrap_or(0));
            bytes += item.path.len();
            if bytes > MOST_BYTES {
                break;
            }
            packed.push(Packed { image: item.image, prefix, suffix, part: item.part });
            before = &item.path;
        }
        // Encoding plain data into a vector can't fail.
        postcard::to_stdvec(&(VERSION, &self.images, packed)).unwrap_or_default()
    }

    /// A list that this version wrote.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest): (u8, _) = postcard::take_from_bytes(bytes).ok()?;
        if version != VERSION {
            return None;
        }
        let (images, packed): (_, Vec<Packed<'_>>) = postcard::from_bytes(rest).ok()?;
        let mut path = PathBuffer::new();
        let items = packed.into_iter().map(|item| {
            let path = path.advance(item.prefix, item.suffix).ok()?.to_vec();
            Some(Item { image: item.image, path, part: item.part })
        });
        Some(Self { images, items: items.collect::<Option<_>>()? })
    }

    /// The items of one image alone.
    #[must_use]
    pub fn of_image(&self, image: u16) -> Self {
        let own = self.items.iter().filter(|item| item.image == image);
        let items = own.map(|item| Item { image: 0, ..item.clone() }).collect();
        Self { images: self.images.get(usize::from(image)).cloned().into_iter().collect(), items }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_kept() {
        let items = vec![
            Item::file(0, "usr/bin/nginx"),
            Item { image: 1, path: b"usr/lib/\xff".to_vec(), part: Some((7, 1 << 40)) },
            Item::file(0, "usr/lib"),
        ];
        let listed = Listed { images: vec!["a".into(), "b/c".into()], items };
        let bytes = listed.encode();
        assert_eq!(Listed::decode(&bytes), Some(listed.clone()));
        assert_eq!(Listed::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Listed::decode(&[&[VERSION + 1], &bytes[1..]].concat()), None);
        let own = listed.of_image(1);
        assert_eq!((own.images, own.items[0].image, own.items.len()), (vec!["b/c".into()], 0, 1));
    }

    #[test]
    fn a_list_is_bounded() {
        let long = |n: usize| Item::file(0, format!("{n:05}{}", "/x".repeat(1000)));
        let listed = Listed { images: Vec::new(), items: (0..2000).map(long).collect() };
        let kept = Listed::decode(&listed.encode()).unwrap().items.len();
        assert_eq!(kept, MOST_BYTES / 2005);
        let short = |n: usize| Item::file(0, format!("{n}"));
        let listed = Listed { images: Vec::new(), items: (0..2 * MOST).map(short).collect() };
        assert_eq!(Listed::decode(&listed.encode()).unwrap().items.len(), MOST);
        let bad = Listed { images: Vec::new(), items: vec![Item::file(0, "/etc")] };
        assert_eq!(Listed::decode(&bad.encode()).unwrap().items, []);
    }
}
