//! After the end: everything of this boot is given back, and how it ended is written down.

use ctr_state::record::{EventRecord, OpKind};
use ctr_state::{ContainerLock, DurablePhase, Ended, Grade, Op};
use ctr_types::{ContainerConfig, ContainerId};

use super::{Container, LockedContainer, stage};
use crate::engine::Operation;
use crate::plan::{self, Cleanup};
use crate::steps::CleanupStep;
use crate::{Engine, EngineError};

impl Container<'_> {
    /// Cleans up after the container has ended, and removes it when it was to go with its run. What a monitor calls whose
    /// engine is gone, and anybody may; with nothing to do it does nothing.
    ///
    /// # Errors
    /// When it still runs, or something cannot be given back.
    pub fn cleanup(&self) -> Result<(), EngineError> {
        let mut locked = match self.lock() {
            Err(error) if error.kind() == crate::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        // Its monitor is not done with it.
        if self.is_waiting()? {
            return Ok(());
        }
        match plan::cleanup(&locked.phase, locked.record.config.auto_remove) {
            Cleanup::Nothing => Ok(()),
            Cleanup::CleanUp => locked.clean_up(),
            Cleanup::RemoveWithRun(ended) => {
                self.engine.remove_container(&locked.lock, Some(&ended))?;
                Ok(locked.lock.remove()?)
            }
            Cleanup::GoOnRemoving => self.engine.remove_locked(locked.lock),
            Cleanup::Refuse => locked.admit(Op::Cleanup),
        }
    }
}

impl LockedContainer<'_> {
    /// Gives back everything of this boot. The container has ended, or was made and never started.
    ///
    /// # Errors
    /// When something cannot be given back; the journal keeps it for the next command.
    pub(crate) fn clean_up(&mut self) -> Result<(), EngineError> {
        let operation = self.engine.begin(OpKind::Cleanup, Some(self.lock.id()))?;
        let after = plan::phase_after(&self.phase);
        self.engine
            .clean_up(&self.lock, &self.record.config, &operation, &after)?;
        operation.lock.remove()?;
        self.look_again()
    }
}

impl Engine {
    fn clean_up(
        &self,
        lock: &ContainerLock,
        config: &ContainerConfig,
        operation: &Operation,
        after: &DurablePhase,
    ) -> Result<(), EngineError> {
        let id: &ContainerId = lock.id();
        self.options.hooks.run(CleanupStep::ALL, |step| match step {
            CleanupStep::Claim => {
                self.transact(Grade::Volatile, |txn| txn.begin_op(&operation.record))
            }
            CleanupStep::KillProcesses => self.ensure_no_processes_unless_leaving(id),
            CleanupStep::DeleteRuntime => self.ensure_no_runtime_state(id),
            CleanupStep::RemoveCgroup => self.ensure_no_cgroup(id),
            CleanupStep::RemoveNetwork => self.ensure_no_network(id),
            CleanupStep::Unmount => self.ensure_not_mounted(id),
            CleanupStep::Record => {
                let seen = self.exit_record(id, self.roots.boot_id())?;
                let after = &plan::phase_recorded(after, seen.as_ref());
                let event = match after {
                    DurablePhase::Exited(ended) => Self::died(config, ended),
                    DurablePhase::Configured | DurablePhase::Up { .. } | DurablePhase::Removing => {
                        Self::container_event(config, "cleanup")
                    }
                };
                let tidings = self.take_tidings(config)?;
                // The exit record on disk is the durable one until this reaches it too.
                self.transact(Grade::Volatile, |txn| {
                    for tiding in &tidings {
                        txn.add_event(tiding)?;
                    }
                    txn.set_phase(id, after)?;
                    txn.add_event(&event)
                })
            }
            CleanupStep::RemoveRunDirectory => self.ensure_no_run_directory(id),
            CleanupStep::Finish => {
                self.transact(Grade::Volatile, |txn| txn.finish_op(&operation.record.id))
            }
        })
    }

    /// The event of a run's end.
    pub(crate) fn died(config: &ContainerConfig, ended: &Ended) -> EventRecord {
        let mut event = Self::container_event(config, "died");
        let code = ended.exit_code.to_string();
        event.attributes.insert("exitCode".into(), code);
        event
    }

    /// As [`Engine::ensure_no_processes`], but a monitor whose container has ended, and which is about to leave or waits for
    /// this clean-up, is left alone.
    pub(crate) fn ensure_no_processes_unless_leaving(
        &self,
        id: &ContainerId,
    ) -> Result<(), EngineError> {
        let live = ctr_monitor::live::Live::read(&self.roots.container_run(id).join("live"))?;
        if plan::is_leaving(live.map(|live| stage(live.stage))) {
            return Ok(self
                .cgroup(id)?
                .ensure_ended(std::time::Duration::from_secs(10))?);
        }
        self.ensure_no_processes(id)
    }

    /// What the recovery of a clean-up does, for a container that nobody has begun to clean up.
    pub(crate) fn clean_up_if_ended(&self, lock: &ContainerLock) -> Result<(), EngineError> {
        let operation = self.begin(OpKind::Cleanup, Some(lock.id()))?;
        self.transact(Grade::Volatile, |txn| txn.begin_op(&operation.record))?;
        self.recover_container_op(&operation.record, lock)?;
        self.transact(Grade::Volatile, |txn| txn.finish_op(&operation.record.id))?;
        Ok(operation.lock.remove()?)
    }
}
