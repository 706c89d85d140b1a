//! Applied layers as bytes, for the database, in the form that [`crate::tree::encode`] describes: a
//! map, and an option of one.

use super::{AppliedLayer, Entries, Entry};
use crate::tree::FileKind;
use crate::tree::encode::{DecodeError, Row, check, decode, encode, invalid, map, rows};

const LAYER: [u8; 4] = *b"SKL2";

impl AppliedLayer {
    /// The layer as bytes for [`AppliedLayer::decode`].
    pub fn encode(&self) -> Vec<u8> {
        encode(LAYER, &(rows(&self.entries), self.base.as_ref().map(rows)))
    }

    /// Reads what [`AppliedLayer::encode`] wrote, and checks it.
    ///
    /// # Errors
    /// The bytes are damaged, or of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (entries, base): (Vec<Row<Entry>>, Option<Vec<Row<Entry>>>) = decode(LAYER, bytes)?;
        Ok(Self { entries: layer_map(entries)?, base: base.map(layer_map).transpose()? })
    }
}

fn layer_map(rows: Vec<Row<Entry>>) -> Result<Entries, DecodeError> {
    let entries = map(rows)?;
    check(&entries, Entry::node)?;
    for (path, entry) in &entries {
        let directory = matches!(entry, Entry::Directory { .. });
        if entry.node().is_some_and(|n| (n.kind == FileKind::Directory) != directory) {
            return Err(invalid(path, "a directory's entry is not a directory's"));
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::merge;
    use crate::layer::tar_builder::{applied, dir, file};
    use crate::tree::Tree;

    #[test]
    fn layers_come_back() {
        let plain = applied(&[dir("usr/lib/"), file("usr/lib/a", "x"), file(".wh.gone", "")]);
        let other_as_base = applied(&[file("a", ""), file(".wh.a", "")]);
        assert!(plain.base.is_none() && other_as_base.base.is_some());
        for layer in [plain, other_as_base] {
            assert_eq!(AppliedLayer::decode(&layer.encode()).unwrap(), layer);
            let error = Tree::decode(&layer.encode()).unwrap_err();
            assert!(matches!(error, DecodeError::Magic));
            let tree = merge([layer]).encode();
            assert!(matches!(AppliedLayer::decode(&tree).unwrap_err(), DecodeError::Magic));
        }
    }
}
