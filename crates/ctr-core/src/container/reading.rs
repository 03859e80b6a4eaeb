//! A container's file system, mounted while something is read from it or written to it. The container's lock is held only
//! to mount and to let go, so nobody waits for an archive to be written (semantics.md B9); the journal lets go for a command
//! that dies.

use std::path::PathBuf;

use ctr_state::record::OpKind;
use ctr_state::{ContainerLock, Grade, Op, PhaseName};
use ctr_types::OpId;

use super::{Container, LockedContainer};
use crate::engine::Operation;
use crate::steps::ReadStep;
use crate::{Engine, EngineError, ErrorKind};

/// A mounted file system.
#[must_use = "it is let go by `finish`"]
#[derive(Debug)]
pub(crate) struct Reading<'e> {
    container: Container<'e>,
    operation: Operation,
    /// Where it is mounted.
    pub(crate) merged: PathBuf,
}

fn holder(op: &OpId) -> String {
    format!("op-{}", op.short())
}

impl Engine {
    /// Lets go what operation `op` holds of a container's file system.
    pub(crate) fn release_reader(
        &self,
        lock: &ContainerLock,
        op: &OpId,
    ) -> Result<(), EngineError> {
        let id = lock.id();
        let Some(record) = self.look(|store| store.container(id))? else {
            return Ok(());
        };
        self.container_fs(id).release(&holder(op))?;
        let (phase, _) = self.derive(id, &record.phase)?;
        if matches!(phase.name(), PhaseName::Configured | PhaseName::Exited) {
            self.ensure_no_run_directory(id)?;
        }
        Ok(())
    }
}

impl<'e> LockedContainer<'e> {
    /// Mounts the file system for a while, and unlocks the container.
    pub(crate) fn read(self, op: Op) -> Result<Reading<'e>, EngineError> {
        self.admit(op)?;
        let engine = self.engine;
        let operation = engine.begin(OpKind::Read, Some(self.lock.id()))?;
        let mut merged = PathBuf::new();
        let mounting = [ReadStep::Claim, ReadStep::Mount];
        let outcome = engine.options.hooks.run(&mounting, |step| match step {
            ReadStep::Claim => {
                engine.transact(Grade::Volatile, |txn| txn.begin_op(&operation.record))
            }
            ReadStep::Mount => {
                merged = self.mount_for(&holder(&operation.record.id))?;
                Ok(())
            }
            ReadStep::Release | ReadStep::Finish => Ok(()),
        });
        if let Err(error) = outcome {
            let op = &operation.record.id;
            let undone = engine
                .release_reader(&self.lock, op)
                .and_then(|()| engine.transact(Grade::Volatile, |txn| txn.finish_op(op)));
            // What could not be undone stays in the journal for the next command.
            if undone.is_ok() {
                operation.lock.remove()?;
            }
            return Err(error);
        }
        Ok(Reading {
            container: self.unlock(),
            operation,
            merged,
        })
    }
}

impl Reading<'_> {
    /// Does something with the mounted file system, and lets it go whatever comes of it.
    pub(crate) fn with<T>(
        self,
        work: impl FnOnce(&PathBuf) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let outcome = work(&self.merged);
        let finished = self.finish();
        let value = outcome?;
        finished?;
        Ok(value)
    }

    /// Lets it go.
    ///
    /// # Errors
    /// [`EngineError::Gone`] when the container was removed meanwhile: what was read may be half of it.
    fn finish(self) -> Result<(), EngineError> {
        let engine = self.container.engine;
        let op = &self.operation.record.id;
        let mut gone = false;
        let ending = [ReadStep::Release, ReadStep::Finish];
        engine.options.hooks.run(&ending, |step| match step {
            ReadStep::Release => match self.container.lock() {
                Ok(locked) => engine.release_reader(&locked.lock, op),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    gone = true;
                    Ok(())
                }
                Err(error) => Err(error),
            },
            ReadStep::Finish => engine.transact(Grade::Volatile, |txn| txn.finish_op(op)),
            ReadStep::Claim | ReadStep::Mount => Ok(()),
        })?;
        self.operation.lock.remove()?;
        if gone {
            return Err(EngineError::Gone(self.container.id.to_string()));
        }
        Ok(())
    }
}
