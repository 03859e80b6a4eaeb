//! What every command does first: finish or undo what dead commands have begun (reliability.md rules 4 and 19).
//!
//! One indexed query finds the operations in the journal; those whose owner's lock is free are dead. Recovery goes by the
//! kind of the operation and by what the kernel says now, never by what the dead command believed.

use std::time::Duration;

use ctr_monitor::live::{Live, Stage};
use ctr_state::record::{OpKind, OpRecord};
use ctr_state::{ContainerLock, DurablePhase, Grade, OpLock};
use ctr_sys::lock::FileLock;
use ctr_types::ContainerId;

use crate::engine::trash_directory;
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
            // Its owner may have written it down, or ended, since the directory was read; with the lock nobody can.
            let Some(lock) = self.locks.own_op(&id)? else {
                continue;
            };
            if !self
                .look(ctr_state::Store::ops)?
                .iter()
                .any(|op| op.id == id)
            {
                lock.remove()?;
            }
        }
        Ok(())
    }

    /// Recovers one operation if its owner is dead; `false` when it is alive or somebody else recovers it.
    pub(crate) fn recover_op(&self, op: &OpRecord) -> Result<bool, EngineError> {
        if op.boot == *self.roots.boot_id() && self.locks.op_is_owned(&op.id)? {
            return Ok(false);
        }
        let Some(owner) = self.locks.own_op(&op.id)? else {
            return Ok(false);
        };
        if let Some(id) = &op.container {
            // Whoever holds it is changing the container and finds the operation gone or undone afterwards.
            let Some(lock) = self.locks.try_container(id)? else {
                return Ok(false);
            };
            self.recover_container_op(op, &lock)?;
            if self.look(|store| store.container(id))?.is_none() {
                lock.remove()?;
            }
        } else {
            let Some(lock) = self.try_lock_images()? else {
                return Ok(false);
            };
            self.recover_image_op(&op.id, lock)?;
        }
        self.finish_recovered(op, owner)?;
        Ok(true)
    }

    fn finish_recovered(&self, op: &OpRecord, owner: OpLock) -> Result<(), EngineError> {
        ctr_sys::fs::ensure_tree_absent(&trash_directory(&self.roots, &op.id))?;
        ctr_sys::fs::ensure_tree_absent(&self.roots.staging(&op.id))?;
        self.transact(Grade::Volatile, |txn| txn.finish_op(&op.id))?;
        Ok(owner.remove()?)
    }

    fn recover_container_op(&self, op: &OpRecord, lock: &ContainerLock) -> Result<(), EngineError> {
        let id = lock.id();
        let record = self.look(|store| store.container(id))?;
        match op.kind {
            // Half-made: the user was never told that it exists.
            OpKind::Create => self.remove_now(lock, &op.id),
            OpKind::Start => {
                // The monitor answers for itself: with its commit it lives and the run goes on; without it, it has
                // killed, or is killing, what it made.
                if self.is_started(id)? {
                    return Ok(());
                }
                self.await_uncommitted_monitor(id)?;
                self.ensure_down(lock)?;
                match record {
                    Some(record) if record.config.auto_remove => self.remove_now(lock, &op.id),
                    Some(record) if matches!(record.phase, DurablePhase::Up { .. }) => self
                        .transact(Grade::Volatile, |txn| {
                            txn.set_phase(id, &record.phase.without_run())
                        }),
                    Some(_) | None => Ok(()),
                }
            }
            OpKind::Cleanup | OpKind::Stop => match record {
                Some(_) => self.clean_up_if_ended(lock),
                None => Ok(()),
            },
            OpKind::Remove => self.remove_now(lock, &op.id),
            OpKind::Replace => self.settle(lock),
            OpKind::Read => self.release_reader(lock, &op.id),
            OpKind::Import | OpKind::Load | OpKind::RemoveImage => Ok(()),
        }
    }

    /// Gives a monitor whose engine has gone before the commit the time to undo what it has done: killed in the middle it
    /// could leave a runtime behind that goes on making the container.
    pub(crate) fn await_uncommitted_monitor(&self, id: &ContainerId) -> Result<(), EngineError> {
        let run = self.roots.container_run(id);
        let lock = run.join("monitor.lock");
        let is_making =
            Live::read(&run.join("live"))?.is_none_or(|live| live.stage == Stage::Creating);
        if is_making && FileLock::is_held(&lock)? {
            // One that does not go in time is killed by the caller.
            let _in_time = FileLock::acquire(&lock, MONITOR_PATIENCE);
        }
        Ok(())
    }

    /// Whether a program of the container has been started and a monitor, or the program itself, is still there.
    fn is_started(&self, id: &ContainerId) -> Result<bool, EngineError> {
        let run = self.roots.container_run(id);
        let Some(live) = Live::read(&run.join("live"))? else {
            return Ok(false);
        };
        let begun = match live.stage {
            Stage::Creating | Stage::Created => false,
            Stage::Running | Stage::Paused | Stage::Stopping | Stage::Waiting | Stage::Exited => {
                true
            }
        };
        Ok(begun && (FileLock::is_held(&run.join("monitor.lock"))? || live.process.is_alive()?))
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
            let ran_before =
                matches!(&row.phase, DurablePhase::Up { boot, .. } if boot != self.roots.boot_id());
            let to_go = row.phase == DurablePhase::Removing || (ran_before && row.auto_remove);
            if !to_go {
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
