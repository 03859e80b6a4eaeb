//! Bringing a container up: from Configured, Stopped or Exited to Created, and on to Running.

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use ctr_monitor::client::{ClientError, MonitorClient};
use ctr_monitor::config::MonitorConfig;
use ctr_monitor::protocol::{Reply, Request};
use ctr_net::NetworkNamespace;
use ctr_oci::cgroup::Cgroup;
use ctr_oci::rootfs::{Program, RootFs};
use ctr_oci::runtime::{Failure, Runtime, complaint};
use ctr_oci::seccomp;
use ctr_oci::spec::{Degraded, SpecFacts};
use ctr_state::record::OpKind;
use ctr_state::{DurablePhase, Grade, Op, PhaseName};
use ctr_sys::child::Detached;
use ctr_sys::fs::Durability;
use ctr_sys::socket::MessageSocket;
use ctr_types::config::{LogDriver, Namespace, Network, Rootfs, Seccomp};
use ctr_types::{ContainerConfig, ContainerId};

use super::LockedContainer;
use crate::engine::{Operation, child_environment};
use crate::etc;
use crate::plan::{self, RecoveryStep};
use crate::steps::{InitStep, StartStep};
use crate::{Engine, EngineError};

/// How long the monitor has for `runtime create` and its own work.
const CREATE_PATIENCE: Duration = Duration::from_secs(70);
/// How long it has for anything else.
const PATIENCE: Duration = Duration::from_secs(35);

/// How long it has to leave after the clean-up.
const LEAVE_PATIENCE: Duration = Duration::from_secs(5);

/// A container that has just been brought up, with the engine's connection to its monitor.
#[derive(Debug)]
pub struct Started {
    name: String,
    pub(crate) monitor: MonitorClient,
    /// The monitor's process, our child.
    pub(crate) child: Option<Child>,
    /// What the host could not do.
    pub degraded: Vec<Degraded>,
}

impl Started {
    /// Says that this caller cleans up when the container has ended, so that the monitor starts nobody for it.
    ///
    /// # Errors
    /// When the monitor is gone.
    pub fn stay(&self) -> Result<(), EngineError> {
        let name = self.name.clone();
        self.monitor
            .send(&Request::Foreground, &[])
            .map_err(|source| EngineError::Monitor { name, source })
    }

    /// Lets the monitor go after [`Container::cleanup`](super::Container::cleanup), and waits until it has gone.
    pub fn leave(mut self) {
        // A monitor that has gone already is what is wanted.
        let _gone = self.monitor.send(&Request::CleanedUp, &[]);
        // Read to the end: a socket closed with something unread resets the connection, and the message is lost.
        let end = loop {
            if let Err(end) = self.monitor.receive(Some(LEAVE_PATIENCE)) {
                break end;
            }
        };
        // One that hangs is not waited for; the container is gone, and the next command sees to the rest.
        let has_left = !matches!(end, ClientError::Timeout(_));
        if let Some(child) = self.child.as_mut().filter(|_| has_left) {
            let _status = child.wait();
        }
    }
}

/// Brings one container up: what its steps hand on to each other.
struct Init<'a> {
    engine: &'a Engine,
    config: &'a ContainerConfig,
    runtime: Runtime,
    operation: &'a Operation,
    run: PathBuf,
    etc: Vec<(&'static str, PathBuf)>,
    degraded: Vec<Degraded>,
    monitor: Option<MonitorClient>,
    child: Option<Child>,
}

impl LockedContainer<'_> {
    /// Has the runtime make the container, without starting its program.
    ///
    /// # Errors
    /// When its phase does not allow it, or something fails; everything taken has been given back then.
    pub fn init(&mut self) -> Result<Started, EngineError> {
        self.admit(Op::Init)?;
        if plan::cleans_up_before_init(self.phase.name()) {
            self.clean_up()?;
        }
        let id = self.record.config.id.clone();
        let engine = self.engine;
        let runtime = engine.runtime(&self.record.config)?;
        let operation = engine.begin(OpKind::Start, Some(&id))?;
        let mut init = Init {
            engine,
            config: &self.record.config,
            runtime,
            operation: &operation,
            run: engine.roots.container_run(&id),
            etc: Vec::new(),
            degraded: Vec::new(),
            monitor: None,
            child: None,
        };
        let outcome = engine
            .options
            .hooks
            .run(InitStep::ALL, |step| init.perform(step));
        let (monitor, child, degraded) = (init.monitor.take(), init.child.take(), init.degraded);
        match (outcome, monitor) {
            (Ok(()), Some(monitor)) => {
                operation.lock.remove()?;
                self.look_again()?;
                Ok(Started {
                    name: self.name(),
                    monitor,
                    child,
                    degraded,
                })
            }
            (outcome, monitor) => {
                // Its end of the socket tells a monitor that has not been committed to undo what it has done.
                drop(monitor);
                let op = &operation.record.id;
                let undone = engine
                    .carry_out(&self.lock, op, &plan::init_rollback())
                    .and_then(|()| engine.transact(Grade::Volatile, |txn| txn.finish_op(op)));
                // It has gone by now, or been killed.
                if let Some(mut child) = child.filter(|_| undone.is_ok()) {
                    let _status = child.wait();
                }
                // What could not be undone stays in the journal for the next command.
                if undone.is_ok() {
                    operation.lock.remove()?;
                }
                self.look_again()?;
                let unmade = || EngineError::Invalid("the monitor was not started".into());
                Err(outcome.err().unwrap_or_else(unmade))
            }
        }
    }

    /// Starts the container's program, having the container made first when it is not.
    ///
    /// # Errors
    /// When its phase does not allow it, or something fails.
    pub fn start(&mut self) -> Result<Started, EngineError> {
        let mut started = self.prepare_start()?;
        self.start_prepared(&mut started)?;
        Ok(started)
    }

    /// Everything before the program starts, so that somebody can attach first and lose no output (semantics.md B15).
    pub fn prepare_start(&mut self) -> Result<Started, EngineError> {
        self.admit(Op::Start)?;
        if self.phase.name() == PhaseName::Created {
            let monitor = self
                .handle()
                .monitor()
                .map_err(|error| self.monitor_error(error))?;
            return Ok(Started {
                name: self.name(),
                monitor,
                child: None,
                degraded: Vec::new(),
            });
        }
        self.init()
    }

    /// Starts the program of a container prepared by [`LockedContainer::prepare_start`].
    pub fn start_prepared(&mut self, started: &mut Started) -> Result<(), EngineError> {
        let id = self.record.config.id.clone();
        let name = self.name();
        let outcome = self
            .engine
            .options
            .hooks
            .run(StartStep::ALL, |step| match step {
                StartStep::Start => {
                    let answer = started.monitor.call(&Request::Start, PATIENCE);
                    answer.map_err(|error| {
                        if let ClientError::Refused(text) = &error {
                            return self.runtime_failed(text);
                        }
                        self.monitor_error(error)
                    })
                }
                StartStep::Record => self.engine.transact(Grade::Volatile, |txn| {
                    txn.add_event(&Engine::event("container", "start", id.as_str(), &name))
                }),
            });
        if let Err(error) = outcome {
            let ended = self
                .engine
                .exit_record(&id, self.engine.roots.boot_id())?
                .is_some();
            self.roll_start_back(&plan::start_rollback(ended))?;
            self.look_again()?;
            return Err(error);
        }
        self.look_again()
    }

    /// Undoes a start that failed. It has a journal entry of its own: the one of the init is gone with the commit.
    fn roll_start_back(&self, steps: &[RecoveryStep]) -> Result<(), EngineError> {
        if steps.is_empty() {
            return Ok(());
        }
        let operation = self.engine.begin(OpKind::Start, Some(self.lock.id()))?;
        let op = &operation.record.id;
        self.engine
            .transact(Grade::Volatile, |txn| txn.begin_op(&operation.record))?;
        self.engine.carry_out(&self.lock, op, steps)?;
        self.engine
            .transact(Grade::Volatile, |txn| txn.finish_op(op))?;
        Ok(operation.lock.remove()?)
    }

    /// What a runtime's refusal is about: first by our own look into the root file system, then by its words.
    fn runtime_failed(&self, text: &str) -> EngineError {
        runtime_failed(self.engine, &self.record.config, text)
    }
}

/// What a runtime's refusal to make or start the container is about.
fn runtime_failed(engine: &Engine, config: &ContainerConfig, text: &str) -> EngineError {
    let program = config.process.args().into_iter().next();
    refusal(engine, config, program.unwrap_or_default(), &[], text)
}

/// What a runtime's refusal to run `program` is about: first by our own look into the root file system, then by its words.
/// `env` is what was added to the container's.
pub(super) fn refusal(
    engine: &Engine,
    config: &ContainerConfig,
    program: String,
    env: &[String],
    text: &str,
) -> EngineError {
    let name = config.name.to_string();
    let complaint = complaint(text);
    let search = env
        .iter()
        .rev()
        .chain(config.process.env.iter().rev())
        .find_map(|variable| variable.strip_prefix("PATH="))
        .unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    // Mounts may bring programs of their own, which are not seen from outside.
    let seen = RootFs::open(&engine.container_fs(&config.id).merged())
        .ok()
        .filter(|_| config.mounts.is_empty())
        .map(|rootfs| rootfs.find_program(&program, search, &config.process.workdir));
    let failure = match seen {
        Some(Program::Missing) => Failure::NotFound,
        Some(Program::NotExecutable) => Failure::CannotInvoke,
        Some(Program::Executable) | None => Failure::from_complaint(&complaint),
    };
    match failure {
        Failure::NotFound => EngineError::ProgramNotFound { name, program },
        Failure::CannotInvoke => EngineError::ProgramNotExecutable { name, program },
        Failure::Engine => EngineError::Create { name, complaint },
    }
}

impl Init<'_> {
    fn id(&self) -> &ContainerId {
        &self.config.id
    }

    fn perform(&mut self, step: InitStep) -> Result<(), EngineError> {
        match step {
            InitStep::Claim => {
                let boot = self.engine.roots.boot_id().clone();
                self.engine.transact(Grade::Volatile, |txn| {
                    txn.set_phase(
                        self.id(),
                        &DurablePhase::Up {
                            boot,
                            started_at: None,
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
                let layers = self.engine.layers()?;
                let Rootfs::Image { layers: ids, .. } = &self.config.rootfs;
                let paths: Vec<PathBuf> = ids.iter().map(|id| layers.path(id)).collect();
                Ok(self.engine.container_fs(self.id()).hold("run", &paths)?)
            }
            InitStep::Network => match self.config.namespaces.network {
                Network::Private => Ok(NetworkNamespace::of(&self.run).create()?),
                Network::None | Network::Host => Ok(()),
            },
            InitStep::WriteEtc => {
                self.etc = etc::write(self.config, &self.run)?;
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
            InitStep::Finish => {
                let name = self.config.name.as_str();
                self.engine.transact(Grade::Volatile, |txn| {
                    txn.add_event(&Engine::event(
                        "container",
                        "init",
                        self.id().as_str(),
                        name,
                    ))?;
                    txn.finish_op(&self.operation.record.id)
                })
            }
        }
    }

    fn monitor_error(&self, source: ClientError) -> EngineError {
        EngineError::Monitor {
            name: self.config.name.to_string(),
            source,
        }
    }

    fn image_name(&self) -> String {
        let Rootfs::Image { name, .. } = &self.config.rootfs;
        name.clone()
    }

    fn write_bundle(&mut self) -> Result<(), EngineError> {
        let merged = self.engine.container_fs(self.id()).merged();
        let rootfs = RootFs::open(&merged)?;
        let image = || self.image_name();
        let wrong = |source| EngineError::RootFs {
            image: image(),
            source,
        };
        rootfs.check_mount_points().map_err(wrong)?;
        let workdir = &self.config.process.workdir;
        if !workdir.is_empty() {
            rootfs.ensure_workdir(workdir).map_err(wrong)?;
        }
        let user =
            ctr_oci::user::resolve(&rootfs, &self.config.process.user).map_err(|source| {
                EngineError::User {
                    image: image(),
                    source,
                }
            })?;
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
        let netns = (self.config.namespaces.network == Network::Private)
            .then(|| NetworkNamespace::of(&self.run).path().to_owned());
        let facts = SpecFacts {
            host,
            rootfs: merged,
            user,
            netns,
            cgroup: Cgroup::of(self.id()).path().to_owned(),
            etc: self.etc.clone(),
            seccomp,
        };
        let (spec, degraded) = ctr_oci::spec::build(self.config, &facts)?;
        if self.config.strict && !degraded.is_empty() {
            let list: Vec<String> = degraded.iter().map(ToString::to_string).collect();
            return Err(EngineError::Degraded(list.join("; ")));
        }
        self.degraded = degraded;
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
        }
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
            | Reply::ExecStarted { .. }
            | Reply::ExecExited { .. } => Err(EngineError::Create {
                name: self.config.name.to_string(),
                complaint: "the monitor said something unexpected".into(),
            }),
        }
    }
}
