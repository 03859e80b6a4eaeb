//! What every command does first: finish or undo what dead commands have begun (reliability.md rules 4 and 19).
//!
//! One indexed query finds the operations in the journal; those whose owner's lock is free are dead. Recovery goes by the
//! kind of the operation and by what the kernel says now, never by what the dead command believed.

use std::time::Duration;

use ctr_monitor::live::Live;
use ctr_state::record::OpRecord;
use ctr_state::{ContainerLock, DurablePhase, Grade, OpLock};
use ctr_sys::lock::FileLock;
use ctr_types::{ContainerId, OpId};

use crate::container::stage;
use crate::engine::trash_directory;
use crate::plan::{self, DeadOp, DeadOpContainer, OwnerFacts, RecoveryStep};
use crate::{Engine, EngineError};

/// How long a monitor may take to undo what it has done for an engine that died.
const MONITOR_PATIENCE: Duration = Duration::from_secs(2);

impl Engine {
    /// Recovers every dead operation that nobody else is recovering.
    pub(crate) fn recover(&self) -> Result<(), EngineError> {
        let ops = self.look(ctr_state::Store::ops)?;
        for op in ops {
            // An operation that cannot be recovered now (a hanging process, a full disk) must not keep the others, nor the
            // command itself, from their work: it stays in the journal and `system check` shows it.
            let _later = self.recover_op(&op);
        }
        self.forget_unwritten_ops()?;
        self.forget_earlier_boots()
    }

    /// Lock files of operations that never came into the journal: nothing was done for them.
    fn forget_unwritten_ops(&self) -> Result<(), EngineError> {
        for id in self.locks.op_ids()? {
            let is_written = || -> Result<bool, EngineError> {
                let journal = self.look(ctr_state::Store::ops)?;
                Ok(journal.iter().any(|op| op.id == id))
            };
            // The lock of one that is in the journal is not touched, not even for a moment: whoever is about to recover it
            // would take it for alive.
            if is_written()? {
                continue;
            }
            // Its owner may have written it down, or ended, since the directory was read; with the lock nobody can.
            let Some(lock) = self.locks.own_op(&id)? else {
                continue;
            };
            if !is_written()? {
                lock.remove()?;
            }
        }
        Ok(())
    }

    /// Recovers one operation if its owner is dead; `false` when it is alive or somebody else recovers it.
    ///
    /// The container's lock comes before the operation's: so whoever has the container has no operation of it left that
    /// somebody else is about to recover.
    pub(crate) fn recover_op(&self, op: &OpRecord) -> Result<bool, EngineError> {
        if !plan::may_be_dead(self.owner_facts(op)?) {
            return Ok(false);
        }
        if let Some(id) = &op.container {
            // Whoever holds it recovers the operation itself: it looks for dead ones when it has taken the lock.
            let Some(lock) = self.locks.try_container(id)? else {
                return Ok(false);
            };
            let recovered = self.recover_under(op, &lock)?;
            if self.look(|store| store.container(id))?.is_none() {
                lock.remove()?;
            }
            return Ok(recovered);
        }
        let Some(owner) = self.take_over(op)? else {
            return Ok(false);
        };
        let Some(lock) = self.try_lock_images()? else {
            return Ok(false);
        };
        self.recover_image_op(&op.id, lock)?;
        self.finish_recovered(op, owner)?;
        Ok(true)
    }

    /// Recovers the dead operations of a container whose lock has just been taken: their owners may have died after this
    /// command's own recovery, or while it waited for the lock.
    pub(crate) fn recover_locked(&self, lock: &ContainerLock) -> Result<(), EngineError> {
        for op in self.look(ctr_state::Store::ops)? {
            if op.container.as_ref() == Some(lock.id()) {
                self.recover_under(&op, lock)?;
            }
        }
        Ok(())
    }

    fn recover_under(&self, op: &OpRecord, lock: &ContainerLock) -> Result<bool, EngineError> {
        let Some(owner) = self.take_over(op)? else {
            return Ok(false);
        };
        self.recover_container_op(op, lock)?;
        self.finish_recovered(op, owner)?;
        Ok(true)
    }

    fn owner_facts(&self, op: &OpRecord) -> Result<OwnerFacts, EngineError> {
        Ok(OwnerFacts {
            this_boot: op.boot == *self.roots.boot_id(),
            is_owned: self.locks.op_is_owned(&op.id)?,
        })
    }

    /// The owner's lock of a dead operation that is still in the journal.
    fn take_over(&self, op: &OpRecord) -> Result<Option<OpLock>, EngineError> {
        if !plan::may_be_dead(self.owner_facts(op)?) {
            return Ok(None);
        }
        let Some(lock) = self.locks.own_op(&op.id)? else {
            return Ok(None);
        };
        // Only who has its lock changes its entry, so this stays true.
        let journal = self.look(ctr_state::Store::ops)?;
        if !plan::is_recoverable(journal.iter().any(|known| known.id == op.id)) {
            lock.remove()?;
            return Ok(None);
        }
        Ok(Some(lock))
    }

    fn finish_recovered(&self, op: &OpRecord, owner: OpLock) -> Result<(), EngineError> {
        ctr_sys::fs::ensure_tree_absent(&trash_directory(&self.roots, &op.id))?;
        ctr_sys::fs::ensure_tree_absent(&self.roots.staging(&op.id))?;
        self.transact(Grade::Volatile, |txn| txn.finish_op(&op.id))?;
        Ok(owner.remove()?)
    }

    /// Finishes or undoes operation `op`, whose owner is dead, on its container.
    pub(crate) fn recover_container_op(
        &self,
        op: &OpRecord,
        lock: &ContainerLock,
    ) -> Result<(), EngineError> {
        let id = lock.id();
        let record = self.look(|store| store.container(id))?;
        let phase = match &record {
            Some(record) => Some(self.derive(id, &record.phase)?.0),
            None => None,
        };
        let container =
            record
                .as_ref()
                .zip(phase.as_ref())
                .map(|(record, phase)| DeadOpContainer {
                    durable: &record.phase,
                    phase,
                    auto_remove: record.config.auto_remove,
                });
        let view = self.live_view(id)?.map(|(view, _)| view);
        let steps = plan::recovery(&DeadOp {
            kind: op.kind,
            container,
            live: view.as_ref(),
        });
        self.carry_out(lock, &op.id, &steps)
    }

    /// Carries out what recovers or rolls back operation `op`, up to the first step that fails.
    pub(crate) fn carry_out(
        &self,
        lock: &ContainerLock,
        op: &OpId,
        steps: &[RecoveryStep],
    ) -> Result<(), EngineError> {
        let mut no_monitor = None;
        for step in steps {
            match step {
                RecoveryStep::AwaitMonitor => {
                    no_monitor = self.await_uncommitted_monitor(lock.id())?;
                }
                RecoveryStep::Down => self.ensure_down(lock)?,
                RecoveryStep::Gone => self.remove_now(lock, op)?,
                RecoveryStep::Record(phase) => self.record_end(lock.id(), phase)?,
                RecoveryStep::Revert => self.transact(Grade::Volatile, |txn| {
                    let before = txn.phase(lock.id())?.without_run();
                    txn.set_phase(lock.id(), &before)
                })?,
                RecoveryStep::Settle => self.settle(lock)?,
                RecoveryStep::Release => self.release_reader(lock, op)?,
                RecoveryStep::Remove => self.remove_container(lock, None)?,
            }
        }
        drop(no_monitor);
        Ok(())
    }

    /// Writes down where a container is after a run that nobody has cleaned up; its end is told if nobody has told it.
    fn record_end(&self, id: &ContainerId, phase: &DurablePhase) -> Result<(), EngineError> {
        let record = self.look(|store| store.container(id))?;
        self.transact(Grade::Volatile, |txn| {
            if let (Some(record), DurablePhase::Exited(ended)) = (&record, phase)
                && matches!(record.phase, DurablePhase::Up { .. })
            {
                txn.add_event(&Self::died(&record.config, ended))?;
            }
            txn.set_phase(id, phase)
        })
    }

    /// Gives a monitor whose engine has gone before the commit the time to undo what it has done, and keeps one that has not
    /// begun yet from beginning while its lock, the result, is held.
    fn await_uncommitted_monitor(&self, id: &ContainerId) -> Result<Option<FileLock>, EngineError> {
        let run = self.roots.container_run(id);
        let stage = Live::read(&run.join("live"))?.map(|live| stage(live.stage));
        if !plan::is_making(stage) || !run.exists() {
            return Ok(None);
        }
        // One that does not go in time is killed by the caller.
        Ok(FileLock::acquire(&run.join("monitor.lock"), MONITOR_PATIENCE).ok())
    }

    /// Directories of earlier boots, and containers that were to go with their run.
    fn forget_earlier_boots(&self) -> Result<(), EngineError> {
        let mut earlier = Vec::new();
        if let Ok(entries) = std::fs::read_dir(self.roots.runroot()) {
            for entry in entries.flatten() {
                let is_boot = entry.file_name().to_string_lossy().starts_with("boot-");
                if is_boot && entry.path() != self.roots.boot() {
                    earlier.push(entry.path());
                }
            }
        }
        let refreshed = self.roots.boot().join("refreshed");
        if earlier.is_empty() && refreshed.exists() {
            return Ok(());
        }
        for row in self
            .look(ctr_state::Store::container_rows)?
            .into_iter()
            .flatten()
        {
            if !plan::goes_with_boot(&row.phase, row.auto_remove, self.roots.boot_id()) {
                continue;
            }
            if let Some(lock) = self.locks.try_container(&row.id)? {
                self.remove_locked(lock)?;
            }
        }
        for directory in earlier {
            ctr_sys::fs::ensure_tree_absent(&directory)?;
        }
        ctr_sys::fs::write_atomic(
            &refreshed,
            b"",
            0o600,
            ctr_sys::fs::Durability::ProcessDeath,
        )?;
        Ok(())
    }
}
