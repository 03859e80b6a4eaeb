//! What the monitor does on its own, seen from the engine: restarts, health, and what it has noted meanwhile.

use std::time::Duration;

use ctr_monitor::client::ClientError;
use ctr_monitor::health::Health;
use ctr_monitor::live::{Live, Stage};
use ctr_monitor::protocol::{Reply, Request};
use ctr_monitor::tidings::Tiding;
use ctr_state::record::EventRecord;
use ctr_state::{Op, Phase, StoreError};
use ctr_sys::lock::FileLock;
use ctr_types::config::RestartPolicy;
use ctr_types::{ContainerConfig, ContainerId};

use super::Container;
use super::init::{HEALTH, TIDINGS};
use crate::{Engine, EngineError, ErrorKind};

/// How long a check that somebody asks for may take beyond its own time: what the runtime needs to start it.
const PATIENCE: Duration = Duration::from_secs(35);

/// Whether a health check has succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// It has.
    Healthy,
    /// It has failed, with this code.
    Unhealthy(i32),
}

impl Container<'_> {
    /// What the checks of the run going on, or of the one before the clean-up, say; none without a check.
    pub fn health(&self) -> Result<Option<Health>, EngineError> {
        Ok(Health::read(&self.run_dir().join(HEALTH))?)
    }

    /// Checks the container's health now. What it finds counts like any other check.
    ///
    /// # Errors
    /// When it has no check, or does not run.
    pub fn check_health(&self) -> Result<CheckResult, EngineError> {
        let seen = self.peek()?;
        let name = seen.config.name.to_string();
        let Some(health) = &seen.config.health else {
            return Err(EngineError::Invalid(format!(
                "container {name} has no defined healthcheck: give it one with --health-cmd"
            )));
        };
        seen.phase
            .admit(Op::Healthcheck)
            .map_err(|source| EngineError::Denied {
                name: name.clone(),
                source,
            })?;
        let failed = |source| EngineError::Monitor {
            name: name.clone(),
            source,
        };
        let mut monitor = self.monitor().map_err(failed)?;
        monitor.send(&Request::CheckHealth, &[]).map_err(failed)?;
        let patience = health.timeout.saturating_add(PATIENCE);
        loop {
            match monitor.receive(Some(patience)).map_err(failed)?.0 {
                Reply::ExecExited { code: 0 } => return Ok(CheckResult::Healthy),
                Reply::ExecExited { code } => return Ok(CheckResult::Unhealthy(code)),
                Reply::Error(text) => return Err(failed(ClientError::Refused(text))),
                Reply::Exited { .. } | Reply::Restarting { .. } => {
                    return Err(failed(ClientError::Gone));
                }
                Reply::Ok
                | Reply::Created { .. }
                | Reply::Output { .. }
                | Reply::Sessions(_)
                | Reply::ExecStarted { .. } => {}
            }
        }
    }

    /// Whether it has ended and its monitor is about to start it again.
    pub(crate) fn is_waiting(&self) -> Result<bool, EngineError> {
        self.engine.is_waiting(&self.id)
    }
}

impl Engine {
    /// Whether a container has ended and its monitor is about to start it again.
    pub(crate) fn is_waiting(&self, id: &ContainerId) -> Result<bool, EngineError> {
        let run = self.roots.container_run(id);
        let waits = Live::read(&run.join("live"))?.is_some_and(|live| live.stage == Stage::Waiting);
        Ok(waits && FileLock::is_held(&run.join("monitor.lock"))?)
    }

    /// What a container's monitor has noted, as events; it is noted no more.
    pub(crate) fn take_tidings(
        &self,
        config: &ContainerConfig,
    ) -> Result<Vec<EventRecord>, EngineError> {
        let path = self.roots.container_run(&config.id).join(TIDINGS);
        let tidings = Tiding::take_all(&path)?;
        Ok(tidings
            .into_iter()
            .map(|tiding| {
                let mut event = Self::container_event(config, &tiding.action);
                event.time = super::time(tiding.time_ns).unwrap_or(event.time);
                event.attributes.extend(tiding.attribute);
                event
            })
            .collect())
    }

    /// Takes what all monitors have noted into the store.
    pub(crate) fn gather_tidings(&self) -> Result<(), EngineError> {
        for name in self.live_containers()? {
            let Ok(id) = name.parse::<ContainerId>() else {
                continue;
            };
            if !self.roots.container_run(&id).join(TIDINGS).exists() {
                continue;
            }
            let Some(record) = self.look(|store| store.container(&id))? else {
                continue;
            };
            let events = self.take_tidings(&record.config)?;
            self.transact(ctr_state::Grade::Volatile, |txn| {
                events.iter().try_for_each(|event| txn.add_event(event))
            })?;
        }
        Ok(())
    }

    /// Starts what should be up after a boot: containers that ran once, with the policy "always", or "unless-stopped" and no
    /// user's stop. Gives the ids of those that it has started, and what went wrong with others.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn start_after_boot(&self) -> Result<(Vec<ContainerId>, Vec<EngineError>), EngineError> {
        let (mut started, mut failed) = (Vec::new(), Vec::new());
        let (containers, _damaged) = self.containers()?;
        for summary in containers {
            let container = Container {
                engine: self,
                id: summary.id,
            };
            match container.start_if_due() {
                Ok(true) => started.push(container.id),
                Ok(false) => {}
                // Somebody else was faster.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Denied) => {}
                Err(error) => failed.push(error),
            }
        }
        Ok((started, failed))
    }
}

impl Container<'_> {
    fn start_if_due(&self) -> Result<bool, EngineError> {
        let seen = match self.peek() {
            Err(EngineError::Store(StoreError::Removed(_))) => return Ok(false),
            other => other?,
        };
        let is_due = should_be_up(seen.config.restart, &seen.phase) && !self.is_waiting()?;
        if is_due {
            self.start()?;
        }
        Ok(is_due)
    }
}

/// libpod's `ShouldStartOnBoot` (semantics.md, section 4).
fn should_be_up(policy: RestartPolicy, phase: &Phase) -> bool {
    let Some(ended) = phase.ended() else {
        return false;
    };
    match policy {
        RestartPolicy::No | RestartPolicy::OnFailure(_) => false,
        RestartPolicy::Always => true,
        RestartPolicy::UnlessStopped => !ended.by_user,
    }
}

#[cfg(test)]
mod tests {
    use ctr_state::{EndReason, Ended};

    use super::*;

    #[test]
    fn m12_what_should_be_up_after_a_boot() {
        let ended = |by_user| {
            Phase::Exited(Ended {
                by_user,
                ..Ended::unseen(EndReason::HostRebooted, None)
            })
        };
        for (policy, after_stop, otherwise) in [
            (RestartPolicy::No, false, false),
            (RestartPolicy::OnFailure(0), false, false),
            (RestartPolicy::Always, true, true),
            (RestartPolicy::UnlessStopped, false, true),
        ] {
            assert_eq!(should_be_up(policy, &ended(true)), after_stop, "{policy}");
            assert_eq!(should_be_up(policy, &ended(false)), otherwise, "{policy}");
            assert!(!should_be_up(policy, &Phase::Configured), "it never ran");
        }
    }
}
