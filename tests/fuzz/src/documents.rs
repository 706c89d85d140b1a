//! Indexes, manifests and configs: read whole by the accelerator, as streams by the agent.
//!
//! The first byte says which of the three the rest is.
//!
//! Must hold, whatever the bytes are: where the accelerator takes a document, the agent takes it, too, and reads the
//! same out of it: which manifests an index has, the config and the number of layers, the chain ID.
//!
//! The planted fault: an accelerator that folds the chain ID from the last layer on.

use crate::chance::Chance;
use crate::{Planted, Target, answer};
use skiff::containerd::metadata;
use skiff_accelerator::registry::manifest::{Config, Document};
use skiff_protocol::Digest;

/// The target.
pub const TARGET: Target = Target { name: "documents", check, generate, inputs: 40_000 };

/// Its body.
pub fn check(input: &[u8], planted: Planted) {
    let [mode, rest @ ..] = input else { return };
    match mode % 2 {
        0 => document(rest),
        _ => config(rest, planted),
    }
}

#[allow(clippy::expect_used, reason = "that is what it does")]
fn document(input: &[u8]) {
    match Document::parse(input, "") {
        Ok(Document::Manifest(theirs)) => {
            let ours = metadata::read_manifest(&mut &*input).expect("the accelerator takes it");
            assert_eq!((ours.config, ours.layers), (theirs.config.digest, theirs.layers.len()));
        }
        Ok(Document::Index(theirs)) => {
            for (descriptor, _) in &theirs.manifests {
                let listed = metadata::index_lists(&mut &*input, &descriptor.digest);
                assert!(listed.expect("the accelerator takes it"), "{}", descriptor.digest);
            }
        }
        Err(_) => {
            let _ = metadata::read_manifest(&mut &*input);
            let _ = metadata::index_lists(&mut &*input, &Digest([0; 32]));
        }
    }
}

#[allow(clippy::expect_used, reason = "that is what it does")]
fn config(input: &[u8], planted: Planted) {
    let ours = metadata::read_config(&mut &*input);
    let Ok(theirs) = Config::parse(input) else { return };
    let mut diff_ids = theirs.diff_ids;
    if planted.is_fault() {
        diff_ids.reverse();
    }
    let layers = diff_ids.len();
    let fold = |chain: Digest, next| answer::sha256(format!("{chain} {next}").as_bytes());
    let Some(chain_id) = diff_ids.into_iter().reduce(fold) else { return };
    let ours = ours.expect("the accelerator takes it");
    assert_eq!((ours.chain_id, ours.layers), (chain_id, layers));
}

fn generate(chance: &mut Chance) -> Vec<u8> {
    let digest = |chance: &mut Chance| Digest([chance.byte(); 32]).to_string();
    let many = |chance: &mut Chance, one: &dyn Fn(&mut Chance) -> String| {
        let list: Vec<_> = (0..1 + chance.below(4)).map(|_| one(chance)).collect();
        list.join(",")
    };
    let described = |chance: &mut Chance, media_type: &str| {
        format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":7}}"#, digest(chance))
    };
    let (mode, text) = match chance.below(3) {
        0 => {
            let oci = "application/vnd.oci.image";
            let config = described(chance, &format!("{oci}.config.v1+json"));
            let layer = format!("{oci}.layer.v1.tar+gzip");
            let layers = many(chance, &|chance| described(chance, &layer));
            (0, format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layers}]}}"#))
        }
        1 => {
            let one = |chance: &mut Chance| {
                let platform = r#"{"os":"linux","architecture":"arm","variant":"v7"}"#;
                format!(r#"{{"digest":"{}","size":3,"platform":{platform}}}"#, digest(chance))
            };
            (0, format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, many(chance, &one)))
        }
        _ => {
            let one = |chance: &mut Chance| format!("\"{}\"", digest(chance));
            let diff_ids = many(chance, &one);
            let rootfs = format!(r#""rootfs":{{"type":"layers","diff_ids":[{diff_ids}]}}"#);
            (1, format!(r#"{{"os":"linux","architecture":"amd64",{rootfs}}}"#))
        }
    };
    [vec![mode], text.into_bytes()].concat()
}
