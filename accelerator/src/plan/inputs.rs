//! A plan's inputs as they are kept, so that the very same plan can be made again: after the tag has moved or the
//! hot set has changed, and by another accelerator with the same database.
//!
//! Images are named by digest there. What the registry has no more can't be planned again.

use super::order::Cold;
use serde::{Deserialize, Serialize};
use skiff_protocol::Digest;
use skiff_protocol::request::{DeployRequest, Part, Want};

/// Of the encoding; inputs of another version are not read.
const VERSION: u8 = 2;

/// The inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// The application that was asked for, if it was one.
    pub application: Option<String>,
    /// Operating system, architecture, variant.
    pub platform: [String; 3],
    /// The images that are wanted.
    pub wanted: Vec<WantedInput>,
    /// What the device holds.
    pub held: Vec<HeldInput>,
    /// What the plan may have, beside images.
    pub terms: Terms,
}

/// What a device understands, and how it starts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Base layers.
    pub with_bases: bool,
    /// Files that stay cold.
    pub cold: Option<Cold>,
    /// Files of held images are not all there, so that no patch is put on them.
    pub held_are_cold: bool,
}

/// An image that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedInput {
    /// The reference as it was asked for.
    pub reference: String,
    /// The index or, where there is none, the manifest.
    pub target: Digest,
    /// The manifest.
    pub manifest: Digest,
    /// Its tree.
    pub tree: Digest,
}

/// An image or base that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldInput {
    /// The reference; empty for a base.
    pub reference: String,
    /// The manifest, or a base's tree.
    pub manifest: Digest,
    /// Layers in its overlay stack.
    pub depth: u16,
    /// Its tree, unless it was unknown.
    pub tree: Option<Digest>,
}

impl Inputs {
    /// The encoded inputs.
    pub fn encode(&self) -> Vec<u8> {
        // Encoding plain data into a vector can't fail.
        postcard::to_stdvec(&(VERSION, self)).unwrap_or_default()
    }

    /// Inputs that this version wrote.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest): (u8, _) = postcard::take_from_bytes(bytes).ok()?;
        (version == VERSION).then(|| postcard::from_bytes(rest).ok()).flatten()
    }

    /// Whether a request for a part of the plan can be one of these inputs. A repair or a rest has no metadata, so
    /// that it may name the images otherwise, by digest; a device that resumes gets metadata, which repeat its
    /// references and say indexes of its held images.
    pub fn are_of(&self, request: &DeployRequest<'_>) -> bool {
        match &request.part {
            Part::Repair { .. } | Part::Rest { .. } => self.has_named(&request.want, true),
            _ => self.has_named(&request.want, false) && self.has_held(request),
        }
    }

    fn has_named(&self, want: &Want<'_>, by_digest: bool) -> bool {
        match want {
            Want::Application(name) => self.application.as_deref() == Some(*name),
            Want::Images(references) if by_digest => references.iter().all(|reference| {
                let digest = reference.split_once('@').and_then(|(_, text)| Digest::parse(text));
                let is = |want: &WantedInput| {
                    want.reference == *reference
                        || digest.is_some_and(|one| [want.target, want.manifest].contains(&one))
                };
                self.wanted.iter().any(is)
            }),
            Want::Images(references) => {
                let ours = self.wanted.iter().map(|want| want.reference.as_str());
                ours.eq(references.iter().copied())
            }
            _ => false,
        }
    }

    fn has_held(&self, request: &DeployRequest<'_>) -> bool {
        let ours = self.held.iter().map(|held| (&*held.reference, held.manifest, held.depth));
        ours.eq(request.held.iter().map(|held| (held.reference, held.manifest, held.depth)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hot::Item;
    use skiff_protocol::request::{Codecs, Held, Hydration, Platform, Purpose};
    use skiff_protocol::{Ranges, Version};

    const A: Digest = Digest([1; 32]);
    const B: Digest = Digest([2; 32]);

    fn inputs() -> Inputs {
        Inputs {
            application: None,
            platform: ["linux".into(), "arm".into(), "v7".into()],
            wanted: vec![WantedInput { reference: "a:1".into(), target: A, manifest: B, tree: A }],
            held: vec![HeldInput { reference: "a:0".into(), manifest: A, depth: 2, tree: None }],
            terms: Terms {
                with_bases: true,
                cold: Some(Cold { files: 3, hot: vec![Item::file(0, "bin/x")] }),
                held_are_cold: true,
            },
        }
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let bytes = inputs().encode();
        assert_eq!(Inputs::decode(&bytes), Some(inputs()));
        assert_eq!(Inputs::decode(b"want a sha256:00\n"), None, "what the first version kept");
        assert_eq!(Inputs::decode(&[&[VERSION + 1], &bytes[1..]].concat()), None);
        assert_eq!(Inputs::decode(&bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn who_may_ask_for_parts() {
        let resume = Part::Resume { plan: A, have: Ranges::new() };
        let repair = Part::Repair { plan: A, contents: Ranges::new() };
        let held = Held { reference: "a:0", manifest: A, depth: 2 };
        let by_target = format!("a:1@{A}");
        let by_manifest = format!("host:5000/a@{B}");
        let by_other = format!("a:1@{}", Digest([3; 32]));
        let rows: [(&Part, &str, &[Held<'_>], bool); 8] = [
            (&resume, "a:1", &[held], true),
            (&resume, "a:2", &[held], false),
            (&resume, "a:1", &[], false),
            (&resume, &by_target, &[held], false),
            (&repair, "a:1", &[], true),
            (&repair, &by_target, &[], true),
            (&repair, &by_manifest, &[], true),
            (&repair, &by_other, &[held], false),
        ];
        for (part, reference, held, expected) in rows {
            let request = DeployRequest {
                version: Version::CURRENT,
                agent: "",
                platform: Platform { os: "", architecture: "", variant: "" },
                codecs: Codecs::DEFLATE,
                want: Want::Images(heapless::Vec::from_slice(&[reference]).unwrap()),
                held: held.iter().copied().collect(),
                purpose: Purpose::Deliver,
                max_bytes: None,
                part: part.clone(),
                hydration: Hydration::default(),
                digests: &[],
            };
            assert_eq!(inputs().are_of(&request), expected, "{part:?} {reference}");
            let request = DeployRequest { want: Want::Application("shop"), ..request };
            assert!(!inputs().are_of(&request));
            let shop = Inputs { application: Some("shop".into()), ..inputs() };
            assert_eq!(
                shop.are_of(&request),
                matches!(part, Part::Repair { .. }) || !held.is_empty()
            );
        }
    }
}
