//! The processes of execs, as the monitor remembers them (semantics.md M17, B16, B36): it owns them, knows their exact exit
//! codes, and keeps no process for the sake of a record.

use std::time::Duration;

use ctr_monitor::client::ClientError;
use ctr_monitor::protocol::{Reply, Request, Session};
use ctr_state::Op;
use ctr_types::{ContainerName, Signal};

use super::Container;
use crate::EngineError;

/// How long a monitor has for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

impl Container<'_> {
    /// The execs of the run going on: those that run, and the last 64 that have ended. None when nothing runs.
    pub fn exec_sessions(&self) -> Result<Vec<Session>, EngineError> {
        let seen = self.peek()?;
        if !seen.phase.live().is_some_and(|live| live.monitored) {
            return Ok(Vec::new());
        }
        let failed = |source| monitor_failed(&seen.config.name, source);
        let mut monitor = self.monitor().map_err(failed)?;
        monitor.send(&Request::Sessions, &[]).map_err(failed)?;
        loop {
            match monitor.receive(Some(PATIENCE)).map_err(failed)?.0 {
                Reply::Sessions(sessions) => return Ok(sessions),
                Reply::Error(text) => return Err(failed(ClientError::Refused(text))),
                // It has ended meanwhile, and all of them with it.
                Reply::Exited { .. } | Reply::Restarting { .. } => return Ok(Vec::new()),
                Reply::Ok
                | Reply::Created { .. }
                | Reply::Output { .. }
                | Reply::ExecStarted { .. }
                | Reply::ExecExited { .. } => {}
            }
        }
    }

    /// One exec, by its id or the beginning of it.
    ///
    /// # Errors
    /// [`EngineError::NoSession`] when there is none.
    pub fn exec_session(&self, id: &str) -> Result<Session, EngineError> {
        let mut found = self.exec_sessions()?;
        found.retain(|session| !id.is_empty() && session.id.starts_with(id));
        match (found.pop(), found.is_empty()) {
            (Some(session), true) => Ok(session),
            _ => Err(EngineError::NoSession(id.to_owned())),
        }
    }

    /// Ends an exec: SIGTERM, and SIGKILL when it has not ended after `timeout`.
    ///
    /// # Errors
    /// When there is no such exec. One that has ended is as good as stopped.
    pub fn stop_exec(&self, id: &str, timeout: Duration) -> Result<(), EngineError> {
        let session = self.exec_session(id)?;
        if session.code.is_some() {
            return Ok(());
        }
        let Some(process) = session.process.open()? else {
            return Ok(());
        };
        if !timeout.is_zero() {
            process.signal(Signal::TERM.number())?;
            if process.wait(Some(timeout))? {
                return Ok(());
            }
        }
        process.signal(Signal::KILL.number())?;
        process.wait(Some(PATIENCE))?;
        Ok(())
    }

    /// Forgets an exec that has ended.
    ///
    /// # Errors
    /// When there is none, or it still runs.
    pub fn remove_exec(&self, id: &str) -> Result<(), EngineError> {
        let session = self.exec_session(id)?;
        let seen = self.peek()?;
        seen.phase
            .admit(Op::Exec)
            .map_err(|source| EngineError::Denied {
                name: seen.config.name.to_string(),
                source,
            })?;
        let failed = |source| monitor_failed(&seen.config.name, source);
        let mut monitor = self.monitor().map_err(failed)?;
        monitor
            .call(&Request::ForgetSession(session.id), PATIENCE)
            .map_err(failed)
    }
}

fn monitor_failed(name: &ContainerName, source: ClientError) -> EngineError {
    EngineError::Monitor {
        name: name.to_string(),
        source,
    }
}
