//! The durable store: one SQLite database, opened by every command for some milliseconds.
//!
//! Write-ahead logging gives the two grades of commit that the engine needs:
//!
//! | grade | survives | costs |
//! |---|---|---|
//! | [`Grade::Durable`] | power loss | one fsync of the log |
//! | [`Grade::Volatile`] | the death of every process; a power cut may take it back, whole | no fsync |
//!
//! A rollback journal could not: without its fsyncs a power cut may corrupt the database (sqlite.org, "Atomic Commit In
//! SQLite"), while a write-ahead log with `synchronous=NORMAL` only loses the newest commits.
//!
//! A short-lived process would checkpoint, with two fsyncs, each time it is the last to close. So closing never
//! checkpoints; a durable commit does when the log has grown past [`SOFT_LOG_LIMIT`], and a volatile one only past
//! [`HARD_LOG_LIMIT`], which bounds what the next process has to read through. Pages are 2 KiB: a commit of the journal
//! touches few bytes on each of several pages.
//!
//! A write that must not be lost is never made half: everything of one step is one transaction.

mod containers;
mod events;
mod images;
mod journal;
mod schema;

use std::path::{Path, PathBuf};
use std::time::Duration;

use ctr_types::{ContainerId, ContainerName, Digest};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

/// Bytes of log after which a durable commit, which waits for the disk anyway, also checkpoints.
pub const SOFT_LOG_LIMIT: u64 = 256 << 10;
/// Bytes of log after which any commit checkpoints.
pub const HARD_LOG_LIMIT: u64 = 1 << 20;

/// How long a transaction waits for another process's.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a commit must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// Power loss.
    Durable,
    /// The death of every process. Right for what a reboot voids anyway.
    Volatile,
}

/// Whether a store is expected to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A missing or empty database is made.
    Any,
    /// The store was made before: a missing or empty database is damage, not a new beginning (reliability.md F15).
    Existing,
}

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The name is taken.
    #[error(
        "the name {name} is already in use by {by}: remove that container, or choose another name"
    )]
    NameInUse {
        /// The name.
        name: ContainerName,
        /// Who has it.
        by: String,
    },
    /// Nothing has that name or id.
    #[error("no such {kind}: {text}")]
    NotFound {
        /// `container` or `image`.
        kind: &'static str,
        /// What was looked for.
        text: String,
    },
    /// An image has the layer.
    #[error("layer {0} belongs to an image: remove that first")]
    LayerInUse(Digest),
    /// Several have ids that begin so.
    #[error("{text:?} is ambiguous, it could mean {}", candidates.join(", "))]
    Ambiguous {
        /// What was looked for.
        text: String,
        /// Short ids and names that fit.
        candidates: Vec<String>,
    },
    /// Containers were made from the image.
    #[error("image {image} is used by {}: remove them first, or use force", containers.join(", "))]
    ImageInUse {
        /// The image.
        image: Digest,
        /// Names of the containers.
        containers: Vec<String>,
    },
    /// The store was written by a newer version.
    #[error(
        "the store {} has format {found}, this version knows {known}: use a newer ctrs", path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// The database is gone, empty or not a database.
    #[error("the state database {} is damaged: {what}", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// How.
        what: String,
        /// SQLite's finding, if it was SQLite that found it.
        #[source]
        source: Option<rusqlite::Error>,
    },
    /// One record cannot be read; the others can.
    #[error("the record of {object} is damaged")]
    DamagedRecord {
        /// Which.
        object: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database failed.
    #[error("{attempted} in the state database")]
    Sqlite {
        /// What was attempted.
        attempted: &'static str,
        /// SQLite's answer.
        #[source]
        source: rusqlite::Error,
    },
    /// The container is gone.
    #[error("container {0} has been removed")]
    Removed(ContainerId),
    /// Others need it.
    #[error(
        "container {container} has dependent containers which must be removed before it: {}", dependents.join(", ")
    )]
    HasDependents {
        /// The container.
        container: ContainerId,
        /// Names of those that need it.
        dependents: Vec<String>,
    },
    /// A container that another one needs is on its way out.
    #[error("container {0}, which is needed, is being removed")]
    DependencyRemoving(ContainerId),
    /// The configuration was replaced meanwhile.
    #[error(
        "the configuration of container {0} was changed by another command meanwhile: try again"
    )]
    Superseded(ContainerId),
}

impl StoreError {
    /// Whether the database itself is broken and has to be rebuilt from the containers' record files.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::Sqlite { source, .. } => is_corruption(source),
            Self::NameInUse { .. }
            | Self::NotFound { .. }
            | Self::Ambiguous { .. }
            | Self::ImageInUse { .. }
            | Self::LayerInUse(_)
            | Self::Newer { .. }
            | Self::DamagedRecord { .. }
            | Self::HasDependents { .. }
            | Self::DependencyRemoving(_)
            | Self::Superseded(_)
            | Self::Removed(_) => false,
        }
    }
}

/// Adds what was attempted to an error of SQLite.
pub(crate) trait Attempt<T> {
    fn attempt(self, attempted: &'static str) -> Result<T, StoreError>;
}

impl<T> Attempt<T> for Result<T, rusqlite::Error> {
    fn attempt(self, attempted: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Sqlite { attempted, source })
    }
}

/// An open store.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
    log_was_missing: bool,
}

/// A transaction: what it wrote becomes visible all at once when the closure given to [`Store::transact`] returns
/// `Ok`, and not at all otherwise.
#[derive(Debug)]
pub struct Txn<'a>(rusqlite::Transaction<'a>);

impl Store {
    /// Opens the database at `path`, making it when it is not there and that is not against expectation.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it is not a database, or is missing although expected;
    /// [`StoreError::Newer`] when a newer version wrote it.
    pub fn open(path: &Path, expect: Expect) -> Result<Self, StoreError> {
        let damaged = |what: &str, source| StoreError::Damaged {
            path: path.to_owned(),
            what: what.to_owned(),
            source,
        };
        let length = std::fs::metadata(path).map(|metadata| metadata.len()).ok();
        match (expect, length) {
            (Expect::Existing, None) => return Err(damaged("it is missing", None)),
            (Expect::Existing, Some(0)) => return Err(damaged("it is empty", None)),
            (Expect::Existing, Some(_)) | (Expect::Any, _) => {}
        }
        let log_was_missing = length.is_some() && std::fs::metadata(log_of(path)).is_err();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).attempt("open")?;
        connection.busy_timeout(PATIENCE).attempt("open")?;
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .attempt("open")?;
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)
            .attempt("open")?;
        let mut store = Self {
            connection,
            path: path.to_owned(),
            log_was_missing,
        };
        match store.prepare_schema(expect) {
            Err(StoreError::Sqlite { source, .. }) if is_corruption(&source) => {
                Err(damaged("it is not a readable database", Some(source)))
            }
            other => other.map(|()| store),
        }
    }

    /// Whether the write-ahead log was absent although the database was there. A log is never removed by this crate, so
    /// either another program checkpointed and closed the database, which loses nothing, or the newest commits are gone
    /// with it: the caller compares the store with the containers' record files (reliability.md F15).
    pub fn log_was_missing(&self) -> bool {
        self.log_was_missing
    }

    fn prepare_schema(&mut self, expect: Expect) -> Result<(), StoreError> {
        let found: u32 = self
            .connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .attempt("read the format")?;
        if found > schema::VERSION {
            let path = self.path.clone();
            return Err(StoreError::Newer {
                path,
                found,
                known: schema::VERSION,
            });
        }
        // Checkpoints are made by `transact` alone, when they cost least.
        self.connection
            .pragma_update(None, "wal_autocheckpoint", 0)
            .attempt("configure")?;
        if found == schema::VERSION {
            return Ok(());
        }
        if found > 0 {
            return self.migrate();
        }
        if expect == Expect::Existing {
            return Err(StoreError::Damaged {
                path: self.path.clone(),
                what: "it has no tables".into(),
                source: None,
            });
        }
        self.connection
            .pragma_update(None, "page_size", 2048)
            .attempt("configure")?;
        self.connection
            .pragma_update(None, "journal_mode", "WAL")
            .attempt("configure")?;
        self.connection
            .pragma_update(None, "synchronous", "FULL")
            .attempt("configure")?;
        let txn = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .attempt("begin")?;
        // Another process may have made the schema while this one waited.
        let now: u32 = txn
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .attempt("read the format")?;
        if now == 0 {
            txn.execute_batch(schema::CREATE)
                .attempt("make the tables")?;
            txn.pragma_update(None, "user_version", schema::VERSION)
                .attempt("make the tables")?;
        }
        txn.commit().attempt("make the tables")?;
        // From here on the database file alone, without its log, is a store.
        self.checkpoint_beyond(0);
        Ok(())
    }

    /// Brings a store of an older version along. Another process may be doing the same: whoever is second finds it done.
    fn migrate(&mut self) -> Result<(), StoreError> {
        // Tables that others refer to are made anew; the pragma has no effect inside a transaction.
        self.connection
            .pragma_update(None, "legacy_alter_table", true)
            .attempt("bring the store to a new format")?;
        self.connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)
            .attempt("bring the store to a new format")?;
        let txn = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .attempt("begin")?;
        for (from, statements) in schema::STEPS {
            let now: u32 = txn
                .query_row("PRAGMA user_version", [], |row| row.get(0))
                .attempt("read the format")?;
            if now == from {
                txn.execute_batch(statements)
                    .and_then(|()| txn.pragma_update(None, "user_version", from + 1))
                    .attempt("bring the store to a new format")?;
            }
        }
        txn.commit().attempt("bring the store to a new format")?;
        self.connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)
            .attempt("bring the store to a new format")?;
        Ok(())
    }

    /// Runs `work` in one transaction and commits it in the grade asked for.
    ///
    /// # Errors
    /// Those of `work`, or of the commit; nothing has changed then.
    pub fn transact<T, E: From<StoreError>>(
        &mut self,
        grade: Grade,
        work: impl FnOnce(&Txn<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let (synchronous, limit) = match grade {
            Grade::Durable => ("FULL", SOFT_LOG_LIMIT),
            Grade::Volatile => ("NORMAL", HARD_LOG_LIMIT),
        };
        self.connection
            .pragma_update(None, "synchronous", synchronous)
            .attempt("configure")?;
        self.checkpoint_beyond(limit);
        let txn = Txn(self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .attempt("begin")?);
        let value = work(&txn)?;
        txn.0.commit().attempt("commit")?;
        Ok(value)
    }

    /// Copies the log into the database when it is longer than `limit` and nobody is in the way. Not being able to is no
    /// failure: every commit stands, and a later one tries again.
    ///
    /// It goes before the commit that pays for it, because the first frame of an emptied log costs an fsync of its own
    /// in every grade: a volatile commit after it must not find the log empty.
    fn checkpoint_beyond(&self, limit: u64) {
        if std::fs::metadata(log_of(&self.path)).is_ok_and(|log| log.len() > limit) {
            // A checkpoint that waits would hold up this command for a reader elsewhere.
            let _later = self.connection.busy_timeout(Duration::ZERO).and_then(|()| {
                self.connection
                    .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            });
            // Cannot fail: it sets a field of the connection.
            let _set = self.connection.busy_timeout(PATIENCE);
        }
    }

    /// Reads through the whole database for damage (SQLite's `quick_check`).
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with the first findings.
    pub fn verify(&self) -> Result<(), StoreError> {
        let mut statement = self
            .connection
            .prepare("PRAGMA quick_check(5)")
            .attempt("verify")?;
        let found: Vec<String> = statement
            .query_map([], |row| row.get(0))
            .and_then(Iterator::collect)
            .attempt("verify")?;
        if found == ["ok"] {
            Ok(())
        } else {
            Err(StoreError::Damaged {
                path: self.path.clone(),
                what: found.join("; "),
                source: None,
            })
        }
    }
}

fn log_of(database: &Path) -> PathBuf {
    let mut log = database.to_owned().into_os_string();
    log.push("-wal");
    log.into()
}

fn is_corruption(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt)
    )
}

/// A value kept as JSON in a column.
fn to_json(value: &impl serde::Serialize, object: &str) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|source| StoreError::DamagedRecord {
        object: object.to_owned(),
        source: source.into(),
    })
}

/// The value of a JSON column.
fn from_json<T: serde::de::DeserializeOwned>(text: &str, object: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::DamagedRecord {
        object: object.to_owned(),
        source: source.into(),
    })
}

/// A checked type kept as text.
fn from_text<T>(text: String, object: &str) -> Result<T, StoreError>
where
    T: TryFrom<String>,
    T::Error: std::error::Error + Send + Sync + 'static,
{
    T::try_from(text).map_err(|source| StoreError::DamagedRecord {
        object: object.to_owned(),
        source: source.into(),
    })
}

/// Nanoseconds since 1970, which is how times are kept.
fn to_nanos(time: ctr_types::Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}

fn from_nanos(nanos: i64) -> ctr_types::Timestamp {
    ctr_types::Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default()
}

/// Sizes are kept as SQLite's signed integers; a size past 8 EiB does not exist.
fn to_size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn from_size(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}
