//! What `ps` shows: one query, one look into the directory of this boot, no lock.

use std::collections::{BTreeMap, HashSet};

use ctr_monitor::health::Status as HealthStatus;
use ctr_state::{DurablePhase, Evidence, Phase, PhaseName};
use ctr_types::{ContainerId, ContainerName, Digest, Timestamp};

use super::Container;
use crate::{Engine, EngineError};

/// One container in a list.
#[derive(Clone, Debug)]
pub struct ContainerSummary {
    /// Id.
    pub id: ContainerId,
    /// Name.
    pub name: ContainerName,
    /// When it was created.
    pub created: Timestamp,
    /// Id of its image, if it has one.
    pub image: Option<Digest>,
    /// The name its image was asked for by.
    pub image_name: String,
    /// Its argument vector.
    pub command: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// It goes with its run.
    pub auto_remove: bool,
    /// Where it is in its life, now.
    pub phase: Phase,
    /// What its checks say while it runs, if it has some.
    pub health: Option<HealthStatus>,
}

impl ContainerSummary {
    /// The status as podman's `ps` words it, such as `Up 3 minutes` or `Exited (0) 2 hours ago`.
    pub fn status(&self, now: Timestamp) -> String {
        let since = |time: Option<Timestamp>| {
            let seconds = time.map_or(0, |time| now.as_second() - time.as_second());
            human_duration(seconds)
        };
        match &self.phase {
            Phase::Configured => "Created".into(),
            Phase::Created(_) => "Initialized".into(),
            Phase::Running(live) if !live.monitored => {
                format!("Up {} (unmonitored)", since(live.started_at))
            }
            Phase::Running(live) => {
                let up = since(live.started_at);
                self.health.map_or_else(
                    || format!("Up {up}"),
                    |health| format!("Up {up} ({health})"),
                )
            }
            Phase::Paused(_) => "Paused".into(),
            Phase::Stopping(_) => "Stopping".into(),
            Phase::Stopped(ended) | Phase::Exited(ended) => {
                let ago = ended
                    .finished_at
                    .map_or_else(String::new, |time| format!(" {} ago", since(Some(time))));
                format!("Exited ({}){ago}", ended.exit_code)
            }
            Phase::Removing => "Removing".into(),
        }
    }

    /// Whether it counts as running for `ps` without `-a`.
    pub fn is_up(&self) -> bool {
        matches!(
            self.phase.name(),
            PhaseName::Running | PhaseName::Paused | PhaseName::Stopping
        )
    }
}

/// A time span as docker words it. Negative ones (the clock was set back) are none (reliability.md F27).
pub fn human_duration(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours) = ((seconds + 30) / 60, (seconds + 1800) / 3600);
    match seconds {
        0 => "Less than a second".into(),
        1 => "1 second".into(),
        2..60 => format!("{seconds} seconds"),
        60..90 => "About a minute".into(),
        90..3570 => format!("{minutes} minutes"),
        3570..5400 => "About an hour".into(),
        5400..172_800 => format!("{hours} hours"),
        172_800..1_209_600 => format!("{} days", seconds / 86_400),
        1_209_600..5_184_000 => format!("{} weeks", seconds / 604_800),
        5_184_000..63_072_000 => format!("{} months", seconds / 2_592_000),
        _ => format!("{} years", seconds / 31_536_000),
    }
}

impl Engine {
    /// Every container, oldest first, and the damaged records by name. Takes no lock.
    pub fn containers(&self) -> Result<(Vec<ContainerSummary>, Vec<EngineError>), EngineError> {
        let rows = self.look(ctr_state::Store::container_rows)?;
        let live = self.live_containers()?;
        let (mut containers, mut damaged) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in rows {
            let row = match row {
                Ok(row) => row,
                Err(error) => {
                    damaged.push(error.into());
                    continue;
                }
            };
            let phase =
                if live.contains(row.id.as_str()) || matches!(row.phase, DurablePhase::Up { .. }) {
                    match self.derive(&row.id, &row.phase) {
                        Ok((phase, _)) => phase,
                        // It was removed while this was read.
                        Err(error) if error.kind() == crate::ErrorKind::NotFound => continue,
                        Err(error) => {
                            damaged.push(error);
                            continue;
                        }
                    }
                } else {
                    let boot = self.roots.boot_id();
                    Evidence {
                        durable: &row.phase,
                        live: None,
                        exit: None,
                        starting: false,
                        this_boot: boot,
                    }
                    .phase()
                };
            let health = if phase.name() == PhaseName::Running {
                let container = Container {
                    engine: self,
                    id: row.id.clone(),
                };
                container.health()?.map(|health| health.status)
            } else {
                None
            };
            containers.push(ContainerSummary {
                health,
                id: row.id,
                name: row.name,
                created: row.created,
                image: row.image,
                image_name: row.image_name,
                command: row.command,
                labels: row.labels,
                auto_remove: row.auto_remove,
                phase,
            });
        }
        Ok((containers, damaged))
    }

    /// The names in this boot's directory: those that may have something live.
    pub(crate) fn live_containers(&self) -> Result<HashSet<String>, EngineError> {
        let directory = self.roots.boot().join("containers");
        let entries = std::fs::read_dir(&directory).map_err(|error| {
            ctr_sys::SysError::new("read directory", directory.display().to_string(), error)
        })?;
        Ok(entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_are_worded_as_dockers() {
        for (seconds, words) in [
            (-5, "Less than a second"),
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (120, "2 minutes"),
            (3600, "About an hour"),
            (7200, "2 hours"),
            (90_000, "25 hours"),
            (200_000, "2 days"),
            (1_300_000, "2 weeks"),
            (6_000_000, "2 months"),
            (70_000_000, "2 years"),
        ] {
            assert_eq!(human_duration(seconds), words);
        }
    }
}
