//! Many reports become one order: what a third of them has, by the median of its places.
//!
//! A report is one run on one device. What only one of many runs used (a job that happened to run, a file of a
//! crash) is left out; the median keeps one odd run from turning the order round.

use super::Item;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

/// An item is in the merged set if at least one in so many reports has it.
const ONE_IN: usize = 3;

/// The reports as one list. Their items name images by one common list.
pub fn merge(reports: &[Vec<Item>]) -> Vec<Item> {
    let mut places: HashMap<&Item, Vec<usize>> = HashMap::new();
    for report in reports {
        let mut seen = HashSet::new();
        for (place, item) in report.iter().enumerate().filter(|(_, item)| seen.insert(*item)) {
            places.entry(item).or_default().push(place);
        }
    }
    let mut chosen: Vec<(usize, Reverse<usize>, &Item)> = places
        .into_iter()
        .filter(|(_, places)| places.len() * ONE_IN >= reports.len())
        .map(|(item, mut places)| {
            places.sort_unstable();
            (places[(places.len() - 1) / 2], Reverse(places.len()), item)
        })
        .collect();
    chosen.sort_unstable();
    chosen.into_iter().map(|(_, _, item)| item.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(reports: &[&str]) -> String {
        let report = |text: &&str| text.split(' ').map(|path| Item::file(0, path)).collect();
        let reports: Vec<Vec<Item>> = reports.iter().map(report).collect();
        let merged = merge(&reports).into_iter().map(|item| String::from_utf8(item.path).unwrap());
        merged.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_median_decides_and_what_few_have_is_left_out() {
        for (reports, expected) in [
            (&["b a"][..], "b a"),
            (&["a b a c", "a b c"], "a b c"),
            (&["a b c", "c a b", "a b c"], "a b c"),
            (&["a b c", "b a c", "b a c"], "b a c"),
            (&["a b", "a x", "a y"], "a b x y"),
            (&["a b", "a x", "a b", "a b"], "a b"),
            (&["a b", "a b x", "a", "a c x"], "a b x"),
        ] {
            assert_eq!(merged(reports), expected, "{reports:?}");
        }
        assert_eq!(merge(&[]), []);
    }
}
