//! A container's file system as a tar (semantics.md M22).

use std::io::Write;
use std::os::fd::AsFd as _;

use ctr_state::{Grade, Op};
use ctr_storage::archive::{ExportOptions, export};

use super::Container;
use crate::{Engine, EngineError};

impl Container<'_> {
    /// Writes the container's file system to `out`: sorted, the same bytes for the same files, without what is mounted in it.
    /// It need not run, and goes on when it does.
    ///
    /// # Errors
    /// When it is being removed, or a file or `out` fails; what was written is no archive then.
    pub fn export(&self, out: impl Write) -> Result<(), EngineError> {
        let locked = self.lock()?;
        let config = locked.config().clone();
        locked.read(Op::Export)?.with(|merged| {
            let root = ctr_sys::fs::open_directory(merged)?;
            export(root.as_fd(), out, &ExportOptions::default())?;
            Ok(())
        })?;
        self.engine.transact(Grade::Volatile, |txn| {
            txn.add_event(&Engine::container_event(&config, "export"))
        })
    }
}
