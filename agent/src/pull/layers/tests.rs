//! Layers that find their parents at the end, in a plain directory. As root.

use super::*;
use crate::target::TargetTrouble;
use smol::block_on;
use std::fs;

struct Place {
    directory: tempfile::TempDir,
    target: Target,
}

fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::root(&directory.path().join("root")).unwrap();
    Place { directory, target }
}

fn chain(id: u8) -> SnapshotName {
    SnapshotName::Chain(Digest([id; 32]))
}

fn held(snapshot: SnapshotName, depth: u16) -> HeldImage {
    let (target_digest, manifest_digest) = ([0; 32], [0; 32]);
    HeldImage { name: "held".to_owned(), target_digest, manifest_digest, snapshot, depth }
}

impl Place {
    /// Begins a layer with one file.
    fn begin(
        &self,
        layers: &mut NewLayers,
        parent: Parent,
        held: &[HeldImage],
        file: &str,
    ) -> Result<(), PullError> {
        block_on(layers.begin(parent, "x", &self.target, held))?;
        fs::write(layers.list.last().unwrap().directory.join(file), file).unwrap();
        Ok(())
    }

    fn commit(&self, layers: &NewLayers, images: &[(u16, Digest)]) {
        for (number, name) in layers.names(images.iter().copied()).unwrap().into_iter().enumerate()
        {
            block_on(layers.commit(
                number,
                name,
                self.directory.path(),
                &self.target,
                &mut |_, _| Ok(()),
            ))
            .unwrap();
        }
    }

    /// The layers of a snapshot, each as its files' names, top first.
    fn stack(&self, name: SnapshotName) -> Vec<Vec<String>> {
        let names = |directory: &PathBuf| {
            let files = fs::read_dir(directory).unwrap();
            let mut names: Vec<_> =
                files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        block_on(self.target.layer_dirs(name)).unwrap().iter().map(names).collect()
    }

    /// Names in the target's directory of snapshots.
    fn snapshots(&self) -> usize {
        fs::read_dir(self.directory.path().join("root/snapshots")).unwrap().count()
    }
}

#[test]
fn layers_are_put_on_a_base_of_the_same_stream() {
    let place = place();
    let base = SnapshotName::Base(Digest([9; 32]));
    let mut layers = NewLayers::default();
    layers.announce_base(Digest([9; 32])).unwrap();
    place.begin(&mut layers, Parent::None, &[], "base").unwrap();
    place.begin(&mut layers, Parent::Layer(0), &[], "one").unwrap();
    place.begin(&mut layers, Parent::Layer(0), &[], "two").unwrap();
    assert_eq!(block_on(place.target.depth(base)).unwrap(), None, "it is not whole yet");
    let first = layers.list[1].directory.clone();
    fs::set_permissions(&first, std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    place.commit(&layers, &[(1, Digest([1; 32])), (2, Digest([2; 32]))]);
    assert_eq!(place.stack(chain(1)), [["one"], ["base"]]);
    assert_eq!(place.stack(chain(2)), [["two"], ["base"]]);
    assert_eq!(place.stack(base), [["base"]]);
    let root = &block_on(place.target.layer_dirs(chain(1))).unwrap()[0];
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(root).unwrap().permissions());
    assert_eq!(mode & 0o7777, 0o711, "the root's own metadata come along");
    assert_eq!(place.snapshots(), 3);
    assert_eq!(block_on(place.target.leftovers()).unwrap().len(), 3, "no image record yet");

    // The same once more, and the base with it: what is there is used.
    let mut again = NewLayers::default();
    again.announce_base(Digest([9; 32])).unwrap();
    place.begin(&mut again, Parent::None, &[], "other").unwrap();
    place.begin(&mut again, Parent::Layer(0), &[], "other").unwrap();
    place.begin(&mut again, Parent::Layer(0), &[], "three").unwrap();
    place.commit(&again, &[(1, Digest([1; 32])), (2, Digest([3; 32]))]);
    assert_eq!(place.stack(chain(1)), [["one"], ["base"]]);
    assert_eq!(place.stack(chain(3)), [["three"], ["base"]]);
    assert_eq!(place.snapshots(), 4);
}

#[test]
fn a_stack_never_gets_too_deep() {
    let place = place();
    let mut files = Vec::new();
    let mut roots = 0;
    for id in 0..33u8 {
        let held: Vec<_> = id
            .checked_sub(1)
            .map(|last| {
                held(chain(last), block_on(place.target.depth(chain(last))).unwrap().unwrap())
            })
            .into_iter()
            .collect();
        let parent = if held.is_empty() { Parent::None } else { Parent::Held(0) };
        let mut layers = NewLayers::default();
        let file = format!("{id:02}");
        place.begin(&mut layers, parent, &held, &file).unwrap();
        place.commit(&layers, &[(0, Digest([id; 32]))]);
        files.push(file);
        let stack = place.stack(chain(id));
        assert!(stack.len() <= usize::from(MAX_STACK), "{} layers", stack.len());
        roots += usize::from(stack.len() == 1);
        let mut all = stack.concat();
        all.sort();
        assert_eq!(all, files, "update {id}");
        assert_eq!(place.snapshots(), files.len());
    }
    assert_eq!(roots, 3, "one of each 16 is a root");
}

#[test]
fn a_stack_that_can_not_be_laid_into_one_gets_deeper() {
    let place = place();
    let mut parent = None;
    for id in 0..16 {
        let directory = block_on(place.target.prepare("skiff-x", parent)).unwrap();
        if id == 5 {
            let redirect = "trusted.overlay.redirect";
            rustix::fs::setxattr(&directory, redirect, b"/x", rustix::fs::XattrFlags::empty())
                .unwrap();
        }
        block_on(place.target.commit("skiff-x", chain(id))).unwrap();
        parent = Some(chain(id));
    }
    let mut layers = NewLayers::default();
    let held = [held(chain(15), MAX_STACK)];
    place.begin(&mut layers, Parent::Held(0), &held, "top").unwrap();
    place.commit(&layers, &[(0, Digest([99; 32]))]);
    let stack = place.stack(chain(99));
    assert_eq!((stack.len(), &*stack[0]), (17, &["top".to_owned()][..]));
    assert_eq!(place.snapshots(), 17);
}

#[test]
fn a_base_on_the_base_before_never_gets_too_deep() {
    let place = place();
    let base = |id| SnapshotName::Base(Digest([id; 32]));
    let depth = |name| block_on(place.target.depth(name)).unwrap().unwrap();
    let (mut files, mut roots) = (Vec::new(), 0);
    for id in 0..33u8 {
        let before = id.checked_sub(1).map(base);
        let held: Vec<_> = before.into_iter().map(|name| held(name, depth(name))).collect();
        let parent = if held.is_empty() { Parent::None } else { Parent::Held(0) };
        let mut layers = NewLayers::default();
        layers.announce_base(Digest([id; 32])).unwrap();
        let file = format!("{id:02}");
        place.begin(&mut layers, parent, &held, &file).unwrap();
        place.begin(&mut layers, Parent::Layer(0), &held, "one").unwrap();
        place.begin(&mut layers, Parent::Layer(0), &held, "two").unwrap();
        let makes_root = layers.makes_root();
        let images = [(1, Digest([100 + id; 32])), (2, Digest([200 + id; 32]))];
        place.commit(&layers, &images);
        files.push(file);
        let mut below = place.stack(base(id)).concat();
        below.sort();
        assert_eq!(below, files, "update {id}");
        let is_root = depth(base(id)) == 1;
        assert_eq!(makes_root, is_root && id > 0, "update {id}");
        roots += usize::from(is_root);
        for (name, file) in [(chain(100 + id), "one"), (chain(200 + id), "two")] {
            let stack = place.stack(name);
            assert!(stack.len() <= usize::from(MAX_STACK), "{} layers", stack.len());
            // The base is below it, not a copy of what it has.
            assert_eq!(stack[0], [file], "update {id}");
            assert_eq!(stack.len(), usize::from(depth(base(id))) + 1);
        }
    }
    assert_eq!(roots, 3, "one of each 15 is a root");
}

#[test]
fn what_is_given_up_leaves_nothing() {
    let place = place();
    let mut layers = NewLayers::default();
    layers.announce_base(Digest([9; 32])).unwrap();
    place.begin(&mut layers, Parent::None, &[], "base").unwrap();
    place.begin(&mut layers, Parent::Layer(0), &[], "one").unwrap();
    let names = layers.names([(1, Digest([1; 32]))].into_iter()).unwrap();
    let scratch = place.directory.path();
    // The parent is not committed.
    let error = block_on(layers.commit(1, names[1], scratch, &place.target, &mut |_, _| Ok(())))
        .unwrap_err();
    assert!(
        matches!(error.trouble(), PullTrouble::Target(error) if matches!(error.trouble(), TargetTrouble::NoSnapshot { .. })),
        "{error}"
    );
    // As if it had died between the steps of a commit.
    block_on(place.target.prepare(&layers.list[1].final_key(), None)).unwrap();
    assert_eq!(block_on(place.target.leftovers()).unwrap().len(), 3);
    block_on(layers.abandon(&place.target));
    assert_eq!(place.snapshots(), 0);
}

#[test]
fn what_an_accelerator_must_not_say() {
    let place = place();
    let begin = |layers: &mut NewLayers, parent| place.begin(layers, parent, &[], "x");
    let digest = Digest([1; 32]);
    let mut layers = NewLayers::default();
    layers.announce_base(digest).unwrap();
    assert!(layers.announce_base(digest).is_err());
    assert!(layers.awaits_layer());
    assert!(begin(&mut layers, Parent::Layer(0)).is_err(), "its own parent");

    let mut layers = NewLayers::default();
    begin(&mut layers, Parent::None).unwrap();
    assert!(begin(&mut layers, Parent::Layer(0)).is_err(), "that is no base");
    assert!(begin(&mut layers, Parent::Held(0)).is_err(), "that is not held");

    let mut layers = NewLayers::default();
    layers.announce_base(digest).unwrap();
    begin(&mut layers, Parent::None).unwrap();
    begin(&mut layers, Parent::Layer(0)).unwrap();
    let rows: [&[u16]; 5] = [&[], &[0], &[0, 1], &[1, 1], &[1, 2]];
    for images in rows {
        let given = images.iter().map(|&number| (number, digest));
        assert!(layers.names(given).is_err(), "{images:?}");
    }
    assert!(layers.names([(1, digest)].into_iter()).is_ok());
    for _ in 1..MAX_WANTED {
        begin(&mut layers, Parent::None).unwrap();
    }
    assert!(begin(&mut layers, Parent::None).is_err(), "a layer too many");
    layers.announce_base(digest).unwrap();
    assert!(begin(&mut layers, Parent::None).is_ok(), "bases are counted apart");
}
