//! Tables and properties of [`choose`](super::choose).

use super::*;
use crate::plan::arbitrary::{dir, file, large, updates};
use crate::plan::delta::overlay;
use proptest::prelude::*;
use std::sync::Arc;

fn held(trees: &[(&Tree, u16)]) -> Vec<Held> {
    let held = |(tree, depth): &(&Tree, u16)| {
        let tree = (Arc::new((*tree).clone()), Digest(tree.digest()));
        Held { manifest: tree.1, depth: *depth, is_base: false, tree: Some(tree) }
    };
    trees.iter().map(held).collect()
}

fn own<'a>(wanted: &[&'a Tree], held: &'a [Held]) -> Vec<Own<'a>> {
    let own = |(image, tree): (usize, &&'a Tree)| Own {
        image: image + 5,
        tree,
        choice: parent::choose(tree, held, 0),
    };
    wanted.iter().enumerate().map(own).collect()
}

fn files(names: &[(&'static str, u8)]) -> Tree {
    let files: Vec<_> = names.iter().map(|(path, seed)| file(path, *seed)).collect();
    large(&[&[dir("d"), dir("a"), dir("b"), dir("c")], &files[..]].concat())
}

fn paths(tree: &Tree) -> Vec<String> {
    let paths = tree.nodes.keys();
    paths.map(|path| String::from_utf8_lossy(path).into_owned()).collect()
}

/// Images `a`, `b`, `c` with what is shared and what is their own, and on the device the base before.
#[test]
fn a_new_base_is_made_where_it_is_cheaper() {
    let (old, new) = (("d/shared", 50), ("d/shared", 40));
    let kept = ("d/kept", 30);
    let [a, b, c] = [("a/own", 3), ("b/own", 4), ("c/own", 5)];
    let before = [files(&[old, kept]), files(&[old, kept, a]), files(&[old, kept, b])];
    let held = held(&[(&before[0], 1), (&before[1], 2), (&before[2], 2)]);
    let after = |own| files(&[new, kept, own]);

    let wanted = [after(a), after(b)];
    let own_choices = own(&wanted.each_ref(), &held);
    let parents: Vec<_> = own_choices.iter().map(|own| own.choice.0).collect();
    assert_eq!(parents, [Some(1), Some(2)]);
    let (bases, of_images) = choose(&own_choices, &held);
    assert_eq!(of_images, HashMap::from([(5, Below::Layer(0)), (6, Below::Layer(0))]));
    let [base] = &bases[..] else { panic!("{} bases", bases.len()) };
    assert_eq!((base.parent, base.image), (Below::Held(0), 5));
    assert_eq!(paths(&base.tree), ["a", "b", "c", "d", "d/kept", "d/shared"]);
    assert_eq!(delta(Some(&before[0]), &base.tree).len(), 2, "the directory and what is new");

    // One that is new on the device is of the group; one that has nothing new in common is not.
    let alone = files(&[old, kept, ("d/other", 9), a]);
    let wanted = [after(a), alone, after(b), after(c)];
    let (bases, of_images) = choose(&own(&wanted.each_ref(), &held), &held);
    let on = [5, 7, 8].map(|image| (image, Below::Layer(0)));
    assert_eq!((bases.len(), of_images), (1, HashMap::from(on)));

    // What is each image's own is more than what is new: each on its own parent.
    let heavy = [("a/own", 45), ("b/own", 46)];
    let before = [files(&[old, heavy[0]]), files(&[old, heavy[1]]), files(&[old])];
    let held = self::held(&[(&before[0], 1), (&before[1], 1), (&before[2], 1)]);
    let wanted = [files(&[new, heavy[0]]), files(&[new, heavy[1]])];
    let (bases, of_images) = choose(&own(&wanted.each_ref(), &held), &held);
    assert_eq!((bases.len(), of_images.len()), (0, 0));
}

#[test]
fn two_groups_get_a_base_each() {
    let old = [("d/one", 50), ("d/two", 51)];
    let before = files(&old);
    let held = held(&[(&before, 1)]);
    let one = |own| files(&[("d/one", 40), old[1], own]);
    let two = |own| files(&[old[0], ("d/two", 41), own]);
    let wanted = [one(("a/own", 1)), two(("b/own", 2)), one(("c/own", 3)), two(("c/own", 4))];
    let (bases, of_images) = choose(&own(&wanted.each_ref(), &held), &held);
    let below = [5, 6, 7, 8].map(|image| of_images[&image]);
    assert_eq!(bases.len(), 2);
    assert_eq!((below[0], below[1]), (below[2], below[3]));
    assert_ne!(below[0], below[1]);
}

#[test]
fn what_is_held_just_so_gets_no_layer() {
    let shared = files(&[("d/shared", 50)]);
    // As many names as the others have in common with what is shared, and these are tried for the images first.
    let far = [60, 61, 62, 63].map(|n| files(&[("a/own", 1), ("b/own", 2), ("d/x", n)]));
    let held =
        held(&[&far[..], &[shared]].concat().iter().map(|tree| (tree, 1)).collect::<Vec<_>>());
    let wanted =
        [files(&[("a/own", 1), ("d/shared", 50)]), files(&[("b/own", 2), ("d/shared", 50)])];
    let own = own(&wanted.each_ref(), &held);
    assert!(own.iter().all(|own| own.choice.0 != Some(4)));
    let (bases, of_images) = choose(&own, &held);
    assert_eq!(bases.len(), 0);
    assert_eq!(of_images, HashMap::from([5, 6].map(|image| (image, Below::Held(4)))));
}

/// What brings the images, as the planner counts it.
fn cost_of(wanted: &[&Tree], held: &[Held], bases: &[Base], below: &HashMap<usize, Below>) -> u64 {
    let parent = |below: Below| match below {
        Below::Nothing => (None, 0),
        Below::Held(index) => {
            (held[index].tree.as_ref().map(|(tree, _)| &**tree), held[index].depth)
        }
        Below::Layer(index) => {
            let depth = match bases[index].parent {
                Below::Held(index) => held[index].depth,
                _ => 0,
            };
            (Some(&bases[index].tree), depth + 1)
        }
    };
    let of = |below: Below, tree: &Tree| {
        let (parent, depth) = parent(below);
        parent::cost(&delta(parent, tree), depth)
    };
    let own = own(wanted, held);
    let images = own.iter().map(|own| {
        let alone = own.choice.0.map_or(Below::Nothing, Below::Held);
        of(below.get(&own.image).copied().unwrap_or(alone), own.tree)
    });
    images.chain(bases.iter().map(|base| of(base.parent, &base.tree))).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn images_show_on_their_bases_and_cost_no_more(trees in updates(), with_base in any::<bool>()) {
        let [old_a, a, old_b, b] = &trees;
        let old_base = bases::common([old_a, old_b].into_iter());
        let mut all = vec![(old_a, 2), (old_b, 2)];
        if with_base {
            all.push((&old_base, 1));
        }
        let held = held(&all);
        let wanted = [a, b];
        let (bases, of_images) = choose(&own(&wanted, &held), &held);
        prop_assert!(bases.len() <= 1);
        for (image, below) in &of_images {
            let (base, parent) = match below {
                Below::Layer(index) => (&bases[*index].tree, bases[*index].parent),
                Below::Held(index) => (&*held[*index].tree.as_ref().unwrap().0, Below::Nothing),
                Below::Nothing => panic!("no base"),
            };
            let lower = match parent {
                Below::Held(index) => (*held[index].tree.as_ref().unwrap().0).clone(),
                _ if matches!(below, Below::Held(_)) => base.clone(),
                _ => Tree::default(),
            };
            let lower = overlay(&lower, &delta(Some(&lower), base));
            prop_assert_eq!(lower.digest(), base.digest());
            let want = wanted[*image - 5];
            let shown = overlay(&lower, &delta(Some(base), want));
            prop_assert_eq!(shown.digest(), want.digest());
        }
        let alone = cost_of(&wanted, &held, &[], &HashMap::new());
        let chosen = cost_of(&wanted, &held, &bases, &of_images);
        prop_assert!(chosen < alone || bases.is_empty() && chosen == alone, "{} {}", chosen, alone);
        let again = choose(&own(&wanted, &held), &held);
        prop_assert_eq!(again.1, of_images);
        let digests = |bases: &[Base]| bases.iter().map(|base| base.digest).collect::<Vec<_>>();
        prop_assert_eq!(digests(&again.0), digests(&bases));
    }
}
