//! Ending, signalling, freezing.

use std::time::Duration;

use ctr_monitor::protocol::Request;
use ctr_state::{Denied, Ended, Grade, Op, PhaseName};
use ctr_types::Signal;

use super::{Container, LockedContainer};
use crate::steps::StopStep;
use crate::{Engine, EngineError};

/// How long a monitor has for an answer.
const PATIENCE: Duration = Duration::from_secs(35);
/// After SIGKILL a process may take this long to go (one that hangs in the kernel takes longer).
const GRACE: Duration = Duration::from_secs(10);

impl Container<'_> {
    /// Ends the container: its stop signal, and SIGKILL when it has not ended after `timeout` (none means its own). The lock is
    /// not held while waiting (semantics.md B9).
    ///
    /// # Errors
    /// [`Denied::AlreadyThere`] when it does not run.
    pub fn stop(&self, timeout: Option<Duration>) -> Result<(), EngineError> {
        let locked = self.lock()?;
        // One that is about to be started again has ended, and yet there is something to stop.
        if !self.is_waiting()? {
            locked.admit(Op::Stop)?;
        }
        let config = locked.config().clone();
        let own = Duration::from_secs(config.stop_timeout.into());
        let timeout = timeout.unwrap_or(own);
        let mut locked = Some(locked);
        let mut gone = false;
        self.engine
            .options
            .hooks
            .run(StopStep::ALL, |step| match step {
                StopStep::Request => {
                    let Some(locked) = locked.take() else {
                        return Ok(());
                    };
                    gone = locked.request_stop(config.stop_signal, timeout)?;
                    Ok(())
                }
                StopStep::Await if gone => Ok(()),
                StopStep::Await => self.await_end(timeout.saturating_add(GRACE)),
            })?;
        self.cleanup()?;
        self.engine.transact(Grade::Volatile, |txn| {
            txn.add_event(&Engine::container_event(&config, "stop"))
        })
    }

    /// Sends a signal. SIGKILL waits until the container has ended.
    pub fn kill(&self, signal: Signal) -> Result<(), EngineError> {
        let locked = self.lock()?;
        locked.admit(Op::Kill)?;
        locked.signal(signal)?;
        let event = Engine::container_event(locked.config(), "kill");
        drop(locked);
        self.engine
            .transact(Grade::Volatile, |txn| txn.add_event(&event))?;
        if signal == Signal::KILL {
            self.await_end(GRACE)?;
            self.cleanup()?;
        }
        Ok(())
    }

    /// Freezes the container.
    pub fn pause(&self) -> Result<(), EngineError> {
        self.ask(Op::Pause, &Request::Pause)
    }

    /// Lets it go on.
    pub fn unpause(&self) -> Result<(), EngineError> {
        self.ask(Op::Unpause, &Request::Resume)
    }

    fn ask(&self, op: Op, request: &Request) -> Result<(), EngineError> {
        let locked = self.lock()?;
        locked.admit(op)?;
        let mut monitor = self
            .monitor()
            .map_err(|error| locked.monitor_error(error))?;
        monitor
            .call(request, PATIENCE)
            .map_err(|error| locked.monitor_error(error))?;
        let event = Engine::container_event(locked.config(), op.verb());
        self.engine
            .transact(Grade::Volatile, |txn| txn.add_event(&event))
    }

    /// Ends it if it runs, and starts it.
    pub fn restart(&self, timeout: Option<Duration>) -> Result<(), EngineError> {
        self.lock()?.admit(Op::Restart)?;
        match self.stop(timeout) {
            Ok(())
            | Err(EngineError::Denied {
                source:
                    Denied::AlreadyThere(_)
                    | Denied::WrongPhase {
                        phase: PhaseName::Configured,
                        ..
                    },
                ..
            }) => {}
            Err(error) => return Err(error),
        }
        self.start().map(drop)
    }

    /// The end of the last run, if it has ended.
    pub fn ended(&self) -> Result<Option<Ended>, EngineError> {
        Ok(self.peek()?.phase.ended().cloned())
    }
}

impl LockedContainer<'_> {
    /// Asks the monitor to end the container; `true` when it is gone already. Without a monitor the kernel does it at once.
    fn request_stop(self, signal: Signal, timeout: Duration) -> Result<bool, EngineError> {
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let request = Request::Stop {
            signal: signal.number(),
            timeout_ms,
        };
        let answered = self
            .handle()
            .monitor()
            .and_then(|mut monitor| monitor.call(&request, PATIENCE));
        if answered.is_ok() {
            return Ok(false);
        }
        // The monitor is dead, hangs, or says that there is no process: trust the kernel (reliability.md rule 8).
        self.engine.ensure_no_processes(self.lock.id())?;
        Ok(true)
    }

    fn signal(&self, signal: Signal) -> Result<(), EngineError> {
        let request = Request::Signal(signal.number());
        let answered = self
            .handle()
            .monitor()
            .and_then(|mut monitor| monitor.call(&request, PATIENCE));
        match answered {
            Ok(()) => Ok(()),
            Err(refused @ ctr_monitor::client::ClientError::Refused(_)) => {
                Err(self.monitor_error(refused))
            }
            Err(_) => {
                if let Some(live) = self.phase.live() {
                    let process = ctr_sys::process::ProcessId {
                        pid: live.pid,
                        start: live.start,
                    };
                    if let Some(process) = process.open()? {
                        process.signal(signal.number())?;
                    }
                }
                Ok(())
            }
        }
    }
}
