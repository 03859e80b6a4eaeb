//! Mounting a container's file system for a user: counted, and without any effect on its run (semantics.md B5, M19, M20).

use std::path::PathBuf;

use ctr_state::Op;
use ctr_types::OpId;

use super::{Container, LockedContainer};
use crate::EngineError;

/// What the holders of users are called, with an id behind.
const USER: &str = "user-";

impl Container<'_> {
    /// Mounts its file system and gives its place. Every call is one more holder, to be let go by one
    /// [`Container::unmount`].
    ///
    /// # Errors
    /// When it is being removed, or cannot be mounted.
    pub fn mount(&self) -> Result<PathBuf, EngineError> {
        let locked = self.lock()?;
        locked.admit(Op::Mount)?;
        locked.mount_for(&format!("{USER}{}", OpId::random()?.short()))
    }

    /// Lets one mount of a user go; `force` lets go of all of them. A container that runs keeps its own.
    ///
    /// # Errors
    /// When no user has it mounted: what is left belongs to its run.
    pub fn unmount(&self, force: bool) -> Result<(), EngineError> {
        let locked = self.lock()?;
        locked.admit(Op::Unmount)?;
        let fs = self.engine.container_fs(&self.id);
        let mut holders = fs.holders()?;
        holders.retain(|holder| holder.starts_with(USER));
        if holders.is_empty() {
            return Err(EngineError::NotMounted(locked.name()));
        }
        if !force {
            holders.truncate(1);
        }
        for holder in holders {
            fs.release(&holder)?;
        }
        locked.forget_run_directory_if_unused()
    }

    /// How many users have it mounted, with its place.
    pub fn mounted(&self) -> Result<(usize, PathBuf), EngineError> {
        let fs = self.engine.container_fs(&self.id);
        let holders = fs.holders()?;
        let users = holders.iter().filter(|one| one.starts_with(USER)).count();
        Ok((users, fs.merged()))
    }
}

impl LockedContainer<'_> {
    /// Mounts the file system for `holder`.
    pub(crate) fn mount_for(&self, holder: &str) -> Result<PathBuf, EngineError> {
        let config = &self.record.config;
        ctr_sys::fs::ensure_directory(&self.engine.roots.container_run(&config.id), 0o711)?;
        self.engine.mount(config, holder)?;
        Ok(self.engine.container_fs(&config.id).merged())
    }

    /// A container that is not up has a directory of this boot only for its holders.
    fn forget_run_directory_if_unused(&self) -> Result<(), EngineError> {
        use ctr_state::PhaseName::{Configured, Exited};
        if matches!(self.phase.name(), Configured | Exited) {
            self.engine.ensure_no_run_directory(self.lock.id())?;
        }
        Ok(())
    }
}
