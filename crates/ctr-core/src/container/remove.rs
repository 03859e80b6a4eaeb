//! Removing a container: "removing" is written down first, so that whoever comes after a crash goes on.

use ctr_state::record::OpKind;
use ctr_state::{ContainerLock, DurablePhase, Ended, Grade, Op};
use ctr_types::{ContainerConfig, ContainerId, OpId};

use super::Container;
use crate::engine::{Operation, trash_directory, trash_path};
use crate::plan::{GONE, GoneStep};
use crate::steps::RemoveStep;
use crate::{Engine, EngineError};

impl Container<'_> {
    /// Removes the container. With `force`, one that runs is killed first.
    ///
    /// # Errors
    /// When it runs and is not to be killed, or something cannot be given back (the journal keeps it).
    pub fn remove(&self, force: bool) -> Result<(), EngineError> {
        let locked = self.lock()?;
        locked.admit(if force { Op::RemoveForce } else { Op::Remove })?;
        self.engine
            .look(|store| store.require_no_dependents(&self.id))?;
        self.engine.remove_locked(locked.lock)
    }

    /// Removes the container after those that need it, directly or not (`rm --depend`); gives the ids in the order of
    /// removal. No lock is held while another is taken.
    ///
    /// # Errors
    /// As [`Container::remove`]; those removed before stay removed.
    pub fn remove_with_dependents(&self, force: bool) -> Result<Vec<ContainerId>, EngineError> {
        let engine = self.engine;
        let mut removed = Vec::new();
        for id in engine.look(|store| store.dependents(&self.id))? {
            let dependent = Container { engine, id };
            removed.extend(dependent.remove_with_dependents(force)?);
        }
        self.remove(force)?;
        removed.push(self.id.clone());
        Ok(removed)
    }
}

impl Engine {
    /// Removes a container whose lock is held, whatever its phase, and its lock with it.
    pub(crate) fn remove_locked(&self, lock: ContainerLock) -> Result<(), EngineError> {
        self.remove_container(&lock, None)?;
        Ok(lock.remove()?)
    }

    /// Removes a container. With `ended` it goes with the run that has just ended: the end is told, and the monitor, which
    /// leaves by itself, is left alone.
    pub(crate) fn remove_container(
        &self,
        lock: &ContainerLock,
        ended: Option<&Ended>,
    ) -> Result<(), EngineError> {
        let id = lock.id();
        let Some(record) = self.look(|store| store.container(id))? else {
            return Ok(());
        };
        let operation = self.begin(OpKind::Remove, Some(id))?;
        // A container that goes with its run is not kept across a power cut either way.
        let grade = if record.config.auto_remove {
            Grade::Volatile
        } else {
            Grade::Durable
        };
        self.options.hooks.run(RemoveStep::ALL, |step| {
            self.remove_step(step, id, &operation, grade, &record.config, ended)
        })?;
        Ok(operation.lock.remove()?)
    }

    fn remove_step(
        &self,
        step: RemoveStep,
        id: &ContainerId,
        operation: &Operation,
        grade: Grade,
        config: &ContainerConfig,
        ended: Option<&Ended>,
    ) -> Result<(), EngineError> {
        let op = &operation.record.id;
        match step {
            RemoveStep::Claim => self.transact(grade, |txn| {
                txn.require_no_dependents(id)?;
                txn.set_phase(id, &DurablePhase::Removing)?;
                if let Some(ended) = ended {
                    txn.add_event(&Self::died(config, ended))?;
                }
                txn.begin_op(&operation.record)
            }),
            RemoveStep::KillProcesses if ended.is_some() => {
                self.ensure_no_processes_unless_leaving(id)
            }
            RemoveStep::KillProcesses => self.ensure_no_processes(id),
            RemoveStep::DeleteRuntime => self.ensure_no_runtime_state(id),
            RemoveStep::RemoveCgroup => self.ensure_no_cgroup(id),
            RemoveStep::RemoveNetwork => self.ensure_no_network(id),
            RemoveStep::Unmount => {
                self.ensure_no_shm(id)?;
                Ok(self.container_fs(id).ensure_unmounted()?)
            }
            RemoveStep::RemoveRunDirectory => Ok(ctr_sys::fs::ensure_tree_absent(
                &self.roots.container_run(id),
            )?),
            RemoveStep::Trash => self.trash_container(id, op),
            RemoveStep::DeleteRow => self.transact(Grade::Volatile, |txn| {
                txn.delete_container(id)?;
                txn.add_event(&Self::container_event(config, "remove"))
            }),
            RemoveStep::EmptyTrash => Ok(ctr_sys::fs::ensure_tree_absent(&trash_directory(
                &self.roots,
                op,
            ))?),
            RemoveStep::Finish => self.transact(Grade::Volatile, |txn| txn.finish_op(op)),
        }
    }

    /// Renames the durable directory away: from here on the container is gone, however long deleting takes.
    fn trash_container(&self, id: &ContainerId, op: &OpId) -> Result<(), EngineError> {
        ctr_sys::fs::ensure_directory(&trash_directory(&self.roots, op), 0o700)?;
        let trash = trash_path(&self.roots, op, id.as_str());
        Ok(ctr_sys::fs::rename_if_present(
            &self.roots.container(id),
            &trash,
        )?)
    }

    /// Removal without a journal entry of its own: for the recovery and rollback of operation `op`, which has one.
    pub(crate) fn remove_now(&self, lock: &ContainerLock, op: &OpId) -> Result<(), EngineError> {
        let id = lock.id();
        for step in GONE {
            match step {
                GoneStep::Down => self.ensure_down(lock)?,
                // Whoever else holds its file system holds what goes now.
                GoneStep::Unmount => self.container_fs(id).ensure_unmounted()?,
                GoneStep::RemoveRunDirectory => {
                    ctr_sys::fs::ensure_tree_absent(&self.roots.container_run(id))?;
                }
                GoneStep::Trash => self.trash_container(id, op)?,
                GoneStep::DeleteRow => {
                    self.transact(Grade::Volatile, |txn| txn.delete_container(id))?;
                }
                GoneStep::EmptyTrash => {
                    ctr_sys::fs::ensure_tree_absent(&trash_directory(&self.roots, op))?;
                }
            }
        }
        Ok(())
    }
}
