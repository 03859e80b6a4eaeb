//! Rename and update: the only two that replace a configuration (semantics.md T7, B26).
//!
//! One transaction holds the new configuration, the new name and the journal entry, so a reader sees all of it or nothing.
//! What follows (the limits of a running container, the copy on disk) is brought in line with the database, by the command
//! itself or, when it dies, by the next one.

use ctr_oci::spec::Degraded;
use ctr_state::record::OpKind;
use ctr_state::{ContainerLock, Grade, Op, PhaseName};
use ctr_sys::fs::Durability;
use ctr_types::config::{Resources, RestartPolicy};
use ctr_types::{ContainerConfig, ContainerName};

use super::{Container, LockedContainer};
use crate::steps::ReplaceStep;
use crate::{Engine, EngineError};

/// What `update` changes; what is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Memory and swap together in bytes; -1 is unlimited.
    pub memory_swap: Option<i64>,
    /// CPU time in billionths of a CPU.
    pub nano_cpus: Option<u64>,
    /// Relative weight.
    pub cpu_shares: Option<u64>,
    /// CPUs it may run on.
    pub cpuset_cpus: Option<String>,
    /// Processes and threads at most; -1 is unlimited.
    pub pids_limit: Option<i64>,
    /// When it is started again, from the next start on.
    pub restart: Option<RestartPolicy>,
    /// Environment added, `NAME=value`, from the next start on.
    pub env: Vec<String>,
    /// Environment taken away by name, from the next start on.
    pub unset_env: Vec<String>,
}

impl Update {
    fn apply(&self, config: &mut ContainerConfig) {
        let Resources {
            memory,
            memory_swap,
            nano_cpus,
            cpu_shares,
            cpuset_cpus,
            pids_limit,
        } = &mut config.resources;
        *memory = self.memory.or(*memory);
        *memory_swap = self.memory_swap.or(*memory_swap);
        *nano_cpus = self.nano_cpus.or(*nano_cpus);
        *cpu_shares = self.cpu_shares.or(*cpu_shares);
        if self.cpuset_cpus.is_some() {
            cpuset_cpus.clone_from(&self.cpuset_cpus);
        }
        *pids_limit = self.pids_limit.or(*pids_limit);
        config.restart = self.restart.unwrap_or(config.restart);
        let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
        let env = &mut config.process.env;
        env.retain(|known| !self.unset_env.contains(&name(known)));
        for variable in &self.env {
            env.retain(|known| name(known) != name(variable));
            env.push(variable.clone());
        }
    }

    fn has_limits(&self) -> bool {
        let without = Self {
            restart: self.restart,
            env: self.env.clone(),
            unset_env: self.unset_env.clone(),
            ..Self::default()
        };
        *self != without
    }
}

impl Container<'_> {
    /// Gives the container another name.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn rename(&self, name: &ContainerName) -> Result<(), EngineError> {
        let mut locked = self.lock()?;
        locked.admit(Op::Rename)?;
        let mut config = locked.record.config.clone();
        config.name.clone_from(name);
        locked.replace(config, Limits::Untouched, "rename")?;
        Ok(())
    }

    /// Changes limits, at once if the container is up, and the environment of later runs.
    ///
    /// # Errors
    /// When a value breaks a rule, or the runtime cannot apply it; nothing has changed then. What the host cannot do is
    /// returned.
    pub fn update(&self, update: &Update) -> Result<Vec<Degraded>, EngineError> {
        let mut locked = self.lock()?;
        locked.admit(Op::Update)?;
        let mut config = locked.record.config.clone();
        update.apply(&mut config);
        config.validate()?;
        let limits = if update.has_limits() {
            Limits::Changed
        } else {
            Limits::Untouched
        };
        locked.replace(config, limits, "update")
    }
}

/// Whether the cgroup has to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limits {
    Changed,
    Untouched,
}

impl LockedContainer<'_> {
    fn replace(
        &mut self,
        mut config: ContainerConfig,
        limits: Limits,
        event: &str,
    ) -> Result<Vec<Degraded>, EngineError> {
        let before = self.record.config.clone();
        config.generation = before.generation.saturating_add(1);
        let engine = self.engine;
        let operation = engine.begin(OpKind::Replace, Some(&config.id))?;
        let op = &operation.record;
        let mut degraded = Vec::new();
        let outcome = engine
            .options
            .hooks
            .run(ReplaceStep::ALL, |step| match step {
                ReplaceStep::Claim => engine.transact(Grade::Durable, |txn| {
                    txn.replace_config(&config)?;
                    txn.begin_op(op)
                }),
                ReplaceStep::Limit if limits == Limits::Untouched => Ok(()),
                ReplaceStep::Limit => {
                    degraded = engine.apply_limits(self.phase.name(), &config)?;
                    Ok(())
                }
                ReplaceStep::WriteRecord => engine.write_record(&config, Durability::PowerLoss),
                ReplaceStep::Finish => engine.transact(Grade::Volatile, |txn| {
                    txn.add_event(&Engine::container_event(&config, event))?;
                    txn.finish_op(&op.id)
                }),
            });
        if let Err(error) = outcome {
            let mut restored = before;
            restored.generation = config.generation.saturating_add(1);
            let undone = engine
                .transact(Grade::Durable, |txn| match txn.replace_config(&restored) {
                    // The claim itself failed: there is nothing to take back.
                    Err(ctr_state::StoreError::Superseded(_)) => Ok(()),
                    other => other,
                })
                .and_then(|()| engine.settle(&self.lock))
                .and_then(|()| engine.transact(Grade::Volatile, |txn| txn.finish_op(&op.id)));
            // What could not be undone stays in the journal for the next command.
            if undone.is_ok() {
                operation.lock.remove()?;
            }
            self.look_again()?;
            return Err(error);
        }
        operation.lock.remove()?;
        self.look_again()?;
        Ok(degraded)
    }
}

impl Engine {
    /// Brings the limits and the copy on disk of a container in line with its configuration.
    pub(crate) fn settle(&self, lock: &ContainerLock) -> Result<(), EngineError> {
        let Some(record) = self.look(|store| store.container(lock.id()))? else {
            return Ok(());
        };
        let (phase, _) = self.derive(lock.id(), &record.phase)?;
        self.apply_limits(phase.name(), &record.config)?;
        self.write_record(&record.config, Durability::PowerLoss)
    }

    /// Has the runtime change the limits of a container that is up.
    fn apply_limits(
        &self,
        phase: PhaseName,
        config: &ContainerConfig,
    ) -> Result<Vec<Degraded>, EngineError> {
        let (resources, degraded) = ctr_oci::spec::resources(config, self.host()?);
        match phase {
            PhaseName::Created | PhaseName::Running | PhaseName::Paused => {
                let file = self.roots.container_run(&config.id).join("resources.json");
                self.runtime(config)?
                    .update(config.id.as_str(), &resources, &file)?;
            }
            PhaseName::Configured
            | PhaseName::Stopping
            | PhaseName::Stopped
            | PhaseName::Exited
            | PhaseName::Removing => {}
        }
        Ok(degraded)
    }

    /// Writes the copy of a configuration from which a lost database is rebuilt.
    pub(crate) fn write_record(
        &self,
        config: &ContainerConfig,
        durability: Durability,
    ) -> Result<(), EngineError> {
        let json = serde_json::to_vec(config).map_err(|error| {
            EngineError::Invalid(format!("the configuration cannot be written down: {error}"))
        })?;
        let path = self.roots.container(&config.id).join("record.json");
        Ok(ctr_sys::fs::write_atomic(&path, &json, 0o600, durability)?)
    }
}

#[cfg(test)]
mod tests {
    use ctr_types::config::{ProcessConfig, Rootfs};

    use super::*;

    #[test]
    fn t07_an_update_changes_what_it_names_and_nothing_else() {
        let rootfs = Rootfs::Directory {
            path: "/srv".into(),
            overlay: false,
        };
        let process = ProcessConfig {
            env: vec!["A=1".into(), "B=2".into(), "C=3".into()],
            ..ProcessConfig::default()
        };
        let id = "1".repeat(64).parse().unwrap();
        let mut config = ContainerConfig::new(id, "web".parse().unwrap(), rootfs, process);
        config.resources.memory = Some(1);
        let update = Update {
            pids_limit: Some(7),
            env: vec!["A=x".into()],
            unset_env: vec!["B".into()],
            ..Update::default()
        };
        let mut expected = config.clone();
        expected.resources.pids_limit = Some(7);
        expected.process.env = vec!["C=3".into(), "A=x".into()];
        update.apply(&mut config);
        assert_eq!(config, expected);
        assert!(update.has_limits());
        let only_env = Update {
            pids_limit: None,
            ..update
        };
        assert!(!only_env.has_limits());
    }
}
