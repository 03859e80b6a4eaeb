//! Namespaces of other containers (semantics.md T11): what is joined, and that those containers run.

use std::path::{Path, PathBuf};

use ctr_oci::spec::Joined;
use ctr_state::{Op, Phase};
use ctr_sys::error::Context as _;
use ctr_sys::process::ProcessId;
use ctr_types::config::{Namespace, Network};
use ctr_types::{ContainerConfig, ContainerId};
use rustix::fs::{Mode, OFlags};

use super::{Container, Started};
use crate::{Engine, EngineError};

/// Where the shared memory of another container is bound, below a container's directory of this boot.
pub(crate) const SHM: &str = "shm";

/// A container whose namespaces are joined, and which runs.
struct Neighbour {
    config: ContainerConfig,
    process: ProcessId,
}

impl Neighbour {
    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/{name}", self.process.pid))
    }
}

impl Container<'_> {
    /// Brings it up and starts its program, after those containers that it needs.
    ///
    /// # Errors
    /// As [`LockedContainer::start`](super::LockedContainer::start).
    pub fn start(&self) -> Result<Started, EngineError> {
        self.start_dependencies()?;
        self.lock()?.start()
    }

    /// How many containers stand above each other below this one: 0 when it needs none.
    pub fn dependency_depth(&self) -> Result<usize, EngineError> {
        let mut depth = 0;
        for id in self.record()?.config.dependencies() {
            let needed = Container {
                engine: self.engine,
                id,
            };
            depth = depth.max(needed.dependency_depth()? + 1);
        }
        Ok(depth)
    }

    /// Starts the containers whose namespaces it shares, and those that they need, unless they run. No lock of one is held
    /// while another is taken (semantics.md B32).
    pub fn start_dependencies(&self) -> Result<(), EngineError> {
        for id in self.record()?.config.dependencies() {
            let needed = Container {
                engine: self.engine,
                id,
            };
            needed.start_dependencies()?;
            let mut locked = needed.lock()?;
            if locked.phase().admit(Op::Start).is_ok() {
                locked.start()?;
            }
        }
        Ok(())
    }
}

impl Engine {
    fn neighbour(&self, id: &ContainerId) -> Result<Neighbour, EngineError> {
        let container = Container {
            engine: self,
            id: id.clone(),
        };
        let seen = container.peek()?;
        let name = seen.config.name.to_string();
        let live = match &seen.phase {
            Phase::Created(live) | Phase::Running(live) | Phase::Paused(live) => live,
            Phase::Configured
            | Phase::Stopping(_)
            | Phase::Stopped(_)
            | Phase::Exited(_)
            | Phase::Removing => return Err(EngineError::DependencyDown(name)),
        };
        Ok(Neighbour {
            process: ProcessId {
                pid: live.pid,
                start: live.start,
            },
            config: seen.config,
        })
    }

    /// The namespaces that a container joins, of containers that all run.
    ///
    /// # Errors
    /// [`EngineError::DependencyDown`] names one that does not.
    pub(crate) fn join(&self, config: &ContainerConfig) -> Result<Joined, EngineError> {
        let wanted = &config.namespaces;
        let one = |asked: &Namespace,
                   name: &str,
                   theirs: fn(&ContainerConfig) -> &Namespace|
         -> Result<Option<PathBuf>, EngineError> {
            let Namespace::Container(id) = asked else {
                return Ok(None);
            };
            let neighbour = self.neighbour(id)?;
            // What is the host's for it is the host's for this one.
            Ok((*theirs(&neighbour.config) != Namespace::Host).then(|| neighbour.path(name)))
        };
        Ok(Joined {
            network: self.join_network(config)?,
            pid: one(&wanted.pid, "pid", |config| &config.namespaces.pid)?,
            ipc: one(&wanted.ipc, "ipc", |config| &config.namespaces.ipc)?,
            uts: one(&wanted.uts, "uts", |config| &config.namespaces.uts)?,
            cgroup: one(&wanted.cgroup, "cgroup", |config| &config.namespaces.cgroup)?,
            user: one(&wanted.user, "user", |config| &config.namespaces.user)?,
            mount: one(&wanted.mount, "mnt", |config| &config.namespaces.mount)?,
        })
    }

    fn join_network(&self, config: &ContainerConfig) -> Result<Option<PathBuf>, EngineError> {
        let own = |id: &ContainerId| {
            let run = self.roots.container_run(id);
            ctr_net::NetworkNamespace::of(&run).path().to_owned()
        };
        let id = match &config.namespaces.network {
            Network::None | Network::Host | Network::Path(_) => return Ok(None),
            Network::Private => return Ok(Some(own(&config.id))),
            Network::Container(id) => id,
        };
        let neighbour = self.neighbour(id)?;
        Ok(match &neighbour.config.namespaces.network {
            Network::Host => None,
            // Held by the engine, so it stays when the neighbour's program is started anew.
            Network::Private => Some(own(id)),
            Network::None | Network::Container(_) | Network::Path(_) => Some(neighbour.path("net")),
        })
    }

    /// Binds the shared memory of the container whose IPC namespace is joined into `run`, and gives its place there.
    pub(crate) fn join_shm(
        &self,
        config: &ContainerConfig,
        run: &Path,
    ) -> Result<Option<PathBuf>, EngineError> {
        let Namespace::Container(id) = &config.namespaces.ipc else {
            return Ok(None);
        };
        let neighbour = self.neighbour(id)?;
        if neighbour.config.namespaces.ipc == Namespace::Host {
            return Ok(Some("/dev/shm".into()));
        }
        let path = neighbour.path("mnt");
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let namespace = rustix::fs::open(&path, flags, Mode::empty())
            .context("open", || path.display().to_string())?;
        // Opened by number: it is the right one if the process is still there.
        if !neighbour.process.is_alive()? {
            let name = neighbour.config.name.to_string();
            return Err(EngineError::DependencyDown(name));
        }
        let target = run.join(SHM);
        ctr_sys::fs::ensure_directory(&target, 0o700)?;
        if !ctr_sys::mount::is_mount_point(&target)? {
            ctr_sys::mount::bind_from_namespace(namespace, Path::new("/dev/shm"), &target)?;
        }
        Ok(Some(target))
    }
}
