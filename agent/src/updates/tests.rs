//! Updates of an image in a plain directory, and back, and half-way.

use super::*;
use crate::target::samples;
use smol::block_on;

const NAME: &str = "host:5000/web:1";

struct Device {
    directory: tempfile::TempDir,
    target: Target,
    state: StateDir,
    lock: Lock,
}

fn device() -> Device {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::root(&directory.path().join("root")).unwrap();
    let state = StateDir::new(directory.path().join("state"));
    let lock = state.lock().unwrap();
    Device { directory, target, state, lock }
}

impl Device {
    fn image(&self, version: u8) -> ImageRecord {
        block_on(samples::image(&self.target, self.directory.path(), NAME, version))
    }

    fn update(&mut self, version: u8) {
        block_on(put(&self.image(version), &self.target)).unwrap();
        block_on(self.target.end()).unwrap();
    }

    fn rollback(&mut self) -> Result<ImageRecord, RollbackError> {
        block_on(rollback(NAME, &self.state, &self.lock, &mut self.target))
    }

    fn assert_records(&self, current: u8, before: Option<u8>) {
        let mut expected = vec![self.image(current)];
        expected.extend(before.map(|version| self.image(version).as_previous("")));
        let mut found = Vec::new();
        for listed in block_on(self.target.list()).unwrap() {
            found.extend(block_on(self.target.record(&listed.name)).unwrap());
        }
        assert_eq!(found, expected);
    }
}

#[test]
fn back_and_forth() {
    let mut device = device();
    let error = device.rollback().unwrap_err();
    assert!(
        matches!(&error, RollbackError::Target(error) if matches!(error.trouble(), TargetTrouble::UnknownImage { .. })),
        "{error}"
    );
    device.update(1);
    device.update(1);
    device.assert_records(1, None);
    let error = device.rollback().unwrap_err();
    assert!(
        matches!(&error, RollbackError::Target(error) if matches!(error.trouble(), TargetTrouble::NothingBefore { .. })),
        "{error}"
    );

    device.update(2);
    device.assert_records(2, Some(1));
    assert_eq!(device.rollback().unwrap(), device.image(1));
    device.assert_records(1, Some(2));
    assert_eq!(device.rollback().unwrap(), device.image(2));
    device.update(3);
    device.update(3);
    device.assert_records(3, Some(2));
    assert!(device.state.leftovers().unwrap().is_empty());
}

#[test]
fn a_skiff_that_died_in_a_rollback_has_gone_back() {
    let mut device = device();
    device.update(1);
    device.update(2);
    block_on(device.target.put_image(&device.image(1))).unwrap();
    block_on(device.target.end()).unwrap();
    device.assert_records(1, Some(1));
    let error = device.rollback().unwrap_err();
    assert!(
        matches!(&error, RollbackError::Target(error) if matches!(error.trouble(), TargetTrouble::NothingBefore { .. })),
        "{error}"
    );
    device.update(3);
    device.assert_records(3, Some(1));
}

#[test]
fn what_was_before_goes_with_the_image() {
    let mut device = device();
    device.update(1);
    device.update(2);
    block_on(remove(NAME, &mut device.target)).unwrap();
    assert_eq!(block_on(device.target.list()).unwrap(), []);
    let error = block_on(remove(NAME, &mut device.target)).unwrap_err();
    assert!(super::is_unknown(&error), "{error}");

    device.update(1);
    device.update(2);
    assert_eq!(block_on(collect(&mut device.target)).unwrap(), 0);
    device.assert_records(2, Some(1));
    // As with `ctr images rm`.
    block_on(device.target.remove(NAME)).unwrap();
    let other = device.image(1).as_previous("shop");
    block_on(device.target.put_image(&other)).unwrap();
    assert_eq!(block_on(collect(&mut device.target)).unwrap(), 1);
    let left = block_on(device.target.list()).unwrap();
    assert_eq!(left.into_iter().map(|image| image.name).collect::<Vec<_>>(), [other.name]);
}
