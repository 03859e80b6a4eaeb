//! One container: a name for it, and the guard that may change it.
//!
//! [`Container`] is a name: cheap to clone, nothing in it can go stale. [`LockedContainer`] holds the container's lock and
//! what was true when it was taken; the methods that change something are there. Holding it over several calls is what
//! libpod calls a batch. Waits that may be long (stop, wait, attach) hold no lock.

mod artifacts;
mod attach;
mod cleanup;
mod commit;
mod copy;
mod create;
mod diff;
mod exec;
mod export;
mod files;
mod init;
mod inspect;
mod join;
mod list;
mod logs;
mod mount;
mod names;
mod policies;
mod reading;
mod remove;
mod replace;
mod sessions;
mod start;
mod stats;
mod stop;
mod top;
mod wait;

use std::path::PathBuf;

use ctr_monitor::client::{ClientError, MonitorClient};
use ctr_monitor::exit_record::ExitRecord;
use ctr_monitor::live;
use ctr_state::record::{ContainerRecord, OpKind};
use ctr_state::{
    ContainerLock, DurablePhase, EndReason, Ended, Evidence, LiveView, Op, Phase, Stage, StoreError,
};
use ctr_sys::lock::FileLock;
use ctr_types::{BootId, ContainerConfig, ContainerId, Timestamp};

pub use artifacts::ARTIFACT_MAX;
pub use attach::{AttachEnd, AttachOptions, Attachment, DetachKeys, DetachKeysError};
pub use commit::CommitRequest;
pub use copy::{CopyOptions, Endpoint};
pub use create::{CreateRequest, HealthRequest, RootSource};
pub use diff::Sizes;
pub use exec::{ExecRequest, ExecSession};
pub use inspect::Inspection;
pub(crate) use join::SHM;
pub use list::{ContainerSummary, human_duration};
pub use logs::LogOptions;
pub use names::default_name;
pub use policies::CheckResult;
pub use replace::Update;
pub use start::Started;
pub use stats::Stats;
pub use top::Process;

use crate::engine::LOCK_PATIENCE;
use crate::{Engine, EngineError};

/// A container's name. Nothing is locked and nothing is remembered.
#[derive(Clone, Debug)]
pub struct Container<'e> {
    pub(crate) engine: &'e Engine,
    pub(crate) id: ContainerId,
}

/// A container that only the holder may change.
#[derive(Debug)]
#[must_use = "the container is unlocked when this is dropped"]
pub struct LockedContainer<'e> {
    pub(crate) engine: &'e Engine,
    pub(crate) record: ContainerRecord,
    pub(crate) phase: Phase,
    pub(crate) lock: ContainerLock,
}

/// What is true of a container at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its configuration.
    pub config: ContainerConfig,
    /// Its phase.
    pub phase: Phase,
    /// The live file, if there is one.
    pub(crate) live: Option<live::Live>,
}

impl Engine {
    /// The container with this name, id or unique beginning of an id.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn container(&self, text: &str) -> Result<Container<'_>, EngineError> {
        let id = self.look(|store| store.resolve_container(text))?;
        Ok(Container { engine: self, id })
    }

    /// The evidence of a container's life, put together without any lock.
    ///
    /// # Errors
    /// When it cannot be read, or the container was removed while it was.
    pub(crate) fn derive(
        &self,
        id: &ContainerId,
        durable: &DurablePhase,
    ) -> Result<(Phase, Option<live::Live>), EngineError> {
        let mut durable = durable.clone();
        loop {
            let (phase, live) = self.derive_once(id, &durable)?;
            let unseen = |ended: &Ended| ended.reason == EndReason::Unknown;
            if !phase.ended().is_some_and(unseen) {
                return Ok((phase, live));
            }
            // A run of which nothing is left: or else its pieces were read while they were made, or taken away.
            let now = self.look(|store| store.phase(id))?;
            let live_now = live::Live::read(&self.roots.container_run(id).join("live"))?;
            if now == durable && live_now == live {
                return Ok((phase, live));
            }
            durable = now;
        }
    }

    fn derive_once(
        &self,
        id: &ContainerId,
        durable: &DurablePhase,
    ) -> Result<(Phase, Option<live::Live>), EngineError> {
        let (view, live) = self.live_view(id)?.unzip();
        let boot = match durable {
            DurablePhase::Up { boot, .. } => Some(boot),
            DurablePhase::Configured | DurablePhase::Exited(_) | DurablePhase::Removing => {
                view.as_ref().map(|_| self.roots.boot_id())
            }
        };
        let exit = match boot {
            Some(boot) => self.exit_record(id, boot)?,
            None => None,
        };
        // Only then would it look like a run of which nothing is left.
        let starting = live.is_none() && boot.is_some() && self.is_being_started(id)?;
        let evidence = Evidence {
            durable,
            live: view.as_ref(),
            exit: exit.as_ref(),
            starting,
            this_boot: self.roots.boot_id(),
        };
        Ok((evidence.phase(), live))
    }

    /// Whether a command that lives is bringing the container up.
    fn is_being_started(&self, id: &ContainerId) -> Result<bool, EngineError> {
        for op in self.look(ctr_state::Store::ops)? {
            let is_start = op.kind == OpKind::Start && op.container.as_ref() == Some(id);
            if is_start && self.locks.op_is_owned(&op.id)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The monitor's word and the kernel's on what lives, if there is a live file of this boot.
    pub(crate) fn live_view(
        &self,
        id: &ContainerId,
    ) -> Result<Option<(LiveView, live::Live)>, EngineError> {
        let run = self.roots.container_run(id);
        let Some(live) = live::Live::read(&run.join("live"))? else {
            return Ok(None);
        };
        let view = LiveView {
            stage: stage(live.stage),
            pid: live.process.pid,
            start: live.process.start,
            started_at: time(live.started_ns),
            monitor_alive: FileLock::is_held(&run.join("monitor.lock"))?,
            process_alive: live.process.pid > 0 && live.process.is_alive()?,
        };
        Ok(Some((view, live)))
    }

    /// How a run of boot `of` ended, by the monitor's record. One of another boot is of an earlier run: its removal may have
    /// been lost with the power.
    pub(crate) fn exit_record(
        &self,
        id: &ContainerId,
        of: &BootId,
    ) -> Result<Option<Ended>, EngineError> {
        let record = ExitRecord::read(&self.roots.container(id).join("exit"))?;
        let record = record.filter(|record| record.boot_id == of.as_str());
        Ok(record.map(|record| Ended {
            exit_code: record.exit_code,
            reason: if record.signalled {
                EndReason::Signalled
            } else {
                EndReason::Exited
            },
            oom_killed: record.oom_killed,
            by_user: record.stop_requested,
            started_at: time(record.started_ns),
            finished_at: time(record.finished_ns),
        }))
    }
}

/// Nanoseconds since 1970 as a time; 0 is none.
fn time(nanos: u64) -> Option<Timestamp> {
    if nanos == 0 {
        None
    } else {
        Timestamp::from_nanosecond(i128::from(nanos)).ok()
    }
}

pub(crate) fn stage(stage: live::Stage) -> Stage {
    match stage {
        live::Stage::Creating => Stage::Creating,
        live::Stage::Created => Stage::Created,
        live::Stage::Running => Stage::Running,
        live::Stage::Paused => Stage::Paused,
        live::Stage::Stopping => Stage::Stopping,
        live::Stage::Waiting => Stage::Waiting,
        live::Stage::Exited => Stage::Exited,
    }
}

impl<'e> Container<'e> {
    /// Its id.
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    pub(crate) fn record(&self) -> Result<ContainerRecord, EngineError> {
        let found = self.engine.look(|store| store.container(&self.id))?;
        found.ok_or_else(|| StoreError::Removed(self.id.clone()).into())
    }

    /// What is true now. Takes no lock, so it may be outdated when it returns.
    pub fn peek(&self) -> Result<Snapshot, EngineError> {
        let record = self.record()?;
        let (phase, live) = self.engine.derive(&self.id, &record.phase)?;
        Ok(Snapshot {
            config: record.config,
            phase,
            live,
        })
    }

    /// Takes the container's lock, waiting for whoever has it, and looks at what is true then.
    ///
    /// # Errors
    /// When it has been removed meanwhile, or its lock is not to be had.
    pub fn lock(&self) -> Result<LockedContainer<'e>, EngineError> {
        let lock = self.engine.locks.container(&self.id, LOCK_PATIENCE)?;
        // As at the beginning of a command, what cannot be recovered now must not keep this one from its work.
        let _later = self.engine.recover_locked(&lock);
        let Some(record) = self.engine.look(|store| store.container(&self.id))? else {
            lock.remove()?;
            return Err(StoreError::Removed(self.id.clone()).into());
        };
        let (phase, _) = self.engine.derive(&self.id, &record.phase)?;
        Ok(LockedContainer {
            engine: self.engine,
            record,
            phase,
            lock,
        })
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.engine.roots.container_run(&self.id)
    }

    /// A connection to its monitor.
    pub(crate) fn monitor(&self) -> Result<MonitorClient, ClientError> {
        MonitorClient::connect(&self.run_dir().join("sock"))
    }
}

impl<'e> LockedContainer<'e> {
    /// Its configuration.
    pub fn config(&self) -> &ContainerConfig {
        &self.record.config
    }

    /// Where it was in its life when the lock was taken, or after the last method of this guard.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Its name, without the lock.
    pub fn unlock(self) -> Container<'e> {
        self.handle()
    }

    pub(crate) fn handle(&self) -> Container<'e> {
        Container {
            engine: self.engine,
            id: self.record.config.id.clone(),
        }
    }

    pub(crate) fn name(&self) -> String {
        self.record.config.name.to_string()
    }

    /// Whether `op` may begin now.
    pub(crate) fn admit(&self, op: Op) -> Result<(), EngineError> {
        self.phase.admit(op).map_err(|source| EngineError::Denied {
            name: self.name(),
            source,
        })
    }

    /// Looks at what is true now.
    pub(crate) fn look_again(&mut self) -> Result<(), EngineError> {
        let id = self.record.config.id.clone();
        let Some(record) = self.engine.look(|store| store.container(&id))? else {
            return Err(StoreError::Removed(id).into());
        };
        self.phase = self.engine.derive(&id, &record.phase)?.0;
        self.record = record;
        Ok(())
    }

    pub(crate) fn monitor_error(&self, source: ClientError) -> EngineError {
        EngineError::Monitor {
            name: self.name(),
            source,
        }
    }
}
