//! After the end: everything of this boot is given back, and how it ended is written down.

use ctr_state::record::{EventRecord, OpKind};
use ctr_state::{ContainerLock, DurablePhase, EndReason, Ended, Grade, Op, Phase, PhaseName};
use ctr_types::{ContainerConfig, ContainerId};

use super::{Container, LockedContainer};
use crate::engine::Operation;
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
        if locked.record.config.auto_remove
            && let Phase::Stopped(ended) | Phase::Exited(ended) = &locked.phase
        {
            // Removal gives everything back: a clean-up before it would do the same things twice.
            self.engine.remove_container(&locked.lock, Some(ended))?;
            return Ok(locked.lock.remove()?);
        }
        match locked.phase.name() {
            PhaseName::Configured | PhaseName::Exited => Ok(()),
            PhaseName::Removing => self.engine.remove_locked(locked.lock),
            PhaseName::Created | PhaseName::Stopped | PhaseName::Stopping => locked.clean_up(),
            PhaseName::Running | PhaseName::Paused => locked.admit(Op::Cleanup),
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
        let after = phase_after(&self.phase);
        self.engine
            .clean_up(&self.lock, &self.record.config, &operation, &after)?;
        operation.lock.remove()?;
        self.look_again()
    }
}

/// What is written down of a run that is over.
fn phase_after(phase: &Phase) -> DurablePhase {
    match phase {
        Phase::Stopped(ended) | Phase::Exited(ended) => DurablePhase::Exited(ended.clone()),
        Phase::Created(_) | Phase::Configured => DurablePhase::Configured,
        Phase::Running(live) | Phase::Paused(live) | Phase::Stopping(live) => {
            DurablePhase::Exited(Ended::unseen(EndReason::Unknown, live.started_at))
        }
        Phase::Removing => DurablePhase::Removing,
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
        if live.is_some_and(|live| live.stage == ctr_monitor::live::Stage::Exited) {
            return Ok(self
                .cgroup(id)?
                .ensure_ended(std::time::Duration::from_secs(10))?);
        }
        self.ensure_no_processes(id)
    }

    /// Recovery of a clean-up or stop whose command has died: goes on if the container has ended.
    pub(crate) fn clean_up_if_ended(&self, lock: &ContainerLock) -> Result<(), EngineError> {
        let id = lock.id();
        let Some(record) = self.look(|store| store.container(id))? else {
            return Ok(());
        };
        let (phase, _) = self.derive(id, &record.phase)?;
        match phase.name() {
            PhaseName::Running | PhaseName::Paused | PhaseName::Stopping | PhaseName::Removing => {
                Ok(())
            }
            PhaseName::Configured | PhaseName::Created | PhaseName::Stopped | PhaseName::Exited => {
                let after = phase_after(&phase);
                self.ensure_down(lock)?;
                self.transact(Grade::Volatile, |txn| {
                    if let Phase::Stopped(ended) = &phase {
                        txn.add_event(&Self::died(&record.config, ended))?;
                    }
                    txn.set_phase(id, &after)
                })?;
                if record.config.auto_remove && phase.ended().is_some() {
                    self.remove_container(lock, None)?;
                }
                Ok(())
            }
        }
    }
}
