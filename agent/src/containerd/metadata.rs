//! Reads index, manifest and config of an image as streams of JSON: what is looked for is kept,
//! whatever the documents' length.

use crate::json;
use crate::sha256::sha256;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer as _, IgnoredAny, SeqAccess, Visitor};
use skiff_protocol::Digest;
use std::fmt;
use std::io::Read;
use thiserror::Error;

/// A document is not what it should be.
#[derive(Debug, Error)]
pub enum MetadataError {
    /// It is no JSON of the expected shape.
    #[error("its JSON is not that of an image")]
    Json(#[source] serde_json::Error),
    /// A digest is not of the form `sha256:…`.
    #[error("a digest in it is not a SHA-256 digest")]
    Digest,
}

/// What a manifest says.
#[derive(Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The config's digest.
    pub config: Digest,
    /// How many layers there are.
    pub layers: usize,
}

/// What a config says.
#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    /// The name of the image's snapshot, folded from all diff IDs.
    pub chain_id: Digest,
    /// How many layers there are.
    pub layers: usize,
}

/// A manifest in an index.
#[derive(Debug, Deserialize)]
pub struct IndexEntry {
    /// Its digest.
    pub digest: String,
    /// What it is for.
    #[serde(default)]
    pub platform: IndexPlatform,
}

/// What a manifest in an index is for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct IndexPlatform {
    /// Operating system.
    pub os: String,
    /// Processor.
    pub architecture: String,
}

/// Whether an index lists this manifest.
pub fn index_lists(index: &mut dyn Read, manifest: &Digest) -> Result<bool, MetadataError> {
    let mut listed = false;
    let manifest = manifest.to_string();
    each_in_index(index, &mut |entry| listed |= entry.digest == manifest)?;
    Ok(listed)
}

/// Calls `each` with every manifest of an index.
pub fn each_in_index(
    index: &mut dyn Read,
    each: &mut dyn FnMut(IndexEntry),
) -> Result<(), MetadataError> {
    let seed = Field { name: "manifests", inner: Each(each, std::marker::PhantomData) };
    json::document(index).deserialize_map(seed).map(drop).map_err(MetadataError::Json)
}

/// Reads a manifest.
pub fn read_manifest(manifest: &mut dyn Read) -> Result<Manifest, MetadataError> {
    #[derive(Deserialize)]
    struct Document {
        config: Descriptor,
        layers: Count,
    }
    #[derive(Deserialize)]
    struct Descriptor {
        digest: String,
    }
    let document: Document = json::read(manifest).map_err(MetadataError::Json)?;
    let config = Digest::parse(&document.config.digest).ok_or(MetadataError::Digest)?;
    Ok(Manifest { config, layers: document.layers.0 })
}

/// Reads a config: folds its diff IDs into the chain ID, `sha256(chain + " " + next)`, from the
/// first diff ID on (OCI image specification, config.md, "Layer ChainID").
pub fn read_config(config: &mut dyn Read) -> Result<Config, MetadataError> {
    #[derive(Deserialize)]
    struct Document {
        rootfs: RootFs,
    }
    #[derive(Deserialize)]
    struct RootFs {
        diff_ids: Chain,
    }
    let document: Document = json::read(config).map_err(MetadataError::Json)?;
    let Chain { id, layers } = document.rootfs.diff_ids;
    Ok(Config { chain_id: id.ok_or(MetadataError::Digest)?, layers })
}

/// The length of a list, whatever is in it.
struct Count(usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut count = 0;
        deserializer.deserialize_seq(Each(|_: IgnoredAny| count += 1, std::marker::PhantomData))?;
        Ok(Self(count))
    }
}

/// Diff IDs, folded.
struct Chain {
    id: Option<Digest>,
    layers: usize,
}

impl<'de> Deserialize<'de> for Chain {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut chain = Self { id: None, layers: 0 };
        let mut bad = false;
        let fold = |diff_id: String| {
            let Some(next) = Digest::parse(&diff_id) else {
                bad = true;
                return;
            };
            chain.layers += 1;
            chain.id = Some(match chain.id {
                None => next,
                Some(id) => sha256(format!("{id} {next}")),
            });
        };
        deserializer.deserialize_seq(Each(fold, std::marker::PhantomData))?;
        if bad {
            return Err(serde::de::Error::custom("a diff ID is not a SHA-256 digest"));
        }
        Ok(chain)
    }
}

/// Visits a list without keeping it.
struct Each<F, T>(F, std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>, F: FnMut(T)> Visitor<'de> for Each<F, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(element) = list.next_element()? {
            (self.0)(element);
        }
        Ok(())
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(T)> DeserializeSeed<'de> for Each<F, T> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

/// Visits one field of an object.
struct Field<S> {
    name: &'static str,
    inner: S,
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Field<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let mut inner = Some(self.inner);
        while let Some(key) = map.next_key::<String>()? {
            match inner.take_if(|_| key == self.name) {
                Some(seed) => found = Some(map.next_value_seed(seed)?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(fill: char) -> String {
        format!("sha256:{}", fill.to_string().repeat(64))
    }

    #[test]
    fn documents_of_an_image() {
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"digest":"{}","platform":{{"os":"linux",
            "architecture":"arm","variant":"v7"}}}},{{"digest":"{}","size":3}}],"x":[]}}"#,
            digest('a'),
            digest('b')
        );
        let parsed = |fill| Digest::parse(&digest(fill)).unwrap();
        assert!(index_lists(&mut index.as_bytes(), &parsed('a')).unwrap());
        assert!(index_lists(&mut index.as_bytes(), &parsed('b')).unwrap());
        assert!(!index_lists(&mut index.as_bytes(), &parsed('c')).unwrap());
        assert!(index_lists(&mut &b"[]"[..], &parsed('a')).is_err());

        let manifest =
            format!(r#"{{"config":{{"digest":"{}"}},"layers":[{{"a":1}},{{}}]}}"#, digest('c'));
        let expected = Manifest { config: parsed('c'), layers: 2 };
        assert_eq!(read_manifest(&mut manifest.as_bytes()).unwrap(), expected);
        assert!(read_manifest(&mut &b"{}"[..]).is_err());
    }

    #[test]
    fn chain_ids_are_folded() {
        let one = format!(r#"{{"rootfs":{{"diff_ids":["{}"]}}}}"#, digest('a'));
        let config = read_config(&mut one.as_bytes()).unwrap();
        assert_eq!((config.chain_id.to_string(), config.layers), (digest('a'), 1));
        let two = format!(r#"{{"rootfs":{{"diff_ids":["{}","{}"]}}}}"#, digest('a'), digest('b'));
        let config = read_config(&mut two.as_bytes()).unwrap();
        let expected = sha256(format!("{} {}", digest('a'), digest('b')));
        assert_eq!((config.chain_id.0, config.layers), (expected.0, 2));
        for bad in [r#"{"rootfs":{"diff_ids":["x"]}}"#, r#"{"rootfs":{"diff_ids":[]}}"#, "{"] {
            assert!(read_config(&mut bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
