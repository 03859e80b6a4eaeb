//! "Ensure absent", once per kind of resource: what remove, clean-up, rollback and recovery share (reliability.md rule 3).
//!
//! Every name is a function of the container's id, so nothing here needs to know what was done before; each function
//! succeeds when there is nothing to do.

use std::time::Duration;

use ctr_net::NetworkNamespace;
use ctr_oci::cgroup::Cgroup;
use ctr_oci::runtime::Runtime;
use ctr_state::ContainerLock;
use ctr_sys::lock::FileLock;
use ctr_types::ContainerId;

use crate::plan::{DOWN, DownStep};
use crate::{Engine, EngineError};

/// How long a killed process may take to go.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

impl Engine {
    /// No monitor and no process of the container is left.
    pub(crate) fn ensure_no_processes(&self, id: &ContainerId) -> Result<(), EngineError> {
        let run = self.roots.container_run(id);
        let lock = run.join("monitor.lock");
        if FileLock::is_held(&lock)?
            && let Some(live) = ctr_monitor::live::Live::read(&run.join("live"))?
            && let Some(monitor) = live.monitor.open()?
        {
            monitor.signal(9)?;
            monitor.wait(Some(KILL_PATIENCE))?;
        }
        if let Some(live) = ctr_monitor::live::Live::read(&run.join("live"))?
            && let Some(process) = live.process.open()?
        {
            process.signal(9)?;
        }
        Ok(self.cgroup(id)?.kill_all(KILL_PATIENCE)?)
    }

    /// The runtime does not know the container.
    pub(crate) fn ensure_no_runtime_state(&self, id: &ContainerId) -> Result<(), EngineError> {
        let root = self.roots.container_run(id).join("runtime");
        if !root.join(id.as_str()).exists() {
            return Ok(());
        }
        // The runtime that made it, or one that reads the same state; without any, the directory alone is removed below.
        let asked = self
            .look(|store| store.container(id))
            .ok()
            .flatten()
            .and_then(|record| record.config.runtime);
        let name = asked.or_else(|| self.options.runtime.clone());
        let runtime = match name {
            Some(name) => Runtime::named(&name, &root),
            None => Runtime::probe(self.host()?.cgroup, &root),
        };
        let Ok(runtime) = runtime else {
            return Ok(());
        };
        // A runtime is a process of 10 ms; without anything to end there is nothing that it must do.
        if self.cgroup(id)?.processes()?.is_empty() {
            return Ok(runtime.ensure_forgotten(id.as_str())?);
        }
        Ok(runtime.ensure_deleted(id.as_str())?)
    }

    /// The container's cgroup.
    pub(crate) fn cgroup(&self, id: &ContainerId) -> Result<Cgroup, EngineError> {
        let parent = self.look(|store| store.cgroup_parent(id))?;
        Ok(Cgroup::of(id, parent.as_deref()))
    }

    /// The container has no cgroup.
    pub(crate) fn ensure_no_cgroup(&self, id: &ContainerId) -> Result<(), EngineError> {
        Ok(self.cgroup(id)?.ensure_absent()?)
    }

    /// The container has no network namespace of the engine's.
    pub(crate) fn ensure_no_network(&self, id: &ContainerId) -> Result<(), EngineError> {
        Ok(NetworkNamespace::of(&self.roots.container_run(id)).ensure_absent()?)
    }

    /// The container's file system is not mounted for its run, nor the shared memory of another one.
    pub(crate) fn ensure_not_mounted(&self, id: &ContainerId) -> Result<(), EngineError> {
        self.ensure_no_shm(id)?;
        Ok(self.container_fs(id).release("run")?)
    }

    /// The shared memory of another container is not bound for this one.
    pub(crate) fn ensure_no_shm(&self, id: &ContainerId) -> Result<(), EngineError> {
        let shm = self.roots.container_run(id).join(crate::container::SHM);
        if shm.exists() {
            ctr_sys::mount::ensure_unmounted(&shm)?;
        }
        Ok(())
    }

    /// Nothing of the container is left of this boot but its lock. Goes on past failures.
    pub(crate) fn ensure_down(&self, lock: &ContainerLock) -> Result<(), EngineError> {
        let id = lock.id();
        let mut errors = Vec::new();
        for step in DOWN {
            if !errors.is_empty() && !step.is_independent() {
                continue;
            }
            let done = match step {
                DownStep::KillProcesses => self.ensure_no_processes(id),
                DownStep::DeleteRuntime => self.ensure_no_runtime_state(id),
                DownStep::RemoveCgroup => self.ensure_no_cgroup(id),
                DownStep::RemoveNetwork => self.ensure_no_network(id),
                DownStep::Unmount => self.ensure_not_mounted(id),
                DownStep::RemoveRunDirectory => self.ensure_no_run_directory(id),
            };
            errors.extend(done.err());
        }
        EngineError::collect(errors)
    }

    /// The container has no directory of this boot, unless somebody other than its run holds its file system.
    pub(crate) fn ensure_no_run_directory(&self, id: &ContainerId) -> Result<(), EngineError> {
        let run = self.roots.container_run(id);
        if self.container_fs(id).holders()?.is_empty() {
            return Ok(ctr_sys::fs::ensure_tree_absent(&run)?);
        }
        for name in ["live", "sock", "pidfile", "config.json", "monitor.lock"] {
            ctr_sys::fs::ensure_file_absent(&run.join(name))?;
        }
        Ok(ctr_sys::fs::ensure_tree_absent(&run.join("runtime"))?)
    }
}
