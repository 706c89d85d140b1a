//! Makes the request: what is wanted, what is held.

use super::{PullError, PullTrouble, Wanted};
use crate::decode::CODECS;
use crate::platform;
use crate::target::HeldImage;
use serde::{Deserialize, Serialize};
use skiff_protocol::limits::{MAX_HELD, MAX_REFERENCE, MAX_REQUEST, MAX_WANTED};
use skiff_protocol::request::{Codecs, DeployRequest, Held, Hydration, Part, Purpose, Want};
use skiff_protocol::{Digest, Version};

/// An image or base that is held, as a request names it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Holding {
    /// Its name; empty for a base.
    pub reference: String,
    /// Its manifest; of a base its tree.
    pub manifest: [u8; 32],
    /// Layers of its stack.
    pub depth: u16,
}

impl Holding {
    /// What of these images goes into a request.
    pub fn of(held: &[HeldImage]) -> Vec<Self> {
        let holding = |image: &HeldImage| Self {
            reference: image.name.clone(),
            manifest: image.manifest_digest,
            depth: image.depth,
        };
        held.iter().map(holding).collect()
    }
}

/// What stays the same from one request of a deployment to the next.
#[derive(Debug)]
pub struct Ask<'a> {
    /// What is wanted.
    pub wanted: &'a Wanted,
    /// What the target holds, as it was when the plan was made.
    pub held: &'a [Holding],
    /// Byte budget.
    pub max_bytes: Option<u64>,
    /// What may be cold.
    pub hydration: Hydration<'a>,
    /// Contents that are asked for by digest.
    pub digests: &'a [u8],
    /// Whether packs may be patches, and of what.
    pub patches: Codecs,
}

impl Ask<'_> {
    /// The body of a request.
    pub fn encode(&self, purpose: Purpose, part: Part) -> Result<Vec<u8>, PullError> {
        let want = match self.wanted {
            Wanted::Images(images) => Want::Images(references(images)?),
            Wanted::Application(name) => Want::Application(name.as_str()),
        };
        let mut held = heapless::Vec::<Held<'_>, MAX_HELD>::new();
        for image in self.held {
            let entry = Held {
                reference: &image.reference,
                manifest: Digest(image.manifest),
                depth: image.depth,
            };
            // The target gives no more than fit.
            let _ = held.push(entry);
        }
        let request = DeployRequest {
            version: Version::CURRENT,
            agent: concat!("skiff/", env!("CARGO_PKG_VERSION")),
            platform: platform::of_this_device(),
            codecs: CODECS.and(self.patches),
            want,
            held,
            purpose,
            max_bytes: self.max_bytes,
            part,
            hydration: self.hydration,
            digests: self.digests,
        };
        let mut buffer = vec![0; MAX_REQUEST];
        let len = request
            .encode(&mut buffer)
            .map_err(|_| PullTrouble::Request("it is longer than 64 KiB"))?
            .len();
        buffer.truncate(len);
        buffer.shrink_to_fit();
        Ok(buffer)
    }
}

fn references(images: &[String]) -> Result<heapless::Vec<&str, MAX_WANTED>, PullError> {
    let mut references = heapless::Vec::new();
    for image in images {
        if image.len() > MAX_REFERENCE {
            return Err(PullTrouble::Request("an image reference is longer than 512 bytes").into());
        }
        references
            .push(&**image)
            .map_err(|_| PullTrouble::Request("more than 32 images in one pull"))?;
    }
    Ok(references)
}
