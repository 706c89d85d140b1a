//! Deployments of applications to a plain directory, and back, and half-way.

use super::*;
use crate::state::{Lock, StateTrouble};
use crate::target::{Target, samples};
use skiff_protocol::Digest;
use smol::block_on;

struct Device {
    directory: tempfile::TempDir,
    target: Target,
    state: StateDir,
    lock: Lock,
    shop: Name,
}

fn device() -> Device {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::root(&directory.path().join("root")).unwrap();
    let state = StateDir::new(directory.path().join("state"));
    let lock = state.lock().unwrap();
    Device { directory, target, state, lock, shop: Name::parse("shop").unwrap() }
}

impl Device {
    fn image(&self, name: &str, version: u8) -> ImageRecord {
        block_on(samples::image(&self.target, self.directory.path(), name, version))
    }

    fn images(&self, versions: &[(&str, u8)]) -> Vec<ImageRecord> {
        versions.iter().map(|(name, version)| self.image(name, *version)).collect()
    }

    fn deploy(&mut self, versions: &[(&str, u8)]) {
        let images = self.images(versions);
        block_on(switch(&self.shop, images, &self.state, &mut self.target)).unwrap();
        block_on(self.target.end()).unwrap();
    }

    fn rollback(&mut self) -> Result<Vec<ImageRecord>, ApplicationError> {
        block_on(rollback(&self.shop, &self.state, &self.lock, &mut self.target))
    }

    fn finish(&mut self) {
        block_on(finish(&self.state, &self.lock, &mut self.target)).unwrap();
        block_on(self.target.end()).unwrap();
    }

    /// The image records, and that each is complete.
    fn records(&self) -> Vec<(String, String)> {
        let listed = block_on(self.target.list()).unwrap();
        let held = block_on(self.target.held()).unwrap();
        for image in &listed {
            let held = held.iter().any(|it| Digest(it.target_digest).to_string() == image.digest);
            assert!(held, "{} is not complete", image.name);
        }
        listed.into_iter().map(|image| (image.name, image.digest)).collect()
    }

    /// The records that there should be, given the current versions and the previous ones.
    fn expected(&self, current: &[(&str, u8)], previous: &[(&str, u8)]) -> Vec<(String, String)> {
        let mut records = self.images(current);
        records.extend(self.images(previous).iter().map(|image| image.as_previous("shop")));
        records.sort_by(|a, b| a.name.cmp(&b.name));
        records.into_iter().map(|image| (image.name, image.target.to_string())).collect()
    }

    fn assert_state(&self, current: &[(&str, u8)], previous: &[(&str, u8)]) {
        assert_eq!(self.records(), self.expected(current, previous));
        assert!(!is_switching(&self.shop, &self.state).unwrap());
    }
}

#[test]
fn names_are_safe_as_file_names() {
    let long = "a".repeat(65);
    for good in ["shop", "Shop-1.2_x", "0", &long[1..]] {
        assert_eq!(Name::parse(good).unwrap().as_str(), good);
    }
    for bad in ["", ".", "..", "-x", "_x", ".x", "a/b", "a b", "a\n", "ä", &long] {
        assert_eq!(Name::parse(bad), None, "{bad:?}");
    }
}

#[test]
fn what_is_deployed_is_read_as_it_was_written() {
    let device = device();
    let [a, b] = [device.image("a", 1), device.image("b", 1)];
    for (current, previous) in [
        (vec![], vec![]),
        (vec![a.clone()], vec![]),
        (vec![], vec![b.clone()]),
        (vec![a.clone(), b.clone()], vec![b, a]),
    ] {
        let deployed = Deployed { place: "a place".to_owned(), current, previous };
        let mut text = Vec::new();
        deployed.write(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(Deployed::parse(&text).unwrap(), deployed);
        for (end, _) in text.match_indices('\n').rev().skip(1) {
            let cut = Deployed::parse(&text[..=end]);
            assert!(cut.as_ref() != Some(&deployed), "cut after {end}");
        }
        assert_eq!(Deployed::parse(&format!("{text}more\n")), None);
    }
}

#[test]
fn back_and_forth() {
    let mut device = device();
    let error = device.rollback().unwrap_err();
    assert!(matches!(error, ApplicationError::Unknown(_)), "{error}");
    device.deploy(&[("web:1", 1), ("db", 1)]);
    device.assert_state(&[("web:1", 1), ("db", 1)], &[]);
    let error = device.rollback().unwrap_err();
    assert!(matches!(error, ApplicationError::NothingBefore(_)), "{error}");

    // One image gets another name, one another target, one is new.
    device.deploy(&[("web:2", 2), ("db", 2), ("log", 2)]);
    let (first, second) = ([("web:1", 1), ("db", 1)], [("web:2", 2), ("db", 2), ("log", 2)]);
    device.assert_state(&second, &first);
    device.deploy(&[("log", 2), ("web:2", 2), ("db", 2)]);
    device.assert_state(&second, &first);
    let names: Vec<_> = device.rollback().unwrap().into_iter().map(|image| image.name).collect();
    assert_eq!(names, ["db", "web:1"]);
    device.assert_state(&first, &second);
    device.rollback().unwrap();
    device.assert_state(&second, &first);
    device.rollback().unwrap();

    device.deploy(&[("db", 3)]);
    device.assert_state(&[("db", 3)], &first);
    assert!(block_on(device.target.leftovers()).unwrap().is_empty());
    assert!(device.state.leftovers().unwrap().is_empty());
}

#[test]
fn a_switch_that_was_begun_is_finished() {
    let (first, second) =
        ([("web", 1), ("db", 1), ("old", 1)], [("web", 2), ("db", 2), ("new", 2)]);
    for steps in 0..=6 {
        let mut device = device();
        device.deploy(&first);
        let next = deployed_here(&device.state, &device.shop, &device.target.name()).unwrap();
        let next = next.followed_by(device.images(&second));
        Files::of(&device.state, &device.shop).begin(&next).unwrap();
        let previous = next.previous.iter().map(|image| image.as_previous("shop"));
        let puts = previous.chain(next.current.clone());
        for record in puts.take(steps) {
            block_on(device.target.put_image(&record)).unwrap();
        }
        assert!(is_switching(&device.shop, &device.state).unwrap());
        device.finish();
        device.assert_state(&second, &first);
        device.rollback().unwrap();
        device.assert_state(&first, &second);
    }
}

#[test]
fn what_others_have_stays() {
    let mut device = device();
    let bank = Name::parse("bank").unwrap();
    device.deploy(&[("web", 1), ("db", 1), ("log", 1)]);
    let images = device.images(&[("db", 1)]);
    block_on(switch(&bank, images, &device.state, &mut device.target)).unwrap();
    let other = ImageRecord { name: "log".to_owned(), ..device.image("other", 1) };
    block_on(device.target.put_image(&other)).unwrap();
    device.deploy(&[("web", 2)]);
    let names: Vec<_> = block_on(device.target.list()).unwrap();
    let names: Vec<_> = names.iter().map(|image| &*image.name).collect();
    let kept = ["skiff.previous/shop/db", "skiff.previous/shop/log", "skiff.previous/shop/web"];
    assert_eq!(names[..3], ["db", "log", kept[0]]);
    assert_eq!(names[3..], [kept[1], kept[2], "web"]);
    device.rollback().unwrap();
    let log = device.image("log", 1).target.to_string();
    assert!(device.records().contains(&("log".to_owned(), log)));
}

#[test]
fn a_rollback_to_what_is_not_complete_changes_nothing() {
    let mut device = device();
    device.deploy(&[("web", 1), ("db", 1)]);
    device.deploy(&[("web", 2), ("db", 2)]);
    let before = device.records();
    block_on(device.target.remove("skiff.previous/shop/db")).unwrap();
    let error = device.rollback().unwrap_err();
    assert!(error.to_string().starts_with("db is not complete"), "{error}");
    let gone = |(name, _): &(String, String)| name != "skiff.previous/shop/db";
    assert_eq!(device.records(), before.into_iter().filter(gone).collect::<Vec<_>>());
    assert!(device.state.leftovers().unwrap().is_empty());
}

#[test]
fn places_are_told_apart() {
    let mut device = device();
    device.deploy(&[("web", 1)]);
    device.deploy(&[("web", 2)]);
    let path = device.directory.path().join("other");
    let mut other = Target::root(&path).unwrap();
    let done = block_on(rollback(&device.shop, &device.state, &device.lock, &mut other));
    assert!(matches!(done, Err(ApplicationError::Elsewhere { .. })));
    // A switch at another place is not finished here.
    let next = Files::of(&device.state, &device.shop).deployed().unwrap().unwrap();
    Files::of(&device.state, &device.shop).begin(&next).unwrap();
    block_on(finish(&device.state, &device.lock, &mut other)).unwrap();
    assert!(is_switching(&device.shop, &device.state).unwrap());
    assert!(check_place(&device.shop, &device.state, &other.name()).is_err());
    device.finish();
    assert!(!is_switching(&device.shop, &device.state).unwrap());
    assert!(check_place(&device.shop, &device.state, &device.target.name()).is_ok());

    fs::write(device.state.applications().join("shop/deployed"), "place x\n").unwrap();
    let error = device.rollback().unwrap_err();
    assert!(
        matches!(&error, ApplicationError::State(error) if matches!(error.trouble(), StateTrouble::Damaged { .. })),
        "{error}"
    );
}
