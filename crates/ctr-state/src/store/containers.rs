//! Containers and their names.

use ctr_types::{ContainerConfig, ContainerId, ContainerName};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    Attempt as _, Store, StoreError, Txn, from_json, from_nanos, from_text, to_json, to_nanos,
};
use crate::derive::DurablePhase;
use crate::record::{ContainerRecord, ContainerRow};

const ROW: &str = "SELECT container.id, name.name, created, image, image_name, command, labels, \
     auto_remove, phase FROM container LEFT JOIN name ON name.container = container.id";

/// The columns of [`ROW`] before they are checked.
struct Raw {
    id: String,
    /// None only in a damaged store, which must not hide the container.
    name: Option<String>,
    created: i64,
    image: Option<String>,
    image_name: String,
    command: String,
    labels: String,
    auto_remove: bool,
    phase: String,
}

impl Raw {
    fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            id: row.get(0)?,
            name: row.get(1)?,
            created: row.get(2)?,
            image: row.get(3)?,
            image_name: row.get(4)?,
            command: row.get(5)?,
            labels: row.get(6)?,
            auto_remove: row.get(7)?,
            phase: row.get(8)?,
        })
    }

    fn check(self) -> Result<ContainerRow, StoreError> {
        let object = format!("container {}", self.id);
        Ok(ContainerRow {
            id: from_text(self.id, &object)?,
            name: from_text(self.name.unwrap_or_default(), &object)?,
            created: from_nanos(self.created),
            image: self.image.map(|id| from_text(id, &object)).transpose()?,
            image_name: self.image_name,
            command: from_json(&self.command, &object)?,
            labels: from_json(&self.labels, &object)?,
            auto_remove: self.auto_remove,
            phase: from_json(&self.phase, &object)?,
        })
    }
}

fn phase(connection: &rusqlite::Connection, id: &ContainerId) -> Result<DurablePhase, StoreError> {
    let found: Option<String> = connection
        .prepare_cached("SELECT phase FROM container WHERE id = ?1")
        .and_then(|mut statement| {
            statement
                .query_row([id.as_str()], |row| row.get(0))
                .optional()
        })
        .attempt("read a container")?;
    found.map_or_else(
        || Err(StoreError::Removed(id.clone())),
        |json| from_json(&json, &format!("container {id}")),
    )
}

/// The containers that need `id`, with their names.
fn dependents(
    connection: &rusqlite::Connection,
    id: &ContainerId,
) -> Result<Vec<(ContainerId, Option<String>)>, StoreError> {
    let found: Vec<(String, Option<String>)> = connection
        .prepare_cached(
            "SELECT dependency.container, name.name FROM dependency \
             LEFT JOIN name ON name.container = dependency.container WHERE needs = ?1 ORDER BY 1",
        )
        .and_then(|mut statement| {
            statement
                .query_map([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
                .and_then(Iterator::collect)
        })
        .attempt("look up dependents")?;
    found
        .into_iter()
        .map(|(id, name)| Ok((from_text(id, "a dependency")?, name)))
        .collect()
}

fn require_no_dependents(
    connection: &rusqlite::Connection,
    id: &ContainerId,
) -> Result<(), StoreError> {
    let dependents: Vec<String> = dependents(connection, id)?
        .into_iter()
        .map(|(id, name)| name.unwrap_or_else(|| id.to_string()))
        .collect();
    if dependents.is_empty() {
        return Ok(());
    }
    let container = id.clone();
    Err(StoreError::HasDependents {
        container,
        dependents,
    })
}

impl Store {
    /// What the store knows of a container's life, without its configuration.
    ///
    /// # Errors
    /// [`StoreError::Removed`] when it is gone.
    pub fn phase(&self, id: &ContainerId) -> Result<DurablePhase, StoreError> {
        phase(&self.connection, id)
    }

    /// Makes sure that no container needs this one; what is true now may not be in a moment.
    ///
    /// # Errors
    /// [`StoreError::HasDependents`].
    pub fn require_no_dependents(&self, id: &ContainerId) -> Result<(), StoreError> {
        require_no_dependents(&self.connection, id)
    }

    /// The containers that need `id`: they share a namespace of it.
    pub fn dependents(&self, id: &ContainerId) -> Result<Vec<ContainerId>, StoreError> {
        let found = dependents(&self.connection, id)?;
        Ok(found.into_iter().map(|(id, _)| id).collect())
    }

    /// The cgroup parent in a container's configuration, without reading the rest; none when it names none, or is gone.
    pub fn cgroup_parent(&self, id: &ContainerId) -> Result<Option<String>, StoreError> {
        let found: Option<Option<String>> = self
            .connection
            .prepare_cached("SELECT json ->> '$.cgroup_parent' FROM config WHERE container = ?1")
            .and_then(|mut statement| {
                statement
                    .query_row([id.as_str()], |row| row.get(0))
                    .optional()
            })
            .attempt("read a container")?;
        Ok(found.flatten())
    }

    /// The container, if it is there.
    pub fn container(&self, id: &ContainerId) -> Result<Option<ContainerRecord>, StoreError> {
        let found: Option<(String, String)> = self
            .connection
            .prepare_cached(
                "SELECT json, phase FROM container JOIN config ON container = id WHERE id = ?1",
            )
            .and_then(|mut statement| {
                statement
                    .query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .attempt("read a container")?;
        let object = format!("container {id}");
        found
            .map(|(config, phase)| {
                Ok(ContainerRecord {
                    config: from_json(&config, &object)?,
                    phase: from_json(&phase, &object)?,
                })
            })
            .transpose()
    }

    /// Every container, oldest first, each readable or with the reason why not, so that one damaged record hides no other.
    pub fn container_rows(&self) -> Result<Vec<Result<ContainerRow, StoreError>>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached(&format!("{ROW} ORDER BY created"))
            .attempt("list containers")?;
        let mut rows = statement.query([]).attempt("list containers")?;
        let mut containers = Vec::new();
        while let Some(row) = rows.next().attempt("list containers")? {
            containers.push(match Raw::read(row) {
                Ok(raw) => raw.check(),
                Err(source) => Err(StoreError::DamagedRecord {
                    object: row
                        .get::<_, String>(0)
                        .map_or_else(|_| "a container".into(), |id| format!("container {id}")),
                    source: source.into(),
                }),
            });
        }
        Ok(containers)
    }

    /// The container with this name, this id, or the only one whose id begins so.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] or [`StoreError::Ambiguous`].
    pub fn resolve_container(&self, text: &str) -> Result<ContainerId, StoreError> {
        let named: Option<String> = self
            .connection
            .prepare_cached("SELECT container FROM name WHERE name = ?1")
            .and_then(|mut statement| statement.query_row([text], |row| row.get(0)).optional())
            .attempt("look up a name")?;
        let object = format!("container {text}");
        if let Some(id) = named {
            return from_text(id, &object);
        }
        let hex =
            !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let mut found: Vec<(String, String)> = Vec::new();
        if hex {
            // 'g' sorts behind every hex digit.
            found = self
                .connection
                .prepare_cached(
                    "SELECT id, name FROM container JOIN name ON container = id \
                     WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 10",
                )
                .and_then(|mut statement| {
                    statement
                        .query_map([text.to_ascii_lowercase()], |row| {
                            Ok((row.get(0)?, row.get(1)?))
                        })
                        .and_then(Iterator::collect)
                })
                .attempt("look up an id")?;
        }
        match found.as_slice() {
            [] => Err(StoreError::NotFound {
                kind: "container",
                text: text.to_owned(),
            }),
            [(id, _)] => from_text(id.clone(), &object),
            several => Err(StoreError::Ambiguous {
                text: text.to_owned(),
                candidates: several
                    .iter()
                    .map(|(id, name)| format!("{} ({name})", id.get(..12).unwrap_or(id)))
                    .collect(),
            }),
        }
    }
}

impl Txn<'_> {
    /// Adds a container with its name.
    ///
    /// # Errors
    /// [`StoreError::NameInUse`]; [`StoreError::NotFound`] when its image has gone meanwhile.
    pub fn insert_container(&self, record: &ContainerRecord) -> Result<(), StoreError> {
        let ContainerRecord { config, phase } = record;
        let object = format!("container {}", config.id);
        let image = config.rootfs.image();
        if let Some((id, name)) = image {
            self.require_image(id, name)?;
        }
        self.0
            .execute(
                "INSERT INTO container VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    config.id.as_str(),
                    to_nanos(config.created),
                    image.map(|(id, _)| id.as_str()),
                    config.rootfs.shown(),
                    to_json(&config.process.args(), &object)?,
                    to_json(&config.labels, &object)?,
                    config.auto_remove,
                    to_json(phase, &object)?,
                ],
            )
            .attempt("add a container")?;
        self.claim_name(&config.id, &config.name)?;
        self.0
            .execute(
                "INSERT INTO config VALUES (?1, ?2)",
                params![config.id.as_str(), to_json(config, &object)?],
            )
            .attempt("add a container")?;
        for needed in config.dependencies() {
            self.add_dependency(&config.id, &needed)?;
        }
        Ok(())
    }

    /// Records that a container needs another, which from now on is removed only after it.
    fn add_dependency(&self, id: &ContainerId, needed: &ContainerId) -> Result<(), StoreError> {
        match self.phase(needed) {
            Ok(DurablePhase::Removing) => {
                return Err(StoreError::DependencyRemoving(needed.clone()));
            }
            Ok(DurablePhase::Configured | DurablePhase::Up { .. } | DurablePhase::Exited(_)) => {}
            Err(error) => return Err(error),
        }
        self.0
            .execute(
                "INSERT INTO dependency VALUES (?1, ?2)",
                params![id.as_str(), needed.as_str()],
            )
            .attempt("record a dependency")?;
        Ok(())
    }

    /// Makes sure that no container needs this one, so that it may go.
    ///
    /// # Errors
    /// [`StoreError::HasDependents`].
    pub fn require_no_dependents(&self, id: &ContainerId) -> Result<(), StoreError> {
        require_no_dependents(&self.0, id)
    }

    fn claim_name(&self, id: &ContainerId, name: &ContainerName) -> Result<(), StoreError> {
        let holder: Option<String> = self
            .0
            .query_row(
                "SELECT container FROM name WHERE name = ?1",
                [name.as_str()],
                |row| row.get(0),
            )
            .optional()
            .attempt("look up a name")?;
        match holder {
            Some(holder) if holder == id.as_str() => return Ok(()),
            Some(holder) => {
                let by = format!("container {}", holder.get(..12).unwrap_or(&holder));
                return Err(StoreError::NameInUse {
                    name: name.clone(),
                    by,
                });
            }
            None => {}
        }
        self.0
            .execute("DELETE FROM name WHERE container = ?1", [id.as_str()])
            .attempt("free a name")?;
        self.0
            .execute(
                "INSERT INTO name VALUES (?1, ?2)",
                [name.as_str(), id.as_str()],
            )
            .attempt("take a name")?;
        Ok(())
    }

    /// What the store knows of a container's life, read inside this transaction.
    ///
    /// # Errors
    /// [`StoreError::Removed`] when it is gone.
    pub fn phase(&self, id: &ContainerId) -> Result<DurablePhase, StoreError> {
        phase(&self.0, id)
    }

    /// Records what is known of a container's life.
    ///
    /// # Errors
    /// [`StoreError::Removed`] when it is gone.
    pub fn set_phase(&self, id: &ContainerId, phase: &DurablePhase) -> Result<(), StoreError> {
        let json = to_json(phase, &format!("container {id}"))?;
        let changed = self
            .0
            .execute(
                "UPDATE container SET phase = ?2 WHERE id = ?1",
                params![id.as_str(), json],
            )
            .attempt("record a phase")?;
        if changed == 1 {
            Ok(())
        } else {
            Err(StoreError::Removed(id.clone()))
        }
    }

    /// Replaces a container's configuration, and its name with it (rename, update). The new one carries the next
    /// generation.
    ///
    /// # Errors
    /// [`StoreError::Superseded`] when it does not follow the one that is there; [`StoreError::NameInUse`].
    pub fn replace_config(&self, config: &ContainerConfig) -> Result<(), StoreError> {
        let object = format!("container {}", config.id);
        let changed = self
            .0
            .execute(
                "UPDATE config SET json = ?2 \
                 WHERE container = ?1 AND coalesce(json ->> '$.generation', 0) + 1 = ?3",
                params![
                    config.id.as_str(),
                    to_json(config, &object)?,
                    config.generation
                ],
            )
            .attempt("replace a configuration")?;
        if changed != 1 {
            // Gone, or changed by somebody else.
            self.phase(&config.id)?;
            return Err(StoreError::Superseded(config.id.clone()));
        }
        self.0
            .execute(
                "UPDATE container SET labels = ?2, command = ?3 WHERE id = ?1",
                params![
                    config.id.as_str(),
                    to_json(&config.labels, &object)?,
                    to_json(&config.process.args(), &object)?
                ],
            )
            .attempt("replace a configuration")?;
        self.claim_name(&config.id, &config.name)
    }

    /// Removes a container, its configuration and its name; one that is not there is as good as removed.
    pub fn delete_container(&self, id: &ContainerId) -> Result<(), StoreError> {
        self.0
            .execute("DELETE FROM container WHERE id = ?1", [id.as_str()])
            .attempt("remove a container")?;
        Ok(())
    }
}
