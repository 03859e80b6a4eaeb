//! Waiting for a container, without its lock and without asking again and again (semantics.md B2, B3, M26).

use std::time::{Duration, Instant};

use ctr_monitor::protocol::Reply;
use ctr_state::{Phase, PhaseName, StoreError};
use ctr_sys::process::PidFd;

use super::Container;
use crate::watch::Watch;
use crate::{EngineError, ErrorKind};

/// What a waiter learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// The exit code, from whoever saw the end.
    Code(i32),
    /// Something has changed, or might have: look again.
    Changed,
}

impl Container<'_> {
    /// Waits until the container is not running, holding no lock, and gives its exit code: 0 for one that never ran.
    ///
    /// # Errors
    /// When there is no such container. One that is removed meanwhile gives the code it ended with.
    pub fn wait(&self) -> Result<i32, EngineError> {
        loop {
            let snapshot = match self.peek() {
                Ok(snapshot) => snapshot,
                Err(EngineError::Store(StoreError::Removed(_))) => return self.recorded_code(),
                Err(error) => return Err(error),
            };
            match &snapshot.phase {
                Phase::Configured | Phase::Removing => return Ok(0),
                Phase::Stopped(ended) | Phase::Exited(ended) => return Ok(ended.exit_code),
                Phase::Created(_) | Phase::Running(_) | Phase::Paused(_) | Phase::Stopping(_) => {
                    if let Seen::Code(code) = self.await_change(None)? {
                        return Ok(code);
                    }
                }
            }
        }
    }

    /// Waits until the container is in one of the phases; gives the exit code of one that has ended, -1 for any other.
    ///
    /// # Errors
    /// When it is removed first, unless that was waited for too.
    pub fn wait_for(&self, phases: &[PhaseName]) -> Result<i32, EngineError> {
        let roots = &self.engine.roots;
        let (containers, run) = (roots.boot().join("containers"), self.run_dir());
        loop {
            // Watched before looking, so that no change falls between; made anew since the directories come and go.
            let watch = Watch::directories([roots.root(), &*containers, &*run])?;
            match self.peek() {
                Ok(now) if phases.contains(&now.phase.name()) => {
                    return Ok(match now.phase.ended() {
                        Some(ended) => ended.exit_code,
                        None if now.phase == Phase::Removing => self.recorded_code().unwrap_or(-1),
                        None => -1,
                    });
                }
                Ok(_) => watch.wait(&[], None)?,
                // As podman: one that is gone has been removed, and has exited.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let gone = [PhaseName::Removing, PhaseName::Exited, PhaseName::Stopped];
                    return if phases.iter().any(|phase| gone.contains(phase)) {
                        Ok(self.recorded_code().unwrap_or(-1))
                    } else {
                        Err(error)
                    };
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The exit code of a container that has been removed, by the event of its end.
    fn recorded_code(&self) -> Result<i32, EngineError> {
        let id = self.id.as_str();
        let events = self.engine.look(|store| store.events_of(id, "died"))?;
        let code = events
            .last()
            .and_then(|event| event.attributes.get("exitCode"))
            .and_then(|code| code.parse().ok());
        code.ok_or_else(|| EngineError::Gone(self.id.to_string()))
    }

    /// Waits until the container has ended, at most `patience`.
    pub(super) fn await_end(&self, patience: Duration) -> Result<(), EngineError> {
        let deadline = Instant::now() + patience;
        loop {
            let phase = match self.peek() {
                Ok(snapshot) => snapshot.phase,
                // Somebody was faster.
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            };
            if phase.live().is_none() && !self.is_waiting()? {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let what = format!("the end of container {}", self.id.short());
                return Err(EngineError::Timeout {
                    what,
                    limit: patience,
                });
            }
            self.await_change(Some(left))?;
        }
    }

    /// Waits for the monitor's word, or for the first process to go.
    fn await_change(&self, patience: Option<Duration>) -> Result<Seen, EngineError> {
        let snapshot = match self.peek() {
            Ok(snapshot) => snapshot,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Seen::Changed),
            Err(error) => return Err(error),
        };
        if let Ok(mut monitor) = self.monitor() {
            loop {
                match monitor.receive(patience) {
                    Ok((Reply::Exited { code } | Reply::Restarting { code }, _)) => {
                        return Ok(Seen::Code(code));
                    }
                    Ok(_) => {}
                    Err(_) => return Ok(Seen::Changed),
                }
            }
        }
        // No monitor: the process itself is what is left to wait for.
        if let Some(live) = &snapshot.live
            && let Some(process) = live.process.open()?
        {
            PidFd::wait(&process, patience)?;
        }
        Ok(Seen::Changed)
    }
}
