//! The graph of states and deltas, for people and programs: as DOT (Graphviz) and as JSON.
//!
//! A state is a tree that a device can hold: an image's, or that of a base that images share. A delta
//! leads from what is there to what was asked for; one from nothing is a whole tree. Both are noted
//! when they are planned, so the graph shows what devices did and not what they could do.

use serde::{Serialize, Serializer};
use skiff_protocol::Digest;
use std::fmt::Write as _;

/// States and deltas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Graph {
    /// The states.
    pub states: Vec<State>,
    /// The deltas.
    pub deltas: Vec<Arrow>,
}

/// A tree that a device can hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct State {
    /// The tree's digest.
    #[serde(serialize_with = "as_text")]
    pub tree: Digest,
    /// References under which it was asked for; none for a base.
    pub names: Vec<String>,
}

/// A delta.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Arrow {
    /// The tree that it is put on; none for a whole tree.
    #[serde(serialize_with = "as_text_or_null")]
    pub parent: Option<Digest>,
    /// The tree that it shows.
    #[serde(serialize_with = "as_text")]
    pub child: Digest,
    /// Entries.
    pub entries: u64,
    /// Bytes of distinct contents, uncompressed. What the device has elsewhere is not sent.
    pub content_bytes: u64,
    /// What it took on the wire, if it was sent alone once, and nothing came from other images.
    pub sent_bytes: Option<u64>,
}

fn as_text<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(digest)
}

fn as_text_or_null<S: Serializer>(
    digest: &Option<Digest>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match digest {
        Some(digest) => serializer.collect_str(digest),
        None => serializer.serialize_none(),
    }
}

impl Graph {
    /// In the language of Graphviz.
    pub fn dot(&self) -> String {
        let mut dot = String::from("digraph skiff {\n  rankdir=LR;\n  nothing [shape=point];\n");
        for state in &self.states {
            let (shape, label) = match state.names.is_empty() {
                true => ("box, style=dashed", "base".to_owned()),
                false => ("box", state.names.join("\\n")),
            };
            let label = label.replace('"', "'");
            // Writing to a string can't fail.
            let _ = writeln!(dot, "  {} [shape={shape}, label=\"{label}\"];", node(&state.tree));
        }
        for delta in &self.deltas {
            let from = delta.parent.as_ref().map_or("nothing".to_owned(), node);
            let bytes = match delta.sent_bytes {
                Some(bytes) => format!("{} sent", megabytes(bytes)),
                None => format!("up to {} of contents", megabytes(delta.content_bytes)),
            };
            let to = node(&delta.child);
            let entries = delta.entries;
            let _ = writeln!(dot, "  {from} -> {to} [label=\"{entries} entries\\n{bytes}\"];");
        }
        dot.push_str("}\n");
        dot
    }

    /// As JSON, indented.
    pub fn json(&self) -> String {
        // Nothing in it can fail to be written.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

fn node(tree: &Digest) -> String {
    format!("t{}", &tree.hex().to_string()[..16])
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{:02} MB", bytes / 1_000_000, bytes % 1_000_000 / 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_is_dot_and_json() {
        let (old, new) = (Digest([1; 32]), Digest([2; 32]));
        let graph = Graph {
            states: vec![
                State { tree: old, names: vec!["a:1".to_owned(), "b:\"1".to_owned()] },
                State { tree: new, names: Vec::new() },
            ],
            deltas: vec![
                Arrow {
                    parent: None,
                    child: old,
                    entries: 7,
                    content_bytes: 2_340_000,
                    sent_bytes: None,
                },
                Arrow {
                    parent: Some(old),
                    child: new,
                    entries: 1,
                    content_bytes: 9,
                    sent_bytes: Some(1_050_000),
                },
            ],
        };
        let expected = "digraph skiff {
  rankdir=LR;
  nothing [shape=point];
  t0101010101010101 [shape=box, label=\"a:1\\nb:'1\"];
  t0202020202020202 [shape=box, style=dashed, label=\"base\"];
  nothing -> t0101010101010101 [label=\"7 entries\\nup to 2.34 MB of contents\"];
  t0101010101010101 -> t0202020202020202 [label=\"1 entries\\n1.05 MB sent\"];
}
";
        assert_eq!(graph.dot(), expected);
        let json: serde_json::Value = serde_json::from_str(&graph.json()).unwrap();
        assert_eq!(json["deltas"][0]["parent"], serde_json::Value::Null);
        assert_eq!(json["deltas"][1]["parent"], old.to_string());
        assert_eq!(json["states"][0]["names"][0], "a:1");
    }
}
