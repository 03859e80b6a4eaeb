//! What `inspect` shows.

use ctr_monitor::health::Health;
use ctr_oci::spec::Degraded;
use ctr_state::Phase;
use ctr_types::ContainerConfig;

use super::Container;
use crate::{Engine, EngineError};

/// Everything known of a container, for a front end to render.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Its configuration.
    pub config: ContainerConfig,
    /// Where it is in its life, now.
    pub phase: Phase,
    /// The monitor's pid while it lives.
    pub monitor_pid: Option<i32>,
    /// Its cgroup.
    pub cgroup: String,
    /// The bundle.
    pub bundle: std::path::PathBuf,
    /// Where its file system is mounted, when it runs.
    pub merged: std::path::PathBuf,
    /// Its writable layer.
    pub upper: std::path::PathBuf,
    /// Its durable directory.
    pub static_dir: std::path::PathBuf,
    /// Where its anonymous volumes lie.
    pub volumes: std::path::PathBuf,
    /// Its log file.
    pub log: std::path::PathBuf,
    /// The runtime that would be used, by name.
    pub runtime: String,
    /// How often its policy has started it again since a user did.
    pub restart_count: u32,
    /// It has ended and is about to be started again.
    pub restarting: bool,
    /// Ids of the execs that run.
    pub execs: Vec<String>,
    /// What its checks say, if it has some.
    pub health: Option<Health>,
    /// Bytes of output that could not be written to the log in this run.
    pub log_dropped: u64,
    /// What this host could not do.
    pub degraded: Vec<Degraded>,
}

impl Container<'_> {
    /// Looks at everything known of the container. Takes no lock.
    pub fn inspect(&self) -> Result<Inspection, EngineError> {
        let snapshot = self.peek()?;
        let engine: &Engine = self.engine;
        let fs = engine.container_fs(&self.id);
        let run = self.run_dir();
        let monitored = snapshot.phase.live().is_some_and(|live| live.monitored);
        // A runtime that is missing, or a root file system that is not mounted, must not keep anybody from looking.
        let runtime = engine.runtime(&snapshot.config).map_or_else(
            |_| snapshot.config.runtime.clone().unwrap_or_default(),
            |runtime| runtime.name(),
        );
        Ok(Inspection {
            monitor_pid: snapshot
                .live
                .as_ref()
                .filter(|_| monitored)
                .map(|live| live.monitor.pid),
            cgroup: engine.cgroup(&self.id)?.path().to_owned(),
            bundle: run,
            merged: fs.merged(),
            upper: fs.upper(),
            static_dir: engine.roots.container(&self.id),
            volumes: engine.volumes(&self.id),
            log: engine.roots.container(&self.id).join("ctr.log"),
            runtime,
            restart_count: snapshot.live.as_ref().map_or(0, |live| live.restart_count),
            restarting: self.is_waiting()?,
            execs: self.running_execs(),
            health: self.health()?,
            log_dropped: snapshot.live.as_ref().map_or(0, |live| live.log_dropped),
            degraded: engine.degraded(&snapshot.config)?,
            config: snapshot.config,
            phase: snapshot.phase,
        })
    }
}

impl Container<'_> {
    /// Ids of the execs that run. A monitor that does not answer must not keep anybody from looking.
    fn running_execs(&self) -> Vec<String> {
        let sessions = self.exec_sessions().unwrap_or_default();
        let running = sessions.into_iter().filter(|one| one.code.is_none());
        running.map(|one| one.id).collect()
    }
}

impl Engine {
    /// What this host cannot do of what a configuration asks for.
    pub fn degraded(&self, config: &ContainerConfig) -> Result<Vec<Degraded>, EngineError> {
        let facts = ctr_oci::spec::SpecFacts {
            host: self.host()?,
            rootfs: std::path::PathBuf::new(),
            user: ctr_oci::user::ResolvedUser::default(),
            joined: ctr_oci::spec::Joined::default(),
            shm: None,
            volumes: std::path::PathBuf::new(),
            cgroup: String::new(),
            files: Vec::new(),
            seccomp: None,
        };
        Ok(ctr_oci::spec::build(config, &facts)?.1)
    }
}
