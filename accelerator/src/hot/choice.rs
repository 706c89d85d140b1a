//! Which of the sets that are known is used for a deployment.
//!
//! For an application: what devices of the class reported of it, else what devices of no class did, else what was
//! said by hand. Images that this names nothing of have sets of their own, found in the same order, and at the
//! end of it there is the prediction. Reports of different classes are never merged, nor are those of different
//! platforms.

use super::merge::merge;
use super::{Item, Listed, MOST};
use crate::store::hot::{Kept, REPORTS};
use crate::tree::Tree;
use std::collections::HashSet;

/// An image that is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    /// Its repository.
    pub repository: &'a str,
    /// Its tree.
    pub tree: &'a Tree,
}

/// What is known of a subject for a device, as items of these images; nothing if nothing is known.
pub fn best(
    reports: &[Kept],
    by_hand: &[Kept],
    platform: &str,
    class: &str,
    images: &[Image<'_>],
) -> Option<Vec<Item>> {
    let of_class = |class: &str| {
        let fits = |kept: &&Kept| kept.platform == platform && kept.class == class;
        let mut reports: Vec<&Listed> =
            reports.iter().filter(fits).map(|kept| &kept.listed).collect();
        let most = usize::try_from(REPORTS).unwrap_or(usize::MAX);
        reports.drain(..reports.len().saturating_sub(most));
        let items = reports.into_iter().map(|listed| items(listed, images)).collect::<Vec<_>>();
        let merged = merge(&items);
        (!merged.is_empty()).then_some(merged)
    };
    let said = |class: &str| {
        let kept = by_hand.iter().find(|kept| kept.class == class)?;
        let items = items(&kept.listed, images);
        (!items.is_empty()).then_some(items)
    };
    of_class(class).or_else(|| of_class("")).or_else(|| said(class)).or_else(|| said(""))
}

/// The items that are files of these images, by the images' places here.
pub fn items(listed: &Listed, images: &[Image<'_>]) -> Vec<Item> {
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    for item in &listed.items {
        let repository = listed.images.get(usize::from(item.image));
        for (index, image) in (0..).zip(images) {
            if !listed.images.is_empty() && repository.is_none_or(|name| name != image.repository) {
                continue;
            }
            let Some(path) = image.tree.resolve(&item.path) else { continue };
            if image.tree.content(&path).is_none_or(|content| content.size == 0) {
                continue;
            }
            let item = Item { image: index, path, part: item.part };
            if found.len() < MOST && seen.insert(item.clone()) {
                found.push(item);
            }
        }
    }
    found
}

/// Sets of several images as one: the first of each, the second of each, and so on, since their programs start
/// at the same time.
pub fn interleave(sets: Vec<Vec<Item>>) -> Vec<Item> {
    let mut all: Vec<(usize, Item)> =
        sets.into_iter().flat_map(|set| set.into_iter().enumerate()).collect();
    all.sort_by_key(|(place, item)| (*place, item.image));
    all.truncate(MOST);
    all.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::arbitrary::{file, tree};

    fn kept(platform: &str, class: &str, images: &[&str], items: &[(u16, &str)]) -> Kept {
        let images = images.iter().map(|&name| name.to_owned()).collect();
        let items = items.iter().map(|&(image, path)| Item::file(image, path)).collect();
        let listed = Listed { images, items };
        Kept { platform: platform.to_owned(), class: class.to_owned(), listed }
    }

    fn shown(items: Option<Vec<Item>>) -> Option<String> {
        let show = |item: Item| format!("{}:{}", item.image, String::from_utf8(item.path).unwrap());
        Some(items?.into_iter().map(show).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn the_best_that_is_known_is_used() {
        let web = tree(&[file("a", 1), file("b", 2), file("c", 3), file("empty", 0)]);
        let db = tree(&[file("a", 4), file("d", 5)]);
        let images =
            [Image { repository: "web", tree: &web }, Image { repository: "db", tree: &db }];
        let reports = [
            kept(
                "linux/arm",
                "pi",
                &["db", "web"],
                &[(0, "d"), (1, "b"), (1, "gone"), (1, "empty")],
            ),
            kept("linux/arm", "", &["web"], &[(0, "c")]),
            kept("linux/amd64", "", &["web"], &[(0, "a")]),
            kept("linux/386", "", &["other"], &[(0, "a")]),
        ];
        let by_hand = [kept("", "", &[], &[(0, "d"), (0, "a")]), kept("", "x", &[], &[(0, "c")])];
        for (platform, class, expected) in [
            ("linux/arm", "pi", "1:d 0:b"),
            ("linux/arm", "x", "0:c"),
            ("linux/amd64", "pi", "0:a"),
            ("linux/386", "x", "0:c"),
            ("linux/386", "", "1:d 0:a 1:a"),
        ] {
            let found = shown(best(&reports, &by_hand, platform, class, &images));
            assert_eq!(found.as_deref(), Some(expected), "{platform} {class}");
        }
        assert_eq!(best(&reports, &[], "linux/386", "", &images), None, "nothing is known");
    }

    #[test]
    fn images_start_at_the_same_time() {
        let of =
            |image, paths: &[&str]| paths.iter().map(|path| Item::file(image, *path)).collect();
        let sets = vec![of(1, &["d"]), of(0, &["a", "b"])];
        assert_eq!(shown(Some(interleave(sets))).unwrap(), "0:a 1:d 0:b");
    }
}
