//! The steps that bring a container up.

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use ctr_monitor::client::{ClientError, MonitorClient};
use ctr_monitor::config::{HealthConfig, MonitorConfig, OnUnhealthy};
use ctr_monitor::policy::Restart;
use ctr_monitor::protocol::{Reply, Request};
use ctr_net::NetworkNamespace;
use ctr_oci::rootfs::RootFs;
use ctr_oci::runtime::{Runtime, write_process};
use ctr_oci::seccomp;
use ctr_oci::spec::{Degraded, Exec, Joined, SpecFacts, exec_process};
use ctr_state::{DurablePhase, Ended, Grade};
use ctr_sys::child::Detached;
use ctr_sys::fs::Durability;
use ctr_sys::socket::MessageSocket;
use ctr_types::config::{HealthAction, LogDriver, Namespace, Network, RestartPolicy, Seccomp};
use ctr_types::{ContainerConfig, ContainerId};

use super::start::runtime_failed;
use crate::engine::{Operation, child_environment};
use crate::etc;
use crate::steps::InitStep;
use crate::{Engine, EngineError};

/// Where the monitor notes what happens, below a container's directory of this boot.
pub(crate) const TIDINGS: &str = "tidings";
/// Where it keeps the container's health.
pub(crate) const HEALTH: &str = "health";
/// The process of a health check, for the runtime.
const HEALTH_PROCESS: &str = "health.json";

/// How long the monitor has for `runtime create` and its own work.
const CREATE_PATIENCE: Duration = Duration::from_secs(70);

/// Brings one container up: what its steps hand on to each other.
pub(super) struct Init<'a> {
    engine: &'a Engine,
    config: &'a ContainerConfig,
    /// How the run before ended.
    before: Option<Ended>,
    runtime: Runtime,
    operation: &'a Operation,
    run: PathBuf,
    files: Vec<(&'static str, PathBuf)>,
    joined: Joined,
    shm: Option<PathBuf>,
    degraded: Vec<Degraded>,
    monitor: Option<MonitorClient>,
    child: Option<Child>,
}

impl<'a> Init<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        config: &'a ContainerConfig,
        before: Option<Ended>,
        runtime: Runtime,
        operation: &'a Operation,
    ) -> Self {
        Self {
            engine,
            config,
            before,
            runtime,
            operation,
            run: engine.roots.container_run(&config.id),
            files: Vec::new(),
            joined: Joined::default(),
            shm: None,
            degraded: Vec::new(),
            monitor: None,
            child: None,
        }
    }

    /// What has been made: the monitor with its connection, if it has come so far, and what the host could not do.
    pub(super) fn made(self) -> (Option<MonitorClient>, Option<Child>, Vec<Degraded>) {
        (self.monitor, self.child, self.degraded)
    }

    fn id(&self) -> &ContainerId {
        &self.config.id
    }

    pub(super) fn perform(&mut self, step: InitStep) -> Result<(), EngineError> {
        match step {
            InitStep::Claim => {
                let boot = self.engine.roots.boot_id().clone();
                self.engine.transact(Grade::Volatile, |txn| {
                    txn.set_phase(
                        self.id(),
                        &DurablePhase::Up {
                            boot,
                            started_at: None,
                            before: self.before.clone(),
                        },
                    )?;
                    txn.begin_op(&self.operation.record)
                })
            }
            InitStep::MakeRunDirectory => {
                // An exit record there is of the run before.
                ctr_sys::fs::ensure_file_absent(
                    &self.engine.roots.container(self.id()).join("exit"),
                )?;
                Ok(ctr_sys::fs::ensure_directory(&self.run, 0o711)?)
            }
            InitStep::Mount => {
                self.engine.mount(self.config, "run")?;
                self.engine.fill_volumes(self.config)
            }
            InitStep::Network => {
                if self.config.namespaces.network == Network::Private {
                    NetworkNamespace::of(&self.run).create()?;
                }
                self.joined = self.engine.join(self.config)?;
                self.shm = self.engine.join_shm(self.config, &self.run)?;
                Ok(())
            }
            InitStep::WriteEtc => {
                self.files = etc::write(self.config, &self.engine.roots)?;
                Ok(())
            }
            InitStep::WriteBundle => self.write_bundle(),
            InitStep::SpawnMonitor => self.spawn_monitor(),
            InitStep::Commit => match &self.monitor {
                Some(monitor) => monitor
                    .send(&Request::Commit, &[])
                    .map_err(|source| self.monitor_error(source)),
                None => Ok(()),
            },
            InitStep::Finish => self.engine.transact(Grade::Volatile, |txn| {
                txn.add_event(&Engine::container_event(self.config, "init"))?;
                txn.finish_op(&self.operation.record.id)
            }),
        }
    }

    fn monitor_error(&self, source: ClientError) -> EngineError {
        EngineError::Monitor {
            name: self.config.name.to_string(),
            source,
        }
    }

    fn write_bundle(&mut self) -> Result<(), EngineError> {
        let merged = self.engine.container_fs(self.id()).merged();
        let rootfs = RootFs::open(&merged)?;
        let image = || self.config.rootfs.shown();
        let wrong = |source| EngineError::RootFs {
            image: image(),
            source,
        };
        rootfs.check_mount_points().map_err(wrong)?;
        let workdir = &self.config.process.workdir;
        if !workdir.is_empty() {
            rootfs.ensure_workdir(workdir).map_err(wrong)?;
        }
        let wanted = &self.config.process;
        let unknown = |source| EngineError::User {
            image: image(),
            source,
        };
        let mut user = ctr_oci::user::resolve(&rootfs, &wanted.user).map_err(unknown)?;
        ctr_oci::user::add_groups(&rootfs, &mut user, &wanted.groups).map_err(unknown)?;
        let host = self.engine.host()?;
        let process = &self.config.process;
        let capabilities = ctr_oci::spec::capabilities(&process.cap_add, &process.cap_drop)
            .map_err(ctr_oci::spec::SpecError::from)?;
        let seccomp = match &process.seccomp {
            _ if process.privileged => None,
            Seccomp::Default => Some(seccomp::default_profile(&capabilities)?),
            Seccomp::Unconfined => None,
            Seccomp::File(path) => Some(seccomp::profile_from(path, &capabilities)?),
        };
        let facts = SpecFacts {
            host,
            rootfs: merged,
            user,
            joined: self.joined.clone(),
            shm: self.shm.clone(),
            volumes: self.engine.volumes(self.id()),
            cgroup: self.engine.cgroup(self.id())?.path().to_owned(),
            files: self.files.clone(),
            seccomp,
        };
        let (spec, degraded) = ctr_oci::spec::build(self.config, &facts)?;
        if self.config.strict && !degraded.is_empty() {
            let list: Vec<String> = degraded.iter().map(ToString::to_string).collect();
            return Err(EngineError::Degraded(list.join("; ")));
        }
        self.degraded = degraded;
        if let Some(health) = &self.config.health {
            let exec = Exec {
                args: health.command.clone(),
                user: facts.user.clone(),
                ..Exec::default()
            };
            let process = exec_process(self.config, host, &exec)?;
            write_process(&self.run.join(HEALTH_PROCESS), &process)?;
        }
        // Voided by a reboot, like everything in this directory: nothing to sync.
        ctr_oci::runtime::write_bundle(&self.run, &spec, Durability::ProcessDeath)?;
        Ok(())
    }

    fn monitor_config(&self) -> MonitorConfig {
        let id = self.id().as_str();
        let durable = self.engine.roots.container(self.id());
        let run = |name: &str| self.run.join(name);
        let console = self.config.process.terminal.then(|| run("console"));
        let options = &self.engine.options;
        let mut cleanup: Vec<std::ffi::OsString> = options
            .cleanup
            .iter()
            .map(|part| part.clone().into_os_string())
            .collect();
        cleanup.push(id.into());
        let log = &self.config.log;
        MonitorConfig {
            id: id.to_owned(),
            boot_id: self.engine.roots.boot_id().to_string(),
            lock: run("monitor.lock"),
            live: run("live"),
            socket: run("sock"),
            exit_record: durable.join("exit"),
            durable: !self.config.auto_remove,
            log: match log.driver {
                LogDriver::K8sFile => Some(durable.join("ctr.log")),
                LogDriver::None => None,
            },
            log_max_size: log.max_size.unwrap_or(0),
            log_max_files: log.max_files,
            terminal: self.config.process.terminal,
            stdin: self.config.process.stdin,
            own_pid_namespace: self.config.namespaces.pid == Namespace::Private,
            console_socket: run("console"),
            pid_file: run("pidfile"),
            create: self
                .runtime
                .create_args(id, &self.run, &run("pidfile"), console.as_deref()),
            start: self.runtime.start_args(id),
            delete: self.runtime.delete_args(id),
            pause: self.runtime.pause_args(id),
            resume: self.runtime.resume_args(id),
            kill_all: self.runtime.kill_all_args(id),
            cleanup,
            environment: child_environment(),
            restart: match self.config.restart {
                RestartPolicy::No => Restart::Never,
                RestartPolicy::OnFailure(most) => Restart::OnFailure(most),
                RestartPolicy::Always | RestartPolicy::UnlessStopped => Restart::Always,
            },
            timeout: Duration::from_secs(self.config.timeout.into()),
            stop_signal: self.config.stop_signal.number(),
            stop_timeout: Duration::from_secs(self.config.stop_timeout.into()),
            tidings: run(TIDINGS),
            health: self.health_config(),
        }
    }

    /// How the monitor checks the container's health.
    fn health_config(&self) -> Option<HealthConfig> {
        let health = self.config.health.as_ref()?;
        let run = |name: &str| self.run.join(name);
        let (process, pid_file) = (run(HEALTH_PROCESS), run("health.pid"));
        Some(HealthConfig {
            exec: self
                .runtime
                .exec_args(self.id().as_str(), &process, &pid_file, None),
            pid_file,
            file: run(HEALTH),
            interval: health.interval,
            timeout: health.timeout,
            start_period: health.start_period,
            retries: health.retries,
            on_unhealthy: match health.action {
                HealthAction::None => OnUnhealthy::Nothing,
                HealthAction::Kill => OnUnhealthy::Kill,
                HealthAction::Restart => OnUnhealthy::Restart,
                HealthAction::Stop => OnUnhealthy::Stop,
            },
        })
    }

    fn spawn_monitor(&mut self) -> Result<(), EngineError> {
        let (ours, theirs) = MessageSocket::pair()?;
        let program = &self.engine.options.monitor;
        let child = Detached::new(program)
            .arg(self.id().as_str())
            .input(theirs.into_fd())
            .spawn()?;
        self.child = Some(child);
        let mut monitor = MonitorClient::over(ours);
        let sent = monitor.send_bytes(&self.monitor_config().encode(), &[]);
        sent.map_err(|source| self.monitor_error(source))?;
        let reply = monitor.receive(Some(CREATE_PATIENCE));
        match reply.map_err(|source| self.monitor_error(source))?.0 {
            Reply::Created { .. } => {
                self.monitor = Some(monitor);
                Ok(())
            }
            Reply::Error(text) => Err(runtime_failed(self.engine, self.config, &text)),
            Reply::Ok
            | Reply::Output { .. }
            | Reply::Exited { .. }
            | Reply::Restarting { .. }
            | Reply::Sessions(_)
            | Reply::ExecStarted { .. }
            | Reply::ExecExited { .. } => Err(EngineError::Create {
                name: self.config.name.to_string(),
                complaint: "the monitor said something unexpected".into(),
            }),
        }
    }
}
