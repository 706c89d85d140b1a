//! The images of a request, or of a plan that is made again: their trees, and the inputs that a plan of them has.

use super::Service;
use super::library::{Known, Library};
use super::refusal::Refusal;
use crate::access::Access;
use crate::meter::Meter;
use crate::plan::inputs::{HeldInput, Inputs, Terms, WantedInput};
use crate::plan::order::Cold;
use crate::plan::{Held, Wanted};
use skiff_protocol::Version;
use skiff_protocol::request::{self, Codecs, DeployRequest, Part, Want};
use skiff_protocol::response::FailureCode;

/// Images with their trees.
pub(crate) struct Images<I> {
    /// A plan's inputs.
    pub(crate) inputs: Inputs,
    /// Those that are wanted.
    pub(crate) wanted: Vec<Wanted>,
    /// Those that the device holds.
    pub(crate) held: Vec<Held>,
    /// The wanted ones as the library has them.
    pub(crate) images: Vec<I>,
    /// Encoded bytes for a thousand content bytes, see [`Known::ratio`].
    pub(crate) ratio: u64,
}

impl<I> Images<I> {
    fn none(application: Option<&str>, platform: &request::Platform<'_>, terms: Terms) -> Self {
        let request::Platform { os, architecture, variant } = *platform;
        let inputs = Inputs {
            application: application.map(str::to_owned),
            platform: [os, architecture, variant].map(str::to_owned),
            wanted: Vec::new(),
            held: Vec::new(),
            terms,
        };
        Self { inputs, wanted: Vec::new(), held: Vec::new(), images: Vec::new(), ratio: 0 }
    }

    fn want(&mut self, reference: String, known: Known<I>) {
        let Known { target, manifest, tree, tree_digest, blobs, ratio, image } = known;
        let (name, tree_of_input) = (reference.clone(), tree_digest);
        self.inputs.wanted.push(WantedInput {
            reference: name,
            target,
            manifest,
            tree: tree_of_input,
        });
        self.wanted.push(Wanted { reference, target, manifest, tree, tree_digest, blobs });
        self.images.push(image);
        self.ratio = self.ratio.max(ratio);
    }

    fn hold(&mut self, reference: &str, held: Held) {
        self.inputs.held.push(HeldInput {
            reference: reference.to_owned(),
            manifest: held.manifest,
            depth: held.depth,
            tree: held.tree.as_ref().map(|(_, digest)| *digest),
        });
        self.held.push(held);
    }
}

/// The images of a request, as tags and hot sets are now.
pub(crate) async fn find<L: Library>(
    service: &Service<L>,
    access: &Access,
    request: &DeployRequest<'_>,
    version: Version,
    meter: &Meter,
) -> Result<Images<L::Image>, Refusal> {
    let (library, platform) = (&service.library, &request.platform);
    let (references, application) = match &request.want {
        Want::Images(references) => {
            (references.iter().map(|&name| name.to_owned()).collect::<Vec<_>>(), None)
        }
        Want::Application(name) => {
            let images = library.application(name).await?;
            // Whether there is one is not for everybody.
            if !access.is_all() && images.is_none() {
                return Err(denied(version, format!("the application {name:?}")));
            }
            let images = images.ok_or_else(|| {
                let text = format!(
                    "the accelerator knows no application {name:?}; tell it by \
                     `skiff-accelerator app set`"
                );
                Refusal::new(FailureCode::NotFound, text)
            })?;
            (images, Some(*name))
        }
        _ => return Err(Refusal::new(FailureCode::NotFound, "the request names no images")),
    };
    // Before anything is asked of the registry, so that the answer is the same whether there is such an image.
    for reference in &references {
        if !access.has_image(reference) {
            let what = application
                .map_or_else(|| reference.clone(), |name| format!("the application {name:?}"));
            return Err(denied(version, what));
        }
    }
    let held_are_cold = request.codecs.contains(Codecs::NO_HELD_BASES);
    let terms = Terms { with_bases: version.has_bases(), cold: None, held_are_cold };
    let mut found = Images::none(application, platform, terms);
    for reference in references {
        let known = library.image(&reference, platform, meter).await?;
        found.want(reference, known);
    }
    for held in &request.held {
        let image = if held.reference.is_empty() {
            let tree = library.base(held.manifest).await?.map(|tree| (tree, held.manifest));
            Held { manifest: held.manifest, depth: held.depth, is_base: true, tree }
        } else {
            let known = async {
                if !access.has_image(held.reference) {
                    let text = "the policy does not let this device read its repository";
                    return Err(Refusal::new(FailureCode::Denied, text));
                }
                let known = library.held(held.reference, held.manifest, platform, meter).await?;
                let (manifest, tree) = (held.manifest, known.tree_digest);
                if !library.is_in(access, held.reference, manifest, tree).await? {
                    let text = "it is of no repository that the policy lets this device read";
                    return Err(Refusal::new(FailureCode::Denied, text));
                }
                Ok((known.tree, known.tree_digest))
            };
            let tree = match known.await {
                Ok(tree) => Some(tree),
                Err(refusal) if is_passing(refusal.code) => return Err(refusal),
                Err(refusal) => {
                    tracing::warn!(held = held.reference, "counts as not held: {refusal}");
                    None
                }
            };
            Held { manifest: held.manifest, depth: held.depth, is_base: false, tree }
        };
        found.hold(held.reference, image);
    }
    let hydration = &request.hydration;
    if hydration.cold_files > 0 {
        let (wanted, images) = (&found.wanted, &found.images);
        let hot = library.hot(application, hydration.class, platform, wanted, images).await?;
        found.inputs.terms.cold = Some(Cold { files: hydration.cold_files, hot });
    }
    Ok(found)
}

/// The refusal of what a device may not read.
fn denied(version: Version, what: String) -> Refusal {
    let code = match version.has_denied() {
        true => FailureCode::Denied,
        false => FailureCode::NotFound,
    };
    let text =
        format!("the accelerator's policy does not let this device read {what}, if that exists");
    Refusal::new(code, text)
}

/// Whether a device may have what a plan of these inputs brings: all its images and, where metadata or patches are sent that
/// refer to files of held images, those.
pub(crate) async fn may_have<L: Library>(
    service: &Service<L>,
    access: &Access,
    inputs: &Inputs,
    request: &DeployRequest<'_>,
) -> Result<bool, Refusal> {
    if access.is_all() {
        return Ok(true);
    }
    if !inputs.wanted.iter().all(|want| access.has_image(&want.reference)) {
        return Ok(false);
    }
    // A patch tells of what it is put on, too.
    match request.part {
        Part::Repair { .. } => return Ok(true),
        Part::Rest { .. } if !request.codecs.contains(Codecs::PATCHES) => return Ok(true),
        _ => {}
    }
    for held in inputs.held.iter().filter(|held| !held.reference.is_empty()) {
        let Some(tree) = held.tree else { continue };
        let is_theirs = access.has_image(&held.reference)
            && service.library.is_in(access, &held.reference, held.manifest, tree).await?;
        if !is_theirs {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The images of a plan's inputs; nothing if something is not what it was.
pub(crate) async fn again<L: Library>(
    service: &Service<L>,
    inputs: Inputs,
    meter: &Meter,
) -> Result<Option<Images<L::Image>>, Refusal> {
    let [os, architecture, variant] = &inputs.platform;
    let platform = request::Platform { os, architecture, variant };
    let terms = inputs.terms.clone();
    let mut found = Images::none(inputs.application.as_deref(), &platform, terms);
    for want in &inputs.wanted {
        // A digest wins over a tag that stands beside it.
        let name = want.reference.split_once('@').map_or(&*want.reference, |(name, _)| name);
        let name = format!("{name}@{}", want.target);
        let known = service.library.image(&name, &platform, meter).await?;
        found.want(want.reference.clone(), known);
    }
    for held in &inputs.held {
        let tree = match held.tree {
            None => None,
            Some(digest) if held.reference.is_empty() => {
                service.library.base(digest).await?.map(|tree| (tree, digest))
            }
            Some(_) => {
                let known =
                    service.library.held(&held.reference, held.manifest, &platform, meter).await?;
                Some((known.tree, known.tree_digest))
            }
        };
        let (manifest, depth, is_base) = (held.manifest, held.depth, held.reference.is_empty());
        found.hold(&held.reference, Held { manifest, depth, is_base, tree });
    }
    Ok((found.inputs == inputs).then_some(found))
}

/// Whether a held image may be there for the next request. What a device got elsewhere, from a
/// registry or repository that the accelerator can't read, must not stop a deployment.
fn is_passing(code: FailureCode) -> bool {
    matches!(code, FailureCode::RegistryUnavailable | FailureCode::Internal)
}
