//! What a pull needs of the daemon to leave files cold: room for leases, and a holder for them.

use super::HydrateError;
use crate::cold::{BreakTime, Cold, GivenUp, Inode, leases_hold, most_cold_files};
use crate::holder::{Holder, HolderError};
use crate::http::Rate;
use crate::state::{StateDir, StateError};
use crate::sys::give_up_lease;
use rustix::fd::OwnedFd;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Keeps cold files safe, whichever deployment they are of.
#[derive(Debug)]
pub struct Guard {
    holder: RefCell<Rc<Holder>>,
    holder_path: PathBuf,
    external: bool,
    break_time: BreakTime,
    /// How many files may be cold.
    most: u32,
    /// How many are.
    used: Cell<usize>,
    /// What the self-test said of each file system.
    tested: RefCell<BTreeMap<u64, Result<(), String>>>,
    class: String,
    rate: Option<Rc<Rate>>,
}

impl Guard {
    /// Connects to the holder, or starts it unless it is `external`; gives the descriptors that it has.
    pub fn new(
        state: &StateDir,
        external: bool,
        class: String,
        rate: Option<u64>,
    ) -> Result<(Self, Vec<(Inode, OwnedFd)>), HydrateError> {
        let most = most_cold_files();
        let holder_path = state.holder_socket();
        let holder = Rc::new(Holder::connect(&holder_path, external)?);
        let kept = holder.take()?;
        let guard = Self {
            holder: RefCell::new(holder),
            holder_path,
            external,
            break_time: BreakTime::new(state.path()),
            most,
            used: Cell::new(0),
            tested: RefCell::default(),
            class,
            rate: rate.map(|rate| Rc::new(Rate::new(rate))),
        };
        Ok((guard, kept))
    }

    /// How many more files may be cold.
    pub fn free(&self) -> u32 {
        self.most.saturating_sub(u32::try_from(self.used.get()).unwrap_or(u32::MAX))
    }

    /// How many may be in all.
    pub fn most(&self) -> u32 {
        self.most
    }

    /// So many are cold.
    pub fn set_used(&self, files: usize) {
        self.used.set(files);
    }

    /// The device's class, for hot sets.
    pub fn class(&self) -> &str {
        &self.class
    }

    /// How much all that it does may receive.
    pub fn rate(&self) -> Option<Rc<Rate>> {
        self.rate.clone()
    }

    /// Whether leases hold on the file system of a layer's directory; the error says why not. Tried once for each
    /// file system.
    pub fn check(&self, layer: &Path) -> Result<(), String> {
        let beside = layer.parent().unwrap_or(layer);
        let device = fs::metadata(beside).map_err(|e| format!("{}: {e}", beside.display()))?.dev();
        self.tested.borrow_mut().entry(device).or_insert_with(|| leases_hold(beside)).clone()
    }

    /// From now on the kernel ends no lease by force.
    pub fn never_break(&self) -> Result<(), StateError> {
        self.break_time.stop()
    }

    /// Nothing is cold any more.
    pub fn all_warm(&self) -> Result<(), StateError> {
        self.break_time.put_back()
    }

    /// Gives the holder copies of these files.
    pub fn hold(&self, cold: &Cold) -> Result<(), HolderError> {
        self.holder().hold(cold.files())
    }

    /// The holder need not keep these any more.
    pub fn forget(&self, inodes: &[Inode]) {
        // One that is gone has none.
        let _ = self.holder().forget(inodes);
    }

    /// These are hydrated: the holder closes its copies, and with the last descriptor the last lease goes.
    pub fn open_to_others(&self, files: GivenUp) {
        let GivenUp { inodes, executable } = files;
        if !inodes.is_empty() && self.holder().forget(&inodes).is_err() {
            // It may have them for longer, and nobody is to wait for that.
            for file in &executable {
                let _ = give_up_lease(file);
            }
        }
    }

    /// Nothing of these will be needed: nobody can see them.
    pub fn let_go(&self, cold: &Cold) {
        let inodes: Vec<Inode> = cold.files().filter_map(|file| Inode::of(file).ok()).collect();
        self.forget(&inodes);
    }

    /// The holder.
    pub fn holder(&self) -> Rc<Holder> {
        Rc::clone(&self.holder.borrow())
    }

    /// The holder has gone: finds or starts another.
    pub fn renew_holder(&self) -> Result<(), HolderError> {
        *self.holder.borrow_mut() = Rc::new(Holder::connect(&self.holder_path, self.external)?);
        Ok(())
    }
}
