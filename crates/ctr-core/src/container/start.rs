//! Bringing a container up: from Configured, Stopped or Exited to Created, and on to Running.

use std::process::Child;
use std::time::Duration;

use ctr_monitor::client::{ClientError, MonitorClient};
use ctr_monitor::protocol::Request;
use ctr_oci::rootfs::{Program, RootFs};
use ctr_oci::runtime::{Failure, complaint};
use ctr_oci::spec::Degraded;
use ctr_state::record::OpKind;
use ctr_state::{Grade, Op, PhaseName};
use ctr_types::ContainerConfig;

use super::LockedContainer;
use super::init::Init;
use crate::plan::{self, RecoveryStep};
use crate::steps::{InitStep, StartStep};
use crate::{Engine, EngineError};

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
        let mut init = Init::new(
            engine,
            &self.record.config,
            self.phase.ended().cloned(),
            runtime,
            &operation,
        );
        let outcome = engine
            .options
            .hooks
            .run(InitStep::ALL, |step| init.perform(step));
        let (monitor, child, degraded) = init.made();
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
                    txn.add_event(&Engine::container_event(&self.record.config, "start"))
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
pub(super) fn runtime_failed(engine: &Engine, config: &ContainerConfig, text: &str) -> EngineError {
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
